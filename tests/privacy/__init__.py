"""Customers as persons."""
