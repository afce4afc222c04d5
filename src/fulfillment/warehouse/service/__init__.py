"""What the warehouse can do, one module for each kind of work."""
