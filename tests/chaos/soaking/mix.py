"""What partners ask hour after hour, and what is kept of the answers: rings of a fixed size, counters, two files."""

import json
import random
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TextIO

from tests.chaos.soaking.histogram import place_of
from tests.chaos.sockets import orders_body

CREATES: Final = 0.30  # of all requests: half of them with a key
_SHARES: Final[Mapping[str, float]] = {
    "create": 0.15, "create with key": 0.15, "replay": 0.02, "cancel": 0.05, "list": 0.15, "get": 0.48,
}  # fmt: skip
_RECENT: Final = 500  # orders of a partner that are asked for and cancelled
_KEPT: Final = 5
_CUSTOMER: Final = "@customer@"


@dataclass(slots=True)
class Account:
    """A partner as its clients know it."""

    id: str
    client_id: str
    client_secret: str
    head: str = ""  # the headers of each of its requests
    recent: list[str] = field(default_factory=list[str])  # order ids, _RECENT at most
    keyed: tuple[str, bytes, bytes] | None = None  # the last one, not replayed yet: key, body, answer

    @property
    def path(self) -> str:
        """Where it takes deliveries."""
        return f"/{self.id}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is under way."""

    kind: str
    account: Account
    subject: str = ""  # the customer of a create, else the order
    key: str = ""
    body: bytes = b""
    expected: bytes = b""  # the very answer


@dataclass(slots=True)
class Counts:
    """What came of a stretch of the load."""

    answers: "Counter[str]" = field(default_factory=Counter[str])
    latencies: dict[str, "Counter[int]"] = field(default_factory=dict[str, "Counter[int]"])


class Mix:
    """Draws requests and looks at their answers."""

    def __init__(self, accounts: Sequence[Account], products: Sequence[int], acked: TextIO, cancelled: TextIO) -> None:
        self.counts = Counts()
        self.changes = 0  # acknowledged: each is an event
        self.wrong = 0
        self.examples: list[str] = []
        self._accounts = accounts
        self._acked, self._cancelled = acked, cancelled
        self._chance = random.Random(1)
        self._number = 0
        self._bodies = [
            orders_body(self._chance.sample(products, count), _CUSTOMER) for count in (1, 2, 3) for _ in range(20)
        ]
        self._kinds, self._weights = list(_SHARES), list(_SHARES.values())

    def draw(self) -> tuple[bytes, Asked]:
        """Return the next request."""
        account = self._chance.choice(self._accounts)
        kind = self._chance.choices(self._kinds, self._weights)[0]
        if kind == "replay" and account.keyed is not None:
            key, body, answer = account.keyed
            account.keyed = None  # two of one key at once are a 409, and rightly
            return self._request(Asked(kind, account, key=key, body=body, expected=answer))
        if kind == "list":
            return self._request(Asked(kind, account))
        if kind.startswith("create") or not account.recent:
            return self._request(self._create(account, keyed=kind == "create with key"))
        place = self._chance.randrange(len(account.recent))
        order_id = account.recent.pop(place) if kind == "cancel" else account.recent[place]
        return self._request(Asked("cancel" if kind == "cancel" else "get", account, order_id))

    def _create(self, account: Account, *, keyed: bool) -> Asked:
        self._number += 1
        customer = f"soak-{self._number}"
        body = self._chance.choice(self._bodies).replace(_CUSTOMER.encode(), customer.encode())
        key = str(uuid.UUID(int=self._chance.getrandbits(128), version=4)) if keyed else ""
        return Asked("create with key" if keyed else "create", account, customer, key, body)

    def _request(self, asked: Asked) -> tuple[bytes, Asked]:
        target = {
            "get": f"GET /v1/orders/{asked.subject}",
            "list": "GET /v1/orders?limit=10",
            "cancel": f"POST /v1/orders/{asked.subject}/cancel",
        }.get(asked.kind, "POST /v1/orders")
        key = f"Idempotency-Key: {asked.key}\r\n" if asked.key else ""
        typed = "Content-Type: application/json\r\n" if asked.body else ""
        head = f"{target} HTTP/1.1\r\n{asked.account.head}{key}{typed}Content-Length: {len(asked.body)}\r\n\r\n"
        return head.encode() + asked.body, asked

    def answered(self, asked: Asked, status: str, body: bytes, seconds: float) -> None:
        """Count an answer and look whether it is the right one; *status* "cut" for none."""
        self.counts.answers[f"{asked.kind} {status}"] += 1
        self.counts.latencies.setdefault(asked.kind, Counter())[place_of(seconds)] += 1
        if fault := self._note(asked, status, body):
            self.wrong += 1
            if len(self.examples) < _KEPT:
                self.examples.append(fault)

    def _note(self, asked: Asked, status: str, body: bytes) -> str | None:
        if status != ("201" if asked.body else "200"):
            return f"{asked.kind} was answered {status} {body[:200].decode(errors='replace')}"
        if asked.kind == "replay":
            return None if body == asked.expected else "a replay was answered with other bytes"
        if asked.kind == "get":
            return None if asked.subject.encode() in body else "a read brought another order"
        if asked.kind == "cancel":
            self.changes += 1
            self._cancelled.write(f"{asked.subject}\n")
        if asked.body:
            self._created(asked, body)
        return None

    def _created(self, asked: Asked, body: bytes) -> None:
        order_id: str = json.loads(body)["id"]
        self.changes += 1
        self._acked.write(f"{order_id}\t{asked.subject}\t{asked.account.id}\n")
        recent = asked.account.recent
        if len(recent) < _RECENT:
            recent.append(order_id)
        else:
            recent[self._number % _RECENT] = order_id
        if asked.key:
            asked.account.keyed = (asked.key, asked.body, body)
