"""The intake: creates that arrive at once share one transaction, and each gets its own answer after the commit.

What caps one-transaction-per-order is not the work but row locks of hot lots held while the disk syncs. Here the first
order goes at once, alone; what arrives while its transaction runs waits in line and goes with the next one. Stock is
allocated in memory over rows that the transaction has locked, so one order that falls short, or whose key was used,
leaves its neighbours untouched.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from fulfillment.infra.db import DatabaseUnavailable, Tx
from fulfillment.infra.env import Env
from fulfillment.infra.wake import wake_workers
from fulfillment.inventory import service as inventory
from fulfillment.inventory.allocation import LotBook
from fulfillment.kernel.errors import FulfillmentError, Unavailable
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders import intake_queries, queries, wire
from fulfillment.orders.domain import (
    EVENT_OF,
    DuplicateOrder,
    HoldCode,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InsufficientStock,
    Order,
    OrderStatus,
)
from fulfillment.orders.idempotency import Claim
from fulfillment.orders.preparing import Prepared
from fulfillment.orders.room import Room
from fulfillment.partners.domain import Partner
from fulfillment.webhooks.domain import NewEvent

OnDuplicate = Literal["accept", "hold", "reject"]
Versions = tuple[int, int, int]  # of the catalogue, the partners and the shipping methods
LOOKALIKE_DAYS: Final = 14
_MOST: Final = 64  # orders in one transaction
_LINGER_SECONDS: Final = 0.003  # at most: it ends when all have come
_LOOK_SECONDS: Final = 0.25  # between two looks at who has waited too long
_MOST_REPEATED: Final = 10_000
_NAME: Final = "orders.intake"
_HOLD_NOTES: Final = {
    HoldCode.ADDRESS: "The address can't be delivered to as it stands.",
    HoldCode.DUPLICATE_SUSPECTED: "The customer got the same content within the last 14 days.",
}


@dataclass(frozen=True, slots=True)
class Created:
    """An order's answer: the bytes that every replay of its key returns too."""

    body: bytes
    order_id: str
    replayed: bool = False


@dataclass(slots=True)
class Asked:
    """A create on its way, with whoever waits for it."""

    prepared: Prepared
    claim: Claim | None
    on_duplicate: OnDuplicate
    versions: Versions  # of what it was prepared with
    future: "asyncio.Future[Created]"
    joined: float  # the line, on the loop's clock
    picks: list[tuple[int, str, int]] = field(default_factory=list[tuple[int, str, int]])  # product, lot, amount


class Stale(Exception):
    """A price, product or partner changed since an order was prepared: prepare it anew."""


class _Raced(Exception):
    """Another process took a key of this batch in the meantime: run its orders one by one."""


class Intake:
    """One process's line of creates."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._line: list[Asked] = []
        self._flying = False  # a transaction is under way
        self._wanted = 0  # orders that the next transaction waits for, for a moment
        self._lingering: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._claimed: set[tuple[str, str, str]] = set()
        self._repeated: set[int] = set()  # contents that were refused the short way as look-alikes
        self.room = Room()
        self.batches: dict[int, int] = {}  # how many transactions carried so many orders

    def submit(
        self, prepared: Prepared, claim: Claim | None, on_duplicate: OnDuplicate, versions: Versions
    ) -> "asyncio.Future[Created]":
        """Put the order in line and return the future of its answer, which comes after the commit.

        Whoever awaits it shields it: the order is under way, whether or not its caller still waits. It raises:
            InsufficientStock, DuplicateOrder, IdempotencyKeyReused: Nothing was done.
            DatabaseUnavailable: The detail says whether it may have been done; the same key finds out.
            Stale: Prepare it anew.

        Raises:
            IdempotencyInProgress: The same key is under way in this process.
        """
        if claim is not None:
            if claim.identity in self._claimed:
                raise IdempotencyInProgress("The first request with this key is still running.", retry_after_seconds=1)
            self._claimed.add(claim.identity)
        loop = asyncio.get_running_loop()
        asked = Asked(prepared, claim, on_duplicate, versions, loop.create_future(), loop.time())
        self._line.append(asked)
        if self._patience is None:
            self._patience = loop.call_later(_LOOK_SECONDS, self._turn_away)
        if len(self._line) >= self._wanted:
            self._depart()
        return asked.future

    def _settle(self, asked: Asked, outcome: Created | FulfillmentError) -> None:
        if not isinstance(outcome, Created):
            self._refuse([asked], outcome)
            return
        self._leave(asked)
        if not asked.future.done():
            asked.future.set_result(outcome)

    def _refuse(self, batch: Sequence[Asked], error: Exception) -> None:
        for asked in batch:
            self._leave(asked)
            if not asked.future.done():
                asked.future.set_exception(error)
                asked.future.exception()  # its caller may have gone: nobody is left to be told

    def _leave(self, asked: Asked) -> None:
        if asked.claim is not None:
            self._claimed.discard(asked.claim.identity)

    def _turn_away(self) -> None:
        # Behind a transaction that hangs nobody waits for long. Who is in the transaction has to: it may succeed.
        loop = asyncio.get_running_loop()
        until = loop.time() - self._env.settings.database_timeout_seconds
        late = [asked for asked in self._line if asked.joined < until]
        if late:
            self._line = self._line[len(late) :]
            self._refuse(late, DatabaseUnavailable("The service is busy. Try again.", retry_after_seconds=1))
        self._patience = loop.call_later(_LOOK_SECONDS, self._turn_away) if self._line else None

    def _depart(self) -> None:
        if self._flying:
            return
        self._wanted = 0
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if not self._line:
            return
        self._flying = True
        batch, self._line = self._line[:_MOST], self._line[_MOST:]
        task = asyncio.create_task(self._fly(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, batch: list[Asked]) -> None:
        try:
            self.room.judge(asyncio.get_running_loop().time() - batch[0].joined)
            await self._serve(batch)
        finally:
            self._flying = False
            if len(batch) > 1:
                self._linger(min(len(self._line) + len(batch), _MOST))
            else:
                self._depart()

    def _linger(self, wanted: int) -> None:
        """Let those who were just answered come again: one batch costs less than two halves."""
        self._wanted = wanted
        if len(self._line) >= wanted:
            self._depart()
        else:
            self._lingering = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._depart)

    async def _serve(self, batch: list[Asked]) -> None:
        self.batches[len(batch)] = self.batches.get(len(batch), 0) + 1
        try:
            outcomes = await self._transact(batch)
        except DatabaseUnavailable as error:
            self._refuse(batch, error)
        except Stale:
            self._env.caches.drop("catalog")
            self._env.caches.drop("partners")
            self._env.caches.drop("shipping")
            self._refuse(batch, Stale())
        except Exception as error:
            if len(batch) == 1 and not isinstance(error, _Raced):
                self._refuse(batch, error)
                return
            await self._serve_singly(batch)
        else:
            for asked, outcome in zip(batch, outcomes, strict=True):
                self._settle(asked, outcome)
            self._wake(batch)

    async def _serve_singly(self, batch: list[Asked]) -> None:
        # One order's fault (or a lost race for a key) broke the transaction of all: alone, only its own breaks.
        for asked in batch:
            try:
                self._settle(asked, (await self._transact([asked]))[0])
            except _Raced:
                self._settle(
                    asked, Unavailable("Another request with this key is running. Try again.", retry_after_seconds=1)
                )
            except Exception as error:
                self._refuse([asked], error)
        self._wake(batch)

    def _wake(self, batch: list[Asked]) -> None:
        # Most partners have a receiver. For the others nothing is due before the cut-off, which the workers wait for.
        if any(_is_due_soon(asked.prepared.partner) for asked in batch):
            wake_workers(self._env)

    async def _transact(self, batch: list[Asked]) -> list[Created | FulfillmentError]:
        if self._is_plain(batch):
            made = [_drawn(asked, None) for asked in batch]
            if all(not holds for *_, holds in made) and await self._accept(made):
                return [created for _, _, created, _ in made]
        return await self._transact_carefully(batch)

    def _is_plain(self, batch: list[Asked]) -> bool:
        contents = {asked.prepared.content_key for asked in batch}
        return (
            len(contents) == len(batch)
            and self._repeated.isdisjoint(contents)
            and all(asked.versions == batch[0].versions for asked in batch)
        )

    async def _accept(self, made: "list[_Made]") -> bool:
        """Create the orders in one round trip; return False, with nothing done, where that can't decide.

        Raises:
            Stale: Prepare them anew.
        """
        said = await intake_queries.accept(
            self._env.db,
            {order.partner_id for _, order, _, _ in made},
            made[0][0].versions,
            min(order.created_at for _, order, _, _ in made) - timedelta(days=LOOKALIKE_DAYS),
            [
                (order.id, demand.product_id, demand.amount, asked.prepared.lasts_until)
                for asked, order, _, _ in made
                for demand in asked.prepared.demands
            ],
            [_plain(row) for row in made],
        )
        if said == intake_queries.STALE:
            raise Stale
        if said == intake_queries.LOOKALIKE:
            # Who sends one content again does so often: the next time it is not tried the short way first.
            if len(self._repeated) > _MOST_REPEATED:
                self._repeated.clear()
            self._repeated.update(asked.prepared.content_key for asked, *_ in made)
        return said == intake_queries.ACCEPTED

    async def _transact_carefully(self, batch: list[Asked]) -> list[Created | FulfillmentError]:
        tenants = ",".join(sorted({asked.prepared.partner.id for asked in batch}))
        async with self._env.db.transaction(tenants) as tx:
            book, stored, twins = await self._look(tx, batch)
            outcomes: list[Created | FulfillmentError] = []
            made: list[tuple[Asked, Order, Created, list[_Hold]]] = []
            for asked in batch:
                outcome = answer_from(self._env, stored, asked.claim, asked.prepared.created_at)
                if outcome is None:
                    outcome = self._make(asked, book, twins, made)
                outcomes.append(outcome)
            if made:
                await self._write(tx, made)
        return outcomes

    async def _look(self, tx: Tx, batch: list[Asked]) -> tuple[LotBook, "_Stored", "_Twins"]:
        claims = sorted({asked.claim.identity for asked in batch if asked.claim})
        products = sorted({demand.product_id for asked in batch for demand in asked.prepared.demands})
        since = min(asked.prepared.created_at for asked in batch) - timedelta(days=LOOKALIKE_DAYS)
        contents = [asked.prepared.content_key for asked in batch]
        await intake_queries.lock_contents(tx, contents)
        lots = await inventory.lock_lots(tx, products)
        seen = await intake_queries.look(tx, claims, contents, since)
        now = (seen.versions["catalog"], seen.versions["partners"], seen.versions["shipping"])
        if any(asked.versions != now for asked in batch):
            raise Stale
        return LotBook(lots), seen.stored, seen.lookalikes

    def _make(self, asked: Asked, book: LotBook, twins: "_Twins", made: "list[_Made]") -> Created | FulfillmentError:
        prepared = asked.prepared
        twin = twins.get(prepared.content_key)
        if twin is not None and twin[1] <= prepared.created_at - timedelta(days=LOOKALIKE_DAYS):
            twin = None  # of the last two weeks for another order of this batch, on another test clock
        if twin is not None and asked.on_duplicate == "reject":
            return DuplicateOrder(
                "The customer got the same content within the last 14 days.", extra={"orderId": twin[0]}
            )
        short = _take(asked, book)
        if short is not None:
            return short
        row = _drawn(asked, twin)
        _, order, created, _ = row
        twins[prepared.content_key] = (order.id, order.created_at)
        made.append(row)
        return created

    async def _write(self, tx: Tx, made: "list[_Made]") -> None:
        events = [event for row in made for event in _events_of(row)]
        keys = _keys_of(made)
        free = await intake_queries.write(
            tx,
            picks=[(order.id, *pick) for asked, order, _, _ in made for pick in asked.picks],
            orders=[_row_of(asked, order) for asked, order, _, _ in made],
            events=events,
            deliveries=_deliveries_of(events),
            keys=keys,
            retention=_retention(self._env),
        )
        if free != len(keys):
            raise _Raced
        for _, order, _, holds in made:
            for hold in holds:
                await queries.insert_hold(tx, order_id=order.id, partner_id=order.partner_id, **hold)


_Hold = dict[str, object]
_Stored = dict[tuple[str, str, str], tuple[Any, ...]]
_Twins = dict[int, tuple[str, datetime]]
_Made = tuple[Asked, Order, Created, list[_Hold]]


def _is_due_soon(partner: Partner) -> bool:
    return partner.webhook_url is not None or partner.auto_advance_seconds is not None


def intake_of(env: Env) -> Intake:
    """Return the process's intake."""
    intake = env.local.get(_NAME)
    if intake is None:
        intake = env.local[_NAME] = Intake(env)
    return intake


def answer_from(
    env: Env, stored: Mapping[tuple[str, ...], tuple[Any, ...]], claim: Claim | None, at: datetime
) -> Created | IdempotencyKeyReused | None:
    """Return the answer that *claim* has got already, the refusal of a key that was used otherwise, or None.

    Args:
        stored: The rows of `queries.SELECT_KEYS` by the claims' identities.
        at: The partner's present, by which its keys end.
    """
    row = stored.get(claim.identity) if claim else None
    if claim is None or row is None:
        return None
    fingerprint, _, body, created_at = row
    if created_at <= at - _retention(env):
        return None
    if bytes(fingerprint) != claim.fingerprint:
        return IdempotencyKeyReused("This Idempotency-Key was used for another request. Use a new one.")
    return Created(bytes(body), "", replayed=True)


def _retention(env: Env) -> timedelta:
    return timedelta(hours=env.settings.idempotency_retention_hours)


def _take(asked: Asked, book: LotBook) -> InsufficientStock | None:
    prepared = asked.prepared
    asked.picks = []
    short: list[dict[str, object]] = []
    for demand in prepared.demands:
        picks = book.take(demand.product_id, demand.amount, prepared.lasts_until, demand.day_quantity)
        if picks is None:
            left = book.sellable(demand.product_id, prepared.lasts_until)
            short.append({"productId": demand.product_id, "requested": demand.amount, "available": left})
        else:
            asked.picks.extend((demand.product_id, lot, amount) for lot, amount in picks)
    if not short:
        return None
    book.undo([(lot, amount) for _, lot, amount in asked.picks])
    named = "; ".join(
        f"product {item['productId']}: {item['requested']} asked, {item['available']} left" for item in short
    )
    return InsufficientStock(
        f"Too little is left that lasts until {prepared.lasts_until}, the supply's end: {named}. Nothing was taken.",
        extra={"products": short, "lastsUntil": prepared.lasts_until.isoformat()},
    )


def _drawn(asked: Asked, twin: tuple[str, datetime] | None) -> "_Made":
    order, holds = _order_of(asked, twin)
    return asked, order, Created(wire.order_json(order).encode(), order.id), holds


def _plain(row: "_Made") -> intake_queries.PlainOrder:
    asked, order, created, _ = row
    partner, claim = asked.prepared.partner, asked.claim
    at = order.created_at
    return intake_queries.PlainOrder(
        order.id,
        order.partner_id,
        order.days_supply,
        order.shipping_method,
        order.protocol_id,
        asked.prepared.draft.customer["sourceId"],
        order.customer,
        order.document,
        order.warnings,
        asked.prepared.content_key,
        order.release_at,
        at,
        new_id(at),
        wire.event_json(order),
        new_id(at) if partner.webhook_url is not None else None,
        partner.clock_frozen_at is not None,
        claim.operation if claim else None,
        claim.key if claim else None,
        claim.fingerprint if claim else None,
        created.body if claim else None,
    )


def _keys_of(made: "list[_Made]") -> list[tuple[Claim, bytes, str, datetime]]:
    return [(asked.claim, created.body, order.id, order.created_at) for asked, order, created, _ in made if asked.claim]


def _deliveries_of(events: Sequence[NewEvent]) -> list[tuple[str, NewEvent]]:
    return [(new_id(event.created_at), event) for event in events if event.deliver]


def _order_of(asked: Asked, twin: tuple[str, datetime] | None) -> tuple[Order, list[_Hold]]:
    prepared = asked.prepared
    at = prepared.created_at
    warnings = [
        {"code": finding.code, "pointer": finding.pointer, "message": finding.message, "suggestion": finding.suggestion}
        for finding in prepared.address.findings
    ]
    codes: list[HoldCode] = []
    if prepared.address.verdict == "undeliverable":
        codes.append(HoldCode.ADDRESS)
    if twin is not None:
        warnings.append(
            {
                "code": "duplicate_suspected",
                "pointer": "/customer/sourceId",
                "message": f"The customer got the same content with order {twin[0]} on {twin[1].date()}.",
                "suggestion": None,
            }
        )
        if asked.on_duplicate == "hold":
            codes.append(HoldCode.DUPLICATE_SUSPECTED)
    holds: list[_Hold] = [
        {"id": new_id(at), "code": code.value, "note": _HOLD_NOTES[code], "actor": "system", "created_at": at}
        for code in codes
    ]
    order = Order(
        id=new_id(at),
        partner_id=prepared.partner.id,
        status=OrderStatus.CREATED,
        sequence=1 + len(holds),
        days_supply=prepared.draft.days_supply,
        shipping_method=prepared.draft.shipping_method,
        customer=_customer_text(prepared),
        document=prepared.document,
        warnings=wire.jsontext.write(warnings).decode() if warnings else None,
        holds=wire.holds_json([hold_json(hold) for hold in holds]),
        fulfillment=None,
        shipments=None,
        release_at=prepared.release_at,
        created_at=at,
        updated_at=at,
        protocol_id=prepared.draft.protocol_id,
    )
    return order, holds


def hold_json(hold: dict[str, Any]) -> dict[str, object]:
    """Return a hold as an order shows it."""
    return {
        "id": hold["id"],
        "code": hold["code"],
        "note": hold["note"],
        "actor": hold["actor"],
        "createdAt": moment(hold["created_at"]),
    }


def _customer_text(prepared: Prepared) -> str:
    return wire.jsontext.write(prepared.draft.customer).decode()


def _events_of(row: "_Made") -> list[NewEvent]:
    asked, order, _, holds = row
    partner = asked.prepared.partner
    types = [EVENT_OF[OrderStatus.CREATED], *("order.held" for _ in holds)]
    return [
        NewEvent(
            id=new_id(order.created_at),
            partner_id=partner.id,
            type=type_,
            payload=wire.event_json(order),
            created_at=order.created_at,
            order_id=order.id,
            order_sequence=place,
            deliver=partner.webhook_url is not None,
            on_clock=partner.clock_frozen_at is not None,
        )
        for place, type_ in enumerate(types, 1)
    ]


def _row_of(asked: Asked, order: Order) -> tuple[object, ...]:
    return (
        order.id,
        order.partner_id,
        order.sequence,
        order.days_supply,
        order.shipping_method,
        order.protocol_id,
        asked.prepared.draft.customer["sourceId"],
        order.customer,
        order.document,
        order.warnings,
        order.holds,
        asked.prepared.content_key,
        order.release_at,
        order.created_at,
    )
