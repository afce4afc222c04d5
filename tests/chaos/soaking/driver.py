"""The load of hours, as a process of its own: finds the capacity, offers a share of it, listens to the deliveries.

It is told what to do by one line of JSON and says what comes of it in lines of JSON, so that it keeps nothing itself.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.chaos.soaking.ear import Ear
from tests.chaos.soaking.mix import CREATES, Account, Counts, Mix
from tests.chaos.soaking.pace import Pace
from tests.chaos.sockets import Got, Line, a_request

ACKED: Final = "acked.tsv"
CANCELLED: Final = "cancelled.tsv"
ARRIVED: Final = "arrived.tsv"
_SETTLE_SECONDS: Final = 3.0
_DRAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played."""

    port: int
    folder: str  # of the records
    partners: list[dict[str, str]]  # id, client_id, client_secret
    products: list[int]
    seconds: float
    calibration_seconds: float
    share: float  # of the capacity
    most_orders: float  # a second, so that the disk is large enough
    rotation_seconds: float
    renewal_seconds: float
    report_seconds: float


class Driver:
    """Everything that partners do."""

    def __init__(self, plan: Plan, stack: ExitStack) -> None:
        self._plan = plan
        acked, cancelled, arrived = (
            stack.enter_context((Path(plan.folder) / name).open("w")) for name in (ACKED, CANCELLED, ARRIVED)
        )
        self._records = (acked, cancelled, arrived)
        self._accounts = [
            Account(partner["id"], partner["client_id"], partner["client_secret"]) for partner in plan.partners
        ]
        self._mix = Mix(self._accounts, plan.products, acked, cancelled)
        self._ear = Ear(arrived)
        self._pace = Pace(plan.port, self._mix)
        self._renewed = 0
        self._rotated = 0

    async def run(self) -> None:
        """Play the plan."""
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(self._ear.connection, "127.0.0.1", 0, backlog=1024)
        port: int = listening.sockets[0].getsockname()[1]
        for account in self._accounts:
            await self._renew(account)
            await self._ask(account, "PATCH", "settings", {"webhookUrl": f"http://127.0.0.1:{port}{account.path}"})
            self._ear.expect(account.path, await self._secret(account, "GET", "settings/webhook-secret"))
        await self._pace.open()
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(self._again(self._plan.renewal_seconds, self._renew_all))]
            rate = await self._calibrate()
            helpers.append(group.create_task(self._again(self._plan.rotation_seconds, self._rotate_next)))
            await self._load(rate)
            for helper in helpers:
                helper.cancel()
        await self._pace.quiet()
        await self._drained()
        self._say("ended", self._summary())

    async def _calibrate(self) -> float:
        await self._pace.as_fast_as_answered(_SETTLE_SECONDS)
        began = time.monotonic()
        answered = await self._pace.as_fast_as_answered(self._plan.calibration_seconds)
        await self._drained()  # what the calibration has left must not be carried by the load
        # What is delivered only once the requests have ended was not within the capacity.
        capacity = answered * self._plan.calibration_seconds / (time.monotonic() - began)
        rate = min(capacity * self._plan.share, self._plan.most_orders / CREATES)
        self._mix.counts = Counts()
        self._say("calibrated", {"capacity": capacity, "rate": rate})
        return rate

    async def _load(self, rate: float) -> None:
        async with asyncio.TaskGroup() as group:
            began = time.monotonic()
            reporting = group.create_task(self._again(self._plan.report_seconds, self._report(began)))
            await self._pace.steadily(rate, self._plan.seconds)
            reporting.cancel()

    def _report(self, began: float) -> Callable[[], Any]:
        async def report() -> None:
            counts, self._mix.counts = self._mix.counts, Counts()
            self._flush()
            self._say(
                "interval",
                {"until": time.monotonic() - began, "answers": counts.answers, "latencies": counts.latencies}
                | {"behind": self._mix.changes - self._ear.heard.deliveries},
            )

        return report

    def _summary(self) -> dict[str, Any]:
        self._flush()
        return {
            "changes": self._mix.changes,
            "wrong": self._mix.wrong,
            "examples": self._mix.examples,
            "renewed": self._renewed,
            "rotated": self._rotated,
            "heard": asdict(self._ear.heard),
        }

    def _flush(self) -> None:
        for record in self._records:
            record.flush()

    async def _drained(self) -> None:
        until = time.monotonic() + _DRAIN_SECONDS
        while self._ear.heard.deliveries < self._mix.changes and time.monotonic() < until:
            await asyncio.sleep(0.05)

    async def _again(self, seconds: float, work: Callable[[], Any]) -> None:
        due = time.monotonic()
        while True:
            due += seconds
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await work()

    async def _renew_all(self) -> None:
        for account in self._accounts:
            await self._renew(account)

    async def _renew(self, account: Account) -> None:
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": account.client_id,
                "client_secret": account.client_secret,
            }
        )
        typed = {"Content-Type": "application/x-www-form-urlencoded"}
        got = await self._exchange(a_request("POST", "/oauth2/token", headers=typed, body=form.encode()))
        account.head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {json.loads(got.body)['access_token']}\r\n"
        self._renewed += 1

    async def _rotate_next(self) -> None:
        account = self._accounts[self._rotated % len(self._accounts)]
        self._ear.rotating(account.path)
        self._ear.rotated(account.path, await self._secret(account, "POST", "settings/rotate-webhook-secret"))
        self._rotated += 1

    async def _secret(self, account: Account, method: str, place: str) -> str:
        return json.loads((await self._ask(account, method, place)).body)["webhookSecret"]

    async def _ask(self, account: Account, method: str, place: str, body: dict[str, str] | None = None) -> Got:
        token = account.head.partition("Bearer ")[2].strip()
        content = json.dumps(body).encode() if body else b""
        return await self._exchange(a_request(method, f"/v1/partners/{place}", token=token, body=content))

    async def _exchange(self, request: bytes) -> Got:
        line = await Line.open(self._plan.port)
        try:
            got = await line.ask(request)
        finally:
            line.close()
        if got is None or got.status != 200:
            raise RuntimeError(f"{request.split(b' HTTP')[0].decode()}: {got and got.status}")
        return got

    def _say(self, what: str, content: dict[str, Any]) -> None:
        print(json.dumps({what: content}), flush=True)


async def _main() -> None:
    with ExitStack() as stack:
        await Driver(Plan(**json.loads(sys.stdin.readline())), stack).run()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
