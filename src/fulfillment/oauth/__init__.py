"""Clients and their tokens. Owns the table oauth_clients.

Promises: a client's secret is stored only as a keyed hash; a revoked client is refused within the second on
every process, with the tokens it already holds too; and neither making nor checking a token costs a round
trip to the database.
"""
