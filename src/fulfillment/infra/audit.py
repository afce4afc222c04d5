"""The audit log: who did what to which object, when, and by which request. Append-only, also to the database.

What is recorded holds no secret and no personal data: the log outlives both.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from fulfillment.infra.db import Tx
from fulfillment.kernel.ids import new_id

INSERT_ENTRY: Final = """
INSERT INTO audit_log
       (id, actor, action, object_type, object_id, before, after, request_id, created_at)
VALUES (%(id)s, %(actor)s, %(action)s, %(object_type)s, %(object_id)s, %(before)s, %(after)s, %(request_id)s,
        %(at)s)
"""


async def record(
    tx: Tx,
    *,
    actor: str,
    action: str,
    object_type: str,
    object_id: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    request_id: str | None,
    at: datetime,
) -> None:
    """Add an entry to the audit log, in the transaction of what it tells of.

    Args:
        actor: The client's id, or ``cli``.
        action: A noun and what was done to it: ``client.revoked``.
        object_type: The object's noun: ``client``, ``partner``, ``lot``.
        before: JSON values of what changed, as they were; None where there was nothing.
        after: The same, as they are now.
        request_id: Finds the request in the access log; None outside one.
    """
    await tx.execute(
        INSERT_ENTRY,
        id=new_id(at),
        actor=actor,
        action=action,
        object_type=object_type,
        object_id=object_id,
        before=None if before is None else Jsonb(dict(before)),
        after=None if after is None else Jsonb(dict(after)),
        request_id=request_id,
        at=at,
    )
