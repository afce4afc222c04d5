"""Reusable order templates. Owns: protocols.

Promises: a protocol is checked as an order is when it is written and again when an order is made from it; it holds no
stock; an order keeps its protocolId when the protocol is gone.
"""
