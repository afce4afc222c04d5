"""Attempts to get in, to get more than one's share, and to get at what is not one's own."""
