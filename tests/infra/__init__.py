"""Tests of fulfillment.infra."""
