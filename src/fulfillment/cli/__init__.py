"""The `fulfillment` command: one module for each noun."""
