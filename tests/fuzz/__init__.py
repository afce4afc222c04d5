"""Bytes and texts that nobody would send, for every parser that reads what others send."""
