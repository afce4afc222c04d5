"""SQL over oauth_clients."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from psycopg.errors import ForeignKeyViolation

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.kernel.callers import Caller, Scope
from fulfillment.oauth.domain import Client, ClientInvalid

# Of another room's table, which lies above this one: whoever checks tokens must know whose time stands still.
SELECT_CLOCKS: Final = "SELECT id, clock_frozen_at FROM partners WHERE clock_frozen_at IS NOT NULL"

SELECT_LIVE_CLIENTS: Final = """
SELECT client_id, partner_id, scope, label, secret_hash, previous_secret_hash, previous_secret_until,
       created_at, revoked_at
  FROM oauth_clients
 WHERE revoked_at IS NULL
"""

SELECT_CLIENTS: Final = """
SELECT client_id, partner_id, scope, label, secret_hash, previous_secret_hash, previous_secret_until,
       created_at, revoked_at
  FROM oauth_clients
 WHERE %(partner_id)s::text IS NULL OR partner_id = %(partner_id)s
 ORDER BY created_at, client_id
"""

SELECT_CLIENT: Final = """
SELECT client_id, partner_id, scope, label, secret_hash, previous_secret_hash, previous_secret_until,
       created_at, revoked_at
  FROM oauth_clients
 WHERE client_id = %(client_id)s
"""

# One row in any case, so that reading one takes as long for a client that exists as for one that does not.
SELECT_CLIENT_OR_NOBODY: Final = """
SELECT asked.client_id, found.partner_id, coalesce(found.scope, 'partner') AS scope, coalesce(found.label, '') AS label,
       coalesce(found.secret_hash, repeat('0', 64)) AS secret_hash, found.previous_secret_hash,
       found.previous_secret_until, coalesce(found.created_at, 'epoch') AS created_at, found.revoked_at,
       found.client_id IS NOT NULL AS known
  FROM (VALUES (%(client_id)s::text)) AS asked (client_id)
  LEFT JOIN oauth_clients AS found ON found.client_id = asked.client_id
"""

LOCK_CLIENT: Final = SELECT_CLIENT + " FOR UPDATE"

INSERT_CLIENT: Final = """
INSERT INTO oauth_clients (client_id, partner_id, scope, label, secret_hash, created_at)
VALUES (%(client_id)s, %(partner_id)s, %(scope)s, %(label)s, %(secret_hash)s, %(at)s)
"""

UPDATE_REVOKED: Final = "UPDATE oauth_clients SET revoked_at = %(at)s WHERE client_id = %(client_id)s"

UPDATE_HASH: Final = """
UPDATE oauth_clients
   SET previous_secret_hash = secret_hash, previous_secret_until = %(keep_until)s,
       secret_hash = %(secret_hash)s
 WHERE client_id = %(client_id)s
"""


async def select_clocks(tx: ReadTx) -> dict[str, float]:
    """Return the presents of the partners with a test clock, Unix seconds, by their ids."""
    return {row["id"]: row["clock_frozen_at"].timestamp() for row in await tx.all(SELECT_CLOCKS)}


async def select_live_clients(tx: ReadTx) -> Mapping[str, Client]:
    """Return every client that is not revoked, by its id."""
    return {row["client_id"]: _client(row) for row in await tx.all(SELECT_LIVE_CLIENTS)}


async def select_clients(tx: ReadTx, partner_id: str | None) -> Sequence[Client]:
    """Return the partner's clients, or everybody's, revoked ones too, oldest first."""
    return [_client(row) for row in await tx.all(SELECT_CLIENTS, partner_id=partner_id)]


async def select_client(tx: ReadTx, client_id: str) -> Client | None:
    """Return the client, or None after the same work."""
    row = await tx.one(SELECT_CLIENT_OR_NOBODY, client_id=client_id)
    client = _client(row)
    return client if row["known"] else None


async def lock_client(tx: Tx, client_id: str) -> Client | None:
    """Return the client, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_CLIENT, client_id=client_id)
    return None if row is None else _client(row)


async def insert_client(tx: Tx, client: Client) -> None:
    """Add the client.

    Raises:
        ClientInvalid: Its partner does not exist.
    """
    try:
        await tx.execute(
            INSERT_CLIENT,
            client_id=client.id,
            partner_id=client.caller.partner_id or None,
            scope=client.caller.scope.value,
            label=client.label,
            secret_hash=client.secret_hash,
            at=client.created_at,
        )
    except ForeignKeyViolation:  # the table has one foreign key: its partner
        raise ClientInvalid("There is no partner with this id.") from None


async def update_revoked(tx: Tx, client_id: str, at: datetime) -> None:
    """Mark the client as revoked."""
    await tx.execute(UPDATE_REVOKED, client_id=client_id, at=at)


async def update_secret(tx: Tx, client_id: str, secret_hash: str, keep_until: datetime) -> None:
    """Give the client another secret; the present one becomes the previous one, good until *keep_until*."""
    await tx.execute(UPDATE_HASH, client_id=client_id, secret_hash=secret_hash, keep_until=keep_until)


def _client(row: Row) -> Client:
    return Client(
        Caller(row["client_id"], Scope(row["scope"]), row["partner_id"] or ""),
        row["label"],
        row["secret_hash"],
        row["previous_secret_hash"],
        row["previous_secret_until"],
        row["created_at"],
        row["revoked_at"],
    )
