"""Tests of fulfillment.webhooks."""
