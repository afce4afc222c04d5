"""Methods, prices, addresses, carriers, tracking numbers, checkpoints. Owns: shipping_methods, shipments."""
