"""The database's time as the processes of other machines tell it, whose clocks are set."""

import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from fulfillment.infra import clock as module
from fulfillment.infra.clock import DatabaseClock
from fulfillment.infra.db import Database

pytestmark = pytest.mark.anyio

SetBy = Callable[[timedelta], None]
HOUR = timedelta(hours=1)


@pytest.fixture
async def db(dsns: tuple[str, str]) -> AsyncGenerator[Database]:
    """The database."""
    database = Database(dsns[0], size=1)
    yield database
    await database.close()


@pytest.fixture
def set_by(monkeypatch: pytest.MonkeyPatch) -> SetBy:
    """Set the machine's clock by so much beside the real time."""

    def setting(off: timedelta) -> None:
        monkeypatch.setattr(module, "_present", lambda: datetime.now(UTC) + off)

    return setting


def off(clock: DatabaseClock) -> float:
    """Return by how many seconds *clock* is off."""
    return (clock() - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_elsewhere_a_clock_that_is_set_changes_nothing(
    db: Database, set_by: SetBy, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """With the database on another machine, the time goes on when the own clock is set, before any comparison."""
    monkeypatch.setattr(module, "SELECT_NOW", "SELECT clock_timestamp(), false")
    clock = DatabaseClock()
    await clock.compare(db)

    set_by(hours * HOUR)
    before = clock()
    time.sleep(0.05)

    assert abs(off(clock)) < 1
    assert timedelta(seconds=0.04) < clock() - before < timedelta(seconds=1)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_elsewhere_the_databases_time_is_followed(
    db: Database, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """When the database's own clock is set, the next comparison follows it."""
    monkeypatch.setattr(module, "SELECT_NOW", "SELECT clock_timestamp(), false")
    clock = DatabaseClock()
    await clock.compare(db)

    monkeypatch.setattr(module, "SELECT_NOW", f"SELECT clock_timestamp() + interval '{hours} hour', false")
    await clock.compare(db)

    assert abs(off(clock) - 3600 * hours) < 1


async def test_on_the_databases_machine_its_clock_is_followed(db: Database, set_by: SetBy) -> None:
    """Over a socket of the machine, clock and database are set together, so the time follows at once."""
    clock = DatabaseClock()
    await clock.compare(db)
    assert abs(off(clock)) < 1

    set_by(-HOUR)

    assert abs(off(clock) + 3600) < 1


async def test_a_clock_that_is_off_from_the_start_is_corrected(db: Database, set_by: SetBy) -> None:
    """A process whose machine is five minutes fast tells the database's time after the first comparison."""
    set_by(timedelta(minutes=5))
    clock = DatabaseClock()
    assert abs(off(clock) - 300) < 1

    await clock.compare(db)

    assert abs(off(clock)) < 1
