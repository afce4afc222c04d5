"""Idempotency keys: what a key is, and when two requests are the same. Pure."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fulfillment.orders.domain import InvalidIdempotencyKey

_SORTING: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that names itself."""

    partner_id: str
    operation: str  # the contract's operationId
    key: str
    fingerprint: bytes  # SHA-256 of the request's content

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it one: the partner, the operation, the key."""
        return (self.partner_id, self.operation, self.key)


def read_key(headers: Sequence[bytes]) -> str | None:
    """Return the key of a request's Idempotency-Key headers, or None without one.

    The IETF draft writes it as a quoted string, most clients without quotes: ``"k"`` and ``k`` are the same key.

    Raises:
        InvalidIdempotencyKey: It is empty, over 255 characters or not printable ASCII, or there are several.
    """
    if not headers:
        return None
    if len(headers) > 1:
        raise InvalidIdempotencyKey("Send one Idempotency-Key.")
    text = headers[0].decode("latin-1").strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if _KEY.fullmatch(text) is None:
        raise InvalidIdempotencyKey("An Idempotency-Key has 1 to 255 printable ASCII characters without spaces.")
    return text


def fingerprint(path: str, content: Any) -> bytes:
    """Return the SHA-256 of a request: its path and its whole content, whatever the order of members."""
    return hashlib.sha256(_SORTING.encode([path, content]).encode()).digest()
