"""An order from creation to shipment. Owns: orders, holds, idempotency_keys.

Promises: an order, its stock, its event and its idempotency key come into being in one transaction or not at all;
what was answered at creation never changes (prices are frozen).
"""
