"""When a call is sent again, and after how long. Pure: no clock, no network."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

TRANSIENT: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is.

    Args:
        max_retries: Attempts after the first.
        deadline_seconds: A logical call gives up after this long, waits and token included.
        timeout_seconds: One attempt gives up after this long.
        first_seconds, longest_seconds: The bounds of the waits double from the first to the longest.
        pick: Chooses a wait between two bounds. From the whole range, so that clients that failed together
            don't come back together.
    """

    max_retries: int = 4
    deadline_seconds: float = 120.0
    timeout_seconds: float = 30.0
    first_seconds: float = 0.25
    longest_seconds: float = 8.0
    pick: Callable[[float, float], float] = random.uniform

    def wait_seconds(self, retry: int, asked_seconds: float | None) -> float:
        """Return how long to wait before retry number *retry* (0 is the first).

        Never shorter than the server asked for; a little longer, so that not all it asked come at once.
        """
        if asked_seconds is not None:
            return asked_seconds + self.pick(0.0, self.first_seconds)
        return self.pick(0.0, min(self.longest_seconds, self.first_seconds * 2**retry))


def transient(status: int, code: str) -> bool:
    """Whether the same request may well succeed a little later."""
    return status in TRANSIENT or (status == 409 and code == "idempotency_in_progress")


def asked_seconds(headers: Mapping[str, str], at: datetime) -> float | None:
    """Return what Retry-After asks for, in seconds from *at*; None when it is absent or unreadable.

    Args:
        headers: By lower-case names.

    Source:
        RFC 9110, section 10.2.3: whole seconds, or a date.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - at).total_seconds())
