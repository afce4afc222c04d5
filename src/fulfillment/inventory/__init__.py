"""Lots, movements, reservations; first expired, first out. Owns: lots, inventory_movements, reservations."""
