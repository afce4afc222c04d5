"""The operator's side: release, pick, pack, label, ship, follow, recall, print.

Owns: batches, batch_orders, pack_confirmations, shipments, tracking_messages. Promises: orders are locked before lots,
each by id; every step may be repeated; stock leaves a lot in one step only, when the packs are made; no pill leaves
whose lot is not approved or breaks the promise of expiry on the day it ships.
"""
