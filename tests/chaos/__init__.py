"""Faults under load, with real processes, and a checker that looks on from outside."""
