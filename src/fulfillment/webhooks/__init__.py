"""Events, and their delivery to partners: at least once, signed, and per order in sequence."""
