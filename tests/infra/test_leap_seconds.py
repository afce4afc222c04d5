"""The sixty-first second of a minute, which RFC 3339 and HTTP know and a calendar of 86,400 seconds does not."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from fulfillment.infra.http import retry_after_seconds
from fulfillment.shipping.tracking import event_time
from tests.world import World

pytestmark = pytest.mark.anyio

LEAP = "2016-12-31T23:59:60Z"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/webhooks/replay", {"since": LEAP}, "/since"),
        ("/v1/webhooks/replay", {"since": "2016-12-31T23:59:59Z", "until": LEAP}, "/until"),
        ("/v1/sandbox/clock", {"frozenAt": LEAP}, "/frozenAt"),
    ],
)
async def test_a_leap_second_that_is_asked_for_is_refused_by_name(
    api: httpx2.AsyncClient, world: World, path: str, body: dict[str, Any], pointer: str
) -> None:
    """A caller who names the second is told so: 422 with the field, as any other moment that cannot be kept."""
    answer = await api.post(path, json=body, headers=await world.headers(await world.partner()))

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def test_a_carriers_leap_second_is_no_moment() -> None:
    """A scan in that second keeps its place by its receipt: it has no moment, and nothing fails."""
    assert event_time(LEAP) == (None, False)


def test_a_leap_second_in_retry_after_is_left_to_the_schedule() -> None:
    """A receiver that asks for a retry in that second is tried again when the schedule says."""
    assert retry_after_seconds("Sat, 31 Dec 2016 23:59:60 GMT", lambda: datetime.now(UTC)) is None
