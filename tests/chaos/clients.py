"""Partners under load: they create, cancel, read and retry, and remember what they were told."""

import contextlib
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx2
import psycopg

from fulfillment.kernel.errors import FulfillmentError
from fulfillment.orders.domain import OrderStatus
from tests.chaos import visitors
from tests.chaos.stage import Stage
from tests.world import a_customer, a_line, an_order

DAYS: Final = 30
PRODUCTS: Final = tuple(range(88_000_000_001, 88_000_000_007))
SCARCE: Final = 88_000_000_000
SCARCE_PILLS: Final = 6_000
SCARCE_LOT: Final = 120
_PLENTY: Final = 50_000_000
_TIMEOUT_SECONDS: Final = 20.0
_LONGEST_TRY_SECONDS: Final = 120.0  # of one operation, all tries together


@dataclass(slots=True)
class Placed:
    """A create, as its client saw it."""

    key: str
    partner: int  # index
    demands: dict[int, int]  # pills by product
    tries: int = 0
    status: int = 0  # of the answer that settled it; 0: none did
    code: str | None = None
    order_id: str | None = None
    body: bytes = b""
    replays: list[bytes] = field(default_factory=list[bytes])


@dataclass(slots=True)
class Journal:
    """What all clients together saw."""

    placed: list[Placed] = field(default_factory=list[Placed])
    cancelled: set[str] = field(default_factory=set[str])  # acknowledged
    moved: dict[str, str] = field(default_factory=dict[str, str])  # acknowledged status
    statuses: "Counter[str]" = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])  # what no client should ever see
    acks: list[float] = field(default_factory=list[float])  # moments
    refusals: list[float] = field(default_factory=list[float])  # moments of 503
    recoveries: list[float] = field(default_factory=list[float])  # seconds from the database's return to a 2xx
    outages: int = 0
    pages: int = 0  # whole lists read
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def acked(self) -> list[Placed]:
        """The creates that were answered with an order."""
        return [one for one in self.placed if one.order_id is not None]

    def note(self, operation: str, answer: httpx2.Response | None) -> None:
        """Count an answer, and keep what it does wrong."""
        status = str(answer.status_code) if answer is not None else "cut"
        with self.lock:
            self.statuses[f"{operation} {status}"] += 1
            if answer is None:
                return
            if answer.status_code >= 500 and answer.status_code != 503:
                self.faults.append(f"{operation}: {answer.status_code} {answer.text[:200]}")
            if answer.status_code == 503:
                self.refusals.append(time.monotonic())
            if answer.status_code in (429, 503) and "retry-after" not in answer.headers:
                self.faults.append(f"{operation}: {answer.status_code} without Retry-After")
            if answer.status_code in (401, 403):
                self.faults.append(f"{operation}: {answer.status_code} for a good token")


class Crowd:
    """All clients of a run, each a thread."""

    def __init__(self, stage: Stage, urls: list[str], *, pause_seconds: float = 0.03) -> None:
        self.stage = stage
        self.journal = Journal()
        self.stopping = threading.Event()
        self._urls = urls  # where clients connect: the proxy, and a process whose clock is off
        self._pause = pause_seconds
        self._threads: list[threading.Thread] = []
        self._tokens = [stage.token(partner) for partner in stage.partners]
        self._operators_token = stage.operators_token()

    @classmethod
    def at_work(cls, stage: Stage, *, creators: int = 5, movers: int = 2, pause_seconds: float = 0.03) -> Self:
        """Return a crowd that has its stock and has begun, all of it at the stage's own server."""
        crowd = cls(stage, [stage.server.url], pause_seconds=pause_seconds)
        crowd.prepare()
        crowd.start(creators=creators, movers=movers)
        return crowd

    def prepare(self) -> None:
        """Make the stock."""
        for product in PRODUCTS:
            self.stage.office.product(product, [_PLENTY // 2, _PLENTY // 2])
        # Many small lots: at the end of each, two processes may want the same last pills.
        self.stage.office.product(SCARCE, [SCARCE_LOT] * (SCARCE_PILLS // SCARCE_LOT))

    def start(self, *, creators: int = 5, cancellers: int = 1, movers: int = 2, visitors: int = 1) -> None:
        """Begin."""
        works: list[Callable[[random.Random], None]] = [
            *[self._create] * creators,
            *[self._cancel] * cancellers,
            *[self._move] * movers,
            *[self._visit] * visitors,
            self._read,
            self._watch,
        ]
        for number, work in enumerate(works):
            chance = random.Random(f"{self.stage.seed}/{number}")
            thread = threading.Thread(target=self._guarded, args=(work, chance), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let every client finish what it has begun."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(_LONGEST_TRY_SECONDS + 30)
            if thread.is_alive():
                self.journal.faults.append("a client is still waiting for its answer")

    def client(self, partner: int, url: str) -> httpx2.Client:
        """Return a client of a partner."""
        headers = {"Authorization": f"Bearer {self._tokens[partner]}"}
        return httpx2.Client(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS)

    def _guarded(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            work(chance)
        except Exception as error:
            with self.journal.lock:
                self.journal.faults.append(f"a client broke: {type(error).__name__}: {error}")

    def _create(self, chance: random.Random) -> None:
        partner = chance.randrange(len(self.stage.partners))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.client(partner, url)) for url in self._urls]
            while not self.stopping.is_set():
                time.sleep(chance.random() * 2 * self._pause)
                placed, body = _an_order(chance, partner)
                with self.journal.lock:
                    self.journal.placed.append(placed)
                self._settle(chance, clients, placed, body)
                if placed.order_id is not None and chance.random() < 0.1:
                    self._replay(chance, clients, placed, body)

    def _settle(
        self, chance: random.Random, clients: list[httpx2.Client], placed: Placed, body: dict[str, Any]
    ) -> None:
        until = time.monotonic() + _LONGEST_TRY_SECONDS
        while time.monotonic() < until:
            placed.tries += 1
            answer = self._send("create", chance.choice(clients), "POST", "/v1/orders", placed.key, body)
            if answer is not None and _settles(answer):
                placed.status, placed.body = answer.status_code, answer.content
                content = answer.json()
                placed.code = content.get("code")
                if answer.status_code == 201:
                    placed.order_id = content["id"]
                    self.journal.acks.append(time.monotonic())
                return
            time.sleep(0.05 + chance.random() * 0.15)
        with self.journal.lock:
            self.journal.faults.append(f"create: no answer within {_LONGEST_TRY_SECONDS:.0f} s")

    def _replay(
        self, chance: random.Random, clients: list[httpx2.Client], placed: Placed, body: dict[str, Any]
    ) -> None:
        answer = self._send("replay", chance.choice(clients), "POST", "/v1/orders", placed.key, body)
        if answer is not None and answer.status_code == 201:
            placed.replays.append(answer.content)

    def _send(
        self,
        operation: str,
        client: httpx2.Client,
        method: str,
        path: str,
        key: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> httpx2.Response | None:
        def ask() -> httpx2.Response | None:
            try:
                answer = client.request(method, path, json=body, headers={"Idempotency-Key": key} if key else {})
            except (httpx2.TransportError, httpx2.DecodingError):
                answer = None
            self.journal.note(operation, answer)
            return answer

        answer = ask()
        return ask() if answer is not None and answer.status_code == 401 and self._renew(operation, client) else answer

    def _renew(self, operation: str, client: httpx2.Client) -> bool:
        """Give *client*, whose token was refused, another, and return whether it is to ask again."""
        return False

    def _pick(self, chance: random.Random) -> Placed | None:
        with self.journal.lock:
            recent = self.journal.placed[-400:]
        open_ = [
            one
            for one in recent
            if one.order_id is not None
            and one.order_id not in self.journal.cancelled
            and one.order_id not in self.journal.moved
        ]
        return chance.choice(open_) if open_ else None

    def _cancel(self, chance: random.Random) -> None:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.client(partner, self._urls[0])) for partner in range(len(self._tokens))]
            while not self.stopping.is_set():
                time.sleep(chance.random() * 4 * self._pause)
                placed = self._pick(chance)
                if placed is not None and placed.order_id is not None:
                    self._cancel_one(clients[placed.partner], placed.order_id)

    def _cancel_one(self, client: httpx2.Client, order_id: str) -> None:
        until = time.monotonic() + _LONGEST_TRY_SECONDS
        while time.monotonic() < until:
            answer = self._send("cancel", client, "POST", f"/v1/orders/{order_id}/cancel")
            if answer is not None and answer.status_code == 200:
                self.journal.cancelled.add(order_id)
                return
            if answer is not None and answer.status_code == 409:
                return  # it has entered production, or an earlier try was heard and its answer lost
            if answer is not None and answer.status_code == 404:
                self.journal.faults.append(f"cancel: an acknowledged order is not there: {order_id}")
                return
            time.sleep(0.1)

    def _move(self, chance: random.Random) -> None:
        targets = (OrderStatus.PROCESSING, OrderStatus.AWAITING_SHIPMENT, OrderStatus.SHIPPED, OrderStatus.SHIPPED)
        while not self.stopping.is_set():
            time.sleep(chance.random() * 4 * self._pause)
            placed = self._pick(chance)
            if placed is not None and placed.order_id is not None:
                self._move_one(placed.order_id, chance.choice(targets))

    def _move_one(self, order_id: str, to: OrderStatus) -> None:
        for _ in range(50):
            try:
                self.journal.moved[order_id] = self.stage.office.advance(order_id, to)
                self.journal.statuses["move done"] += 1
                return
            except FulfillmentError as error:
                self.journal.statuses[f"move {error.code}"] += 1
                if error.code != "database_unavailable":
                    return  # cancelled in the meantime, or moved by another thread
                time.sleep(0.2)

    def _read(self, chance: random.Random) -> None:
        """Read whole lists while they grow: what was there before the reading began is in them once."""
        while not self.stopping.is_set():
            partner = chance.randrange(len(self.stage.partners))
            with self.client(partner, self._urls[0]) as client:
                with self.journal.lock:
                    known = {one.order_id for one in self.journal.acked if one.partner == partner}
                found = self._list(client)
            if found is not None:
                self.journal.pages += 1
                with self.journal.lock:
                    if missing := known - set(found):
                        self.journal.faults.append(f"list: {len(missing)} acknowledged orders are not in it")
                    if len(found) != len(set(found)):
                        self.journal.faults.append("list: an order is in it twice")
            time.sleep(1)

    def _visit(self, chance: random.Random) -> None:
        """Ask for everything else, each time once: nothing may come but what the operation says, or 503."""
        url = self._urls[0]
        operator = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {self._operators_token}"}, timeout=_TIMEOUT_SECONDS
        )
        with operator, self.client(0, url) as partner:
            while not self.stopping.is_set():
                time.sleep(chance.random() * 2 * self._pause)
                if chance.random() < 0.1:
                    self._ask_for_token(url)
                    continue
                with self.journal.lock:
                    known = [one.order_id for one in self.journal.placed[-50:] if one.order_id and one.partner == 0]
                visit = visitors.draw(chance, known, PRODUCTS, lambda chance: _an_order(chance, 0)[1])
                client = operator if visit.operator else partner
                answer = self._send(visit.name, client, visit.method, visit.path, visit.key, visit.body)
                if answer is not None and answer.status_code in (400, 404, 405, 422):
                    self.journal.faults.append(f"{visit.path}: {answer.status_code} {answer.text[:200]}")

    def _ask_for_token(self, url: str) -> None:
        account = self.stage.partners[0]
        form = {
            "grant_type": "client_credentials",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
        }
        try:
            answer = httpx2.post(url + "/oauth2/token", data=form, timeout=_TIMEOUT_SECONDS)
        except (httpx2.TransportError, httpx2.DecodingError):
            answer = None
        self.journal.note("token", answer)

    def _list(self, client: httpx2.Client) -> list[str] | None:
        found: list[str] = []
        cursor: str | None = None
        while True:
            path = "/v1/orders?limit=100" + (f"&cursor={cursor}" if cursor else "")
            answer = self._send("list", client, "GET", path)
            if answer is None or answer.status_code != 200:
                if self.stopping.is_set():
                    return None
                time.sleep(0.1)
                continue
            page = answer.json()
            found += [order["id"] for order in page["orders"]]
            cursor = page["cursor"]
            if cursor is None:
                return found

    def _watch(self, chance: random.Random) -> None:
        """Measure from the database's return to the first answer that needs it."""
        with self.client(0, self.stage.server.url) as client:
            while not self.stopping.is_set():
                if database_answers(self.stage):
                    time.sleep(0.05)
                    continue
                self.journal.outages += 1
                starts = self.stage.server.starts if self.stage.server.serving else -1
                while not database_answers(self.stage):
                    time.sleep(0.02)
                began = time.monotonic()
                while not _answered(client):
                    if time.monotonic() - began > 60:
                        break
                    time.sleep(0.02)
                if self.stage.server.starts == starts:  # else the whole server was gone, not the database alone
                    self.journal.recoveries.append(time.monotonic() - began)


def database_answers(stage: Stage) -> bool:
    """Return whether the application can open a new connection to the database and use it."""
    try:
        with psycopg.connect(stage.database.app_dsn, autocommit=True) as connection:
            connection.execute("SELECT 1")
    except Exception:
        return False
    return True


def _answered(client: httpx2.Client) -> bool:
    try:
        return client.get("/v1/orders?limit=1", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


def _settles(answer: httpx2.Response) -> bool:
    if answer.status_code == 201:
        return True
    if answer.status_code == 409:
        return answer.json().get("code") != "idempotency_in_progress"
    return 400 <= answer.status_code < 500 and answer.status_code != 429


def _an_order(chance: random.Random, partner: int) -> tuple[Placed, dict[str, Any]]:
    products = chance.sample(PRODUCTS, chance.randrange(1, 5))
    if chance.random() < 0.25:
        products.append(SCARCE)
        chance.shuffle(products)
    quantities = {product: chance.randrange(1, 4) for product in products}
    key = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    lines = [a_line(product, quantity) for product, quantity in quantities.items()]
    customer = a_customer(sourceId=key)  # finds the order again, without the server's table of keys
    body = an_order(*lines, customer=customer, daysSupply=DAYS)
    return Placed(key, partner, {product: quantity * DAYS for product, quantity in quantities.items()}), body
