"""Whether the time of an answer tells a foreign thing from a missing one."""

import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from tests.contract.contract import Operation, operations
from tests.contract.test_tenants import BODIES
from tests.judges.verdict import Judged
from tests.serving import ServerProcess
from tests.world import a_line, an_order

_PRODUCT: Final = 77123129891
_NOBODY: Final = "0" * 27
_ROUNDS: Final = 120  # requests of each kind in one go; interleaved, so that both see the same machine
_TRIES: Final = 6
_ALIKE: Final = 0.10  # of the median
_CLI: Final = "import sys; from fulfillment.cli.main import main; sys.exit(main())"


@dataclass(slots=True)
class Probe:
    """An operation's two requests, and how long they took."""

    name: str
    method: str
    paths: tuple[str, str]
    body: bytes | None
    slower_seconds: float = 0.0  # what the first is made to take longer: to see whether that is seen
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    statuses: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))

    @property
    def apart(self) -> float:
        """Return by how much the medians differ."""
        one, two = (statistics.median(each) for each in self.seconds)
        return abs(one - two) / max(one, two)


def foreign_like_missing(server: ServerProcess, document: dict[str, Any]) -> Judged:
    """Time every operation with an id of another partner and with one of nobody; one made slower shows what is seen."""
    ids, body = _victim(server)
    token = _other(server)
    probes = list(_probes(document, ids, body))
    _ask(server, token, probes)
    worst = max(probes, key=lambda probe: probe.apart)
    found = [f"{one.name}: {one.apart:.0%} apart" for one in probes if one.apart > _ALIKE]
    found += [f"{one.name}: {one.statuses}" for one in probes if one.statuses != ({404}, {404})]
    control = _control(server, token, probes[0])
    if control <= _ALIKE:
        found.append("it does not see a quarter more: nothing was judged")
    looked = f"{len(probes)} operations, at most {worst.apart:.1%} apart ({worst.name}); control {control:.0%}"
    return Judged(looked, found)


def _control(server: ServerProcess, token: str, probe: Probe) -> float:
    """Return how far apart two equal requests are seen, one of which is made a quarter slower."""
    apart = 0.0
    for _ in range(_TRIES):  # what is usual changes with what else the machine does
        equal = Probe("equal", probe.method, (probe.paths[1], probe.paths[1]), probe.body)
        _round(server, token, [equal])
        usual = statistics.median(equal.seconds[1])
        slower = Probe("slower", probe.method, equal.paths, probe.body, slower_seconds=0.25 * usual)
        _round(server, token, [slower])
        apart = slower.apart
        if apart > _ALIKE:
            break
    return apart


def _ask(server: ServerProcess, token: str, probes: list[Probe]) -> None:
    for _ in range(_TRIES):
        again = [probe for probe in probes if not probe.seconds[0] or probe.apart > _ALIKE]
        if again:
            _round(server, token, again)


def _round(server: ServerProcess, token: str, probes: list[Probe]) -> None:
    chance = random.Random(1)
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    for probe in probes:
        for turn in range(_ROUNDS):
            for which in chance.sample((0, 1), 2):
                headers = {"Authorization": token, "Content-Type": "application/json"}
                began = time.perf_counter()
                connection.request(probe.method, probe.paths[which], probe.body, headers)
                answer = connection.getresponse()
                answer.read()
                if which == 0:
                    _wait(probe.slower_seconds)
                if turn >= 10:  # the first ones fill caches
                    probe.seconds[which].append(time.perf_counter() - began)
                probe.statuses[which].add(answer.status)
    connection.close()


def _wait(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:  # sleeping would take longer than it is told to
        pass


def _probes(document: dict[str, Any], ids: dict[str, str], body: dict[str, Any]) -> Iterable[Probe]:
    for operation in operations(document):
        names = re.findall(r"\{([^}]+)\}", operation.path)
        if operation.id in BODIES and names:
            yield _probe(operation, ids, dict.fromkeys(names, _NOBODY), body)


def _probe(operation: Operation, ids: dict[str, str], nobody: dict[str, str], body: dict[str, Any]) -> Probe:
    asked = BODIES[operation.id]
    sent = None if asked is ... else json.dumps(body if asked == "an order" else asked).encode()
    paths = ("/v1" + operation.path.format(**ids), "/v1" + operation.path.format(**nobody))
    return Probe(operation.id, operation.method.upper(), paths, sent)


def _victim(server: ServerProcess) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the ids of one of everything that the demo partner has, and an order's body."""
    body = an_order(a_line(_PRODUCT))
    body["customer"]["sourceId"] = "timing"
    with server.client() as client:
        _done(client.patch("/v1/partners/settings", json={"webhookUrl": "https://example.com/hooks"}))
        order = _done(client.post("/v1/orders", json=body))["id"]
        _done(client.post(f"/v1/orders/{order}/hold", json={"note": "Wait"}))
        ids = {
            "orderId": order,
            "holdId": _done(client.get(f"/v1/orders/{order}"))["holds"][0]["id"],
            "protocolId": _done(client.post("/v1/protocols", json=body))["id"],
            "eventId": _done(client.get(f"/v1/events?orderId={order}"))["events"][0]["id"],
            "deliveryId": _done(client.get(f"/v1/webhook-deliveries?orderId={order}"))["deliveries"][0]["id"],
            "replayId": _done(client.post("/v1/webhooks/replay", json={"since": "2026-01-01T00:00:00Z"}))["id"],
        }
    return ids, body


def _done(answer: httpx2.Response) -> dict[str, Any]:
    answer.raise_for_status()
    return answer.json()


def _other(server: ServerProcess) -> str:
    """Return the Authorization of another partner."""
    partner = _cli(server, "partners", "create", "--name", "Other")
    client = _cli(server, "credentials", "create", "--partner", partner.get("id") or partner["partner_id"])
    with server.client_of(client["client_id"], client["client_secret"]) as asking:
        return asking.headers["Authorization"]


def _cli(server: ServerProcess, *words: str) -> dict[str, str]:
    command = [sys.executable, "-c", _CLI, *words, "--json", "--data-dir", str(server.folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
