"""The system behind the Juniper Health Order Fulfillment API."""
