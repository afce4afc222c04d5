"""The last unit and the retried key, raced for over two API processes; the key again after a restart and after kill -9.

The moment between commit and answer is hit by watching the database: as soon as the first of many creates is visible
there, both API processes are killed. What was committed and not answered then must be found again under its key.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.chaos.checker import Verdict
from tests.chaos.sockets import Got, a_request, an_order, burst
from tests.chaos.stage import Stage

ROUNDS: Final = 20
_LAST_UNIT: Final = 200  # requests at once
_TWINS: Final = 100
_PILLS: Final = 30  # of one order
_PLENTY: Final = 10_000_000
_FIRST: Final = 88_100_000_000
_UNANSWERED: Final = 20  # committed and not answered, before the kills end
_MOST_KILLS: Final = 25
_IN_FLIGHT: Final = 48


@dataclass(slots=True)
class Seen:
    """What the rounds brought."""

    wrong: list[str] = field(default_factory=list[str])
    statuses: "Counter[str]" = field(default_factory=Counter[str])
    count: int = 0


def play(seed: int, rounds: int = ROUNDS) -> list[Verdict]:
    """Race, restart, kill, and return the verdicts."""
    folder = Path(tempfile.mkdtemp(prefix="races-"))
    folder.chmod(0o711)
    stage = Stage(folder, seed=seed, share=0.0, processes=2, workers=1)
    try:
        stage.start(partner_count=1)
        token = stage.token(stage.partners[0])
        stage.office.product(_FIRST, [_PLENTY])
        verdicts = [_last_unit(stage, token, rounds), *_keys(stage, token, rounds), _killed(stage, token)]
    finally:
        stage.stop()
    if not any(verdict.violations for verdict in verdicts):
        shutil.rmtree(folder, ignore_errors=True)
    return verdicts


def _last_unit(stage: Stage, token: str, rounds: int) -> Verdict:
    seen = Seen()
    for number in range(rounds):
        product = _FIRST + 1 + number
        stage.office.product(product, [_PILLS])
        requests = [
            a_request("POST", "/v1/orders", token=token, body=an_order(product, f"last-{number}-{each}"))
            for each in range(_LAST_UNIT)
        ]
        answers = asyncio.run(burst(stage.server.port, requests))
        found = Counter(_name(answer) for answer in answers)
        seen.statuses += found
        if found != Counter({"201": 1, "409 insufficient_stock": _LAST_UNIT - 1}):
            seen.wrong.append(f"round {number}: {dict(found)}")
        ((reserved,),) = stage.sql("SELECT sum(reserved)::int FROM lots WHERE product_id = %s", product)
        if reserved != _PILLS:
            seen.wrong.append(f"round {number}: {reserved} pills are reserved")
    return Verdict(
        "S-03", "the last unit is sold once", f"{rounds} x {_LAST_UNIT} at once: {dict(seen.statuses)}", seen.wrong
    )


def _keys(stage: Stage, token: str, rounds: int) -> list[Verdict]:
    race, later = Seen(), Seen()
    first: dict[str, tuple[bytes, bytes]] = {}  # by key: the request, the answer's body
    for number in range(rounds):
        key = f"race-{number}"
        request = _keyed(token, key)
        answers = asyncio.run(burst(stage.server.port, [request] * _TWINS))
        race.statuses += Counter(_name(answer) for answer in answers)
        bodies = {answer.body for answer in answers if answer is not None and answer.status == 201}
        strange = {_name(answer) for answer in answers} - {"201", "409 idempotency_in_progress"}
        if strange or len({hashlib.sha256(body).hexdigest() for body in bodies}) != 1:
            race.wrong.append(f"{key}: {len(bodies)} bodies; {sorted(strange)}")
        race.wrong += _not_once(stage, key)
        first[key] = (request, min(bodies, default=b""))
    stage.server.stop()
    stage.server.start()
    for key, (request, body) in first.items():
        (answer,) = asyncio.run(burst(stage.server.port, [request]))
        later.statuses[_name(answer)] += 1
        if answer is None or answer.body != body or answer.headers.get("idempotent-replayed") != "true":
            later.wrong.append(f"{key}: another answer after the restart: {_name(answer)}")
        later.wrong += _not_once(stage, key)
    raced = f"{rounds} x {_TWINS} at once: {dict(race.statuses)}"
    return [
        Verdict("S-04", "one key is one order and one answer", raced, race.wrong),
        Verdict("S-04", "the same after a restart", f"{rounds} replayed: {dict(later.statuses)}", later.wrong),
    ]


def _killed(stage: Stage, token: str) -> Verdict:
    """Kill between commit and answer until that has hit often enough; every retry finds its order."""
    seen, kills, answered_before = Seen(), 0, 0
    while seen.count < _UNANSWERED and kills < _MOST_KILLS:
        kills += 1
        keys = [f"kill-{kills}-{each}" for each in range(_IN_FLIGHT)]
        requests = [_keyed(token, key) for key in keys]
        answers = asyncio.run(_burst_and_kill(stage, requests, keys))
        told = {key: answer.body for key, answer in zip(keys, answers, strict=True) if answer and answer.status == 201}
        stored = _stored(stage, keys)
        seen.count += len(set(stored) - set(told))
        answered_before += len(told)
        seen.wrong += [f"{key} was answered and is not there" for key in set(told) - set(stored)]
        stage.server.wait()
        for key, request in zip(keys, requests, strict=True):
            answer = _until_answered(stage, request)
            seen.statuses[_name(answer)] += 1
            if answer is None or answer.status != 201:
                seen.wrong.append(f"{key}: {_name(answer)} to the retry")
            elif key in told and answer.body != told[key]:
                seen.wrong.append(f"{key}: another answer to the retry")
            elif key in stored and answer.body != stored[key]:
                seen.wrong.append(f"{key}: not what was committed")
            seen.wrong += _not_once(stage, key)
    if seen.count < _UNANSWERED:
        seen.wrong.append(f"only {seen.count} creates were hit between commit and answer")
    checked = (
        f"{kills} kills; {answered_before} answered before, {seen.count} committed and not answered; "
        f"retries: {dict(seen.statuses)}"
    )
    return Verdict("S-04", "the same after kill -9 between commit and answer", checked, seen.wrong)


async def _burst_and_kill(stage: Stage, requests: list[bytes], keys: list[str]) -> list[Got | None]:
    stopping = asyncio.Event()
    watching = asyncio.create_task(asyncio.to_thread(_kill_at_first_commit, stage, keys, stopping))
    await asyncio.sleep(0.2)
    answers = await burst(stage.server.port, requests)
    stopping.set()
    await watching
    return answers


def _kill_at_first_commit(stage: Stage, keys: list[str], stopping: asyncio.Event) -> None:
    pids = stage.server.pids("fulfillment.app")
    statement = "SELECT 1 FROM idempotency_keys WHERE key = ANY (%s) LIMIT 1"
    with psycopg.connect(stage.superuser_dsn, autocommit=True, prepare_threshold=0) as connection:
        while connection.execute(statement, [keys]).fetchone() is None and not stopping.is_set():
            pass
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _stored(stage: Stage, keys: list[str]) -> dict[str, bytes]:
    rows: list[tuple[Any, ...]] = stage.sql("SELECT key, body FROM idempotency_keys WHERE key = ANY (%s)", keys)
    return {key: bytes(body) for key, body in rows}


def _until_answered(stage: Stage, request: bytes) -> Got | None:
    until = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            (answer,) = asyncio.run(burst(stage.server.port, [request]))
            if answer is not None and answer.status not in (409, 503):
                return answer
        if time.monotonic() > until:
            return None
        time.sleep(0.1)


def _not_once(stage: Stage, key: str) -> list[str]:
    """Return what is wrong unless the customer of *key* has one order with one event."""
    ((orders, events),) = stage.sql(
        "SELECT count(DISTINCT orders.id), count(events.id) FROM orders LEFT JOIN events ON events.order_id = orders.id"
        " WHERE customer_source_id = %s",
        key,
    )
    return [] if (orders, events) == (1, 1) else [f"{key}: {orders} orders, {events} events"]


def _keyed(token: str, key: str) -> bytes:
    return a_request("POST", "/v1/orders", token=token, headers={"Idempotency-Key": key}, body=an_order(_FIRST, key))


def _name(answer: Got | None) -> str:
    return "cut" if answer is None else f"{answer.status} {answer.code}".strip()
