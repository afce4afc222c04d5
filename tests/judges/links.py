"""Schemathesis' links: each is followed, or it is said why it can't be; `python -m tests.judges.links` lists all."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.contract.test_schemathesis import spec
from tests.judges.hands import Hands
from tests.judges.verdict import Judged
from tests.judges.walker import Followed, Walker
from tests.receivers import Receiver, answering
from tests.serving import serving

_SEED: Final = 1
_ROLES: Final = ("partner", "operator")
_FOLLOW_SECONDS: Final = {"partner": 60.0, "operator": 90.0}  # at most; 35 and 60 were needed
_WANDER_SECONDS: Final = 30.0  # for each


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some links are not followed, or only refused."""

    source: str  # the source and its status, as schemathesis writes them
    target: str  # the target; "" is any
    value: str  # what is said of the value that is taken; "" is any
    why: str

    def is_of(self, followed: Followed) -> bool:
        """Say whether it is about this link."""
        link = followed.link
        taken = " ".join(str(parameter.expression) for parameter in link.parameters)
        return (
            f"{link.source.label} -> [{link.status_code}]" == self.source
            and self.target in ("", link.target.label)
            and self.value in taken
        )


_NOT_FOLLOWED: Final = (
    Reason("POST /orders -> [201]", "", "/protocolId", "only an order made from a protocol names one"),
    Reason("POST /orders/bulk -> [200]", "", "/protocolId", "only an order made from a protocol names one"),
    Reason("POST /orders/bulk -> [207]", "", "/protocolId", "only an order made from a protocol names one"),
    Reason("POST /orders/bulk -> [200]", "", "/error/products", "200 says that no order was refused"),
)
_HOLD_ALONE: Final = "404: the link takes the hold, and not the order that it is of"
_RELEASE: Final = "POST /orders/{orderId}/holds/{holdId}/release"
_READ_ONLY: Final = "422: a line that is read has members that can't be written"
_REPLACE: Final = "PUT /protocols/{protocolId}"
_REFUSED: Final = (
    Reason("POST /orders -> [201]", _RELEASE, "/holds/*/id", _HOLD_ALONE),
    Reason("POST /protocols/{protocolId}/orders -> [201]", _RELEASE, "/holds/*/id", _HOLD_ALONE),
    Reason("GET /orders -> [200]", _RELEASE, "/holds/*/id", _HOLD_ALONE),
    Reason("POST /protocols -> [201]", _REPLACE, "", _READ_ONLY),
    Reason("GET /protocols -> [200]", _REPLACE, "", _READ_ONLY),
    Reason("GET /protocols/{protocolId} -> [200]", _REPLACE, "", _READ_ONLY),
    Reason("PATCH /protocols/{protocolId} -> [200]", _REPLACE, "", _READ_ONLY),
    Reason(
        "POST /operator/orders/{orderId}/ship -> [200]",
        "POST /operator/orders/{orderId}/holds/{holdId}/release",
        "",
        "404: what is shipped is held by nothing",
    ),
    Reason(
        "POST /operator/lots/{lotId}/recall -> [200]",
        "POST /operator/lots/{lotId}/state",
        "",
        "422: RECALLED is reached by a recall alone",
    ),
    Reason("POST /webhooks/test -> [200]", "GET /events/{eventId}", "", "404: a test event is in no feed"),
)


def every_link() -> Judged:
    """Follow every link of a partner and of the operator, by itself and in walks, under all of schemathesis' checks."""
    return _judged(_walked())


def _walked() -> list[Walker]:
    with serving() as server, Receiver(answering()) as hook:
        hands = Hands(server, hook.url)
        try:
            document = spec(server)
            walkers = [Walker(document, server.url, role, hands, _SEED) for role in _ROLES]
            for walker in walkers:
                walker.follow_all(time.monotonic() + _FOLLOW_SECONDS[walker.role])
                walker.wander(time.monotonic() + _WANDER_SECONDS)
            wrong = json.loads(json.dumps(document))
            wrong["components"]["schemas"]["OrderStatus"]["enum"] = ["LOST"]
            if not Walker(wrong, server.url, "partner", hands, _SEED).findings:
                walkers[0].findings.append("it does not see a status that is not in the document")
        finally:
            hands.close()
        if "request.failed" in server.log():
            walkers[0].findings.append("the server's log tells of a failed request")
    return walkers


def _judged(walkers: Sequence[Walker]) -> Judged:
    said: list[str] = []
    found: list[str] = []
    for walker in walkers:
        links = list(walker.all.values())
        found += [f"{walker.role}: {finding}" for finding in (*walker.findings, *faults(links))]
        said.append(
            f"{walker.role}: {len(links)} links, {sum(one.times > 0 for one in links)} followed"
            f" ({sum(one.succeeded for one in links)} to a success,"
            f" {sum(bool(one.wild) for one in links)} with generated requests too) in {walker.steps} requests"
        )
    unused = [one for one in (*_NOT_FOLLOWED, *_REFUSED) if not any(_about(walker, one) for walker in walkers)]
    return Judged("; ".join(said), found + [f"no link is of: {one.source}: {one.why}" for one in unused])


def _about(walker: Walker, reason: Reason) -> bool:
    return any(reason.is_of(followed) for followed in walker.all.values())


def faults(links: Iterable[Followed]) -> list[str]:
    """Return the links that should have been followed and were not, and those that led to nothing without a reason."""
    return [f"{one.link.full_name}: {said}" for one in links if (said := _fault(one))]


def _fault(one: Followed) -> str | None:
    why_not = _why(one, _NOT_FOLLOWED)
    if one.times:
        if why_not is not None:
            return f"it was followed, though {why_not}"
        # 409 is the right request at a wrong moment: what the source did may be just what forbids the target.
        if one.succeeded or set(one.good) == {409} or _why(one, _REFUSED) is not None:
            return None
        return f"it was only answered {sorted(one.good)}"
    return None if why_not is not None else f"not followed: {one.why_not}"


def _why(one: Followed, reasons: Iterable[Reason]) -> str | None:
    return next((reason.why for reason in reasons if reason.is_of(one)), None)


def main() -> None:
    """Print what came of each link."""
    walkers = _walked()
    table = Table("link", "good requests", "generated", "why")
    for walker in walkers:
        for one in walker.all.values():
            why = _why(one, (*_NOT_FOLLOWED, *_REFUSED)) or ("" if one.times else one.why_not)
            table.add_row(one.link.full_name, _counts(one.good), _counts(one.wild), why)
    console = Console(soft_wrap=True, width=260)
    console.print(table, markup=False)
    judged = _judged(walkers)
    console.print(judged.looked_at, *judged.found, sep="\n", markup=False)


def _counts(statuses: dict[int, int]) -> str:
    return " ".join(f"{status}:{count}" for status, count in sorted(statuses.items()))


if __name__ == "__main__":
    main()
