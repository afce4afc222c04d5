"""What would become of an order if it were made now: every check of creation, and nothing reserved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from fulfillment.catalog import service as catalog
from fulfillment.catalog.domain import Orderable, Product
from fulfillment.catalog.facts import FactsWarning, Intake, lint
from fulfillment.infra.db import ReadTx
from fulfillment.infra.env import Env
from fulfillment.inventory import service as inventory
from fulfillment.inventory.allocation import LotBook
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError
from fulfillment.orders import packs, pricing, queries, service
from fulfillment.orders.domain import (
    Administration,
    Draft,
    DuplicateOrder,
    HoldCode,
    InsufficientStock,
)
from fulfillment.orders.intake import LOOKALIKE_DAYS, OnDuplicate
from fulfillment.orders.packs import Line
from fulfillment.orders.preparing import Rules, content_key, demands_of, lasts_until, release_at, verdict_of
from fulfillment.orders.pricing import PricedLine, Terms, Totals
from fulfillment.partners import service as partners
from fulfillment.partners.domain import Partner
from fulfillment.shipping import service as shipping
from fulfillment.shipping.addresses import AddressVerdict
from fulfillment.shipping.calendar import ArrivalWindow, ShippingMethod, arrival_window, ship_date
from fulfillment.shipping.domain import Method

_NOWHERE: Final = Administration()


@dataclass(frozen=True, slots=True)
class Stock:
    """What a line's product has, against what all lines of that product need."""

    requested: int  # pills or units
    available: int  # in lots that last to the end of the supply
    sufficient: bool
    unit: str  # "pills" or "units"


@dataclass(frozen=True, slots=True)
class PreviewedLine:
    """A line of the request; without price and stock where it can't be made."""

    product_id: int
    quantity: int
    priced: PricedLine | None
    stock: Stock | None


@dataclass(frozen=True, slots=True)
class Way:
    """What one shipping method would mean for the order."""

    method: Method
    ships_on: date
    arrives: ArrivalWindow
    deliverable: bool  # to this address
    totals: Totals | None  # None: a line can't be made


@dataclass(frozen=True, slots=True)
class Twin:
    """An order of the last two weeks with the same content for the same customer."""

    order_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of an order."""

    errors: tuple[FieldError, ...]  # each with its code; none: creation succeeds
    holds: tuple[HoldCode, ...]  # what creation would put on the order
    lines: tuple[PreviewedLine, ...]  # in the request's order
    totals: Totals | None  # None: a line can't be made
    day: Administration  # pills of one day's packs
    days_supply: int
    address: AddressVerdict
    cancellable_until: datetime | None  # None: until it is released by hand
    ways: tuple[Way, ...]
    facts: tuple[FactsWarning, ...]
    twin: Twin | None

    @property
    def valid(self) -> bool:
        """Whether creation would succeed at this moment."""
        return not self.errors


@dataclass(frozen=True, slots=True)
class _Terms:
    partner: Partner
    methods: Mapping[str, Method]
    rules: Rules
    at: datetime  # the partner's present


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the database says."""

    book: LotBook
    products: Mapping[int, Product]
    twin: Twin | None


async def preview_order(env: Env, caller: Caller, draft: Draft, *, on_duplicate: OnDuplicate = "accept") -> Preview:
    """Return what would become of *draft* if it were created now with the same arguments; nothing is reserved.

    It is valid exactly when creation succeeds, as long as neither the catalogue nor the stock changes in between,
    and creation then answers with the same prices and totals.
    """
    orderables = (await catalog.get_orderables(env)).value
    partner = await partners.get_partner(env, caller.partner_id)
    terms = _Terms(
        partner, (await shipping.get_methods(env)).value, service.rules_of(env), service.now_of(env, partner)
    )
    made, faults = _made_lines(draft, orderables)
    if faults:  # as at creation, a refusal rests on the catalogue as it is now
        await env.caches.compare()
        made, faults = _made_lines(draft, (await catalog.get_orderables(env)).value)
    lines = list(made.values())
    async with env.db.reading(caller.partner_id) as tx:
        looked = await _look(tx, terms, draft, lines)
    priced = _priced(terms, draft, draft.shipping_method, lines)
    stocks = _stocks(terms, draft, lines, looked.book)
    twin = looked.twin if not faults else None
    address = verdict_of(draft)
    return Preview(
        errors=(*faults, *_shortages(made, stocks), *_refused_twin(twin, on_duplicate)),
        holds=_holds(address, twin, on_duplicate),
        lines=_previewed(draft, made, dict(zip(made, priced[0], strict=True)), stocks),
        totals=priced[1] if not faults else None,
        day=_day(lines),
        days_supply=draft.days_supply,
        address=address,
        cancellable_until=release_at(terms.rules, partner, terms.at),
        ways=_ways(terms, draft, lines if not faults else []),
        facts=lint([_intake(line, looked.products[line.product.id]) for line in lines]),
        twin=twin,
    )


def _made_lines(draft: Draft, orderables: Mapping[int, Orderable]) -> tuple[dict[int, Line], list[FieldError]]:
    made: dict[int, Line] = {}
    faults: list[FieldError] = []
    for place, asked in enumerate(draft.lines):
        lines, found = packs.check_lines([(place, asked)], orderables)
        faults.extend(found)
        if lines:
            made[place] = lines[0]
    return made, faults


async def _look(tx: ReadTx, terms: _Terms, draft: Draft, lines: Sequence[Line]) -> _Looked:
    product_ids = sorted({line.product.id for line in lines})
    since = terms.at - timedelta(days=LOOKALIKE_DAYS)
    key = content_key(terms.partner.id, draft, list(lines))
    lots = await inventory.view_lots(tx, product_ids)
    found = await queries.select_lookalike(tx, key, since)
    products = await catalog.select_products(tx, product_ids)
    return _Looked(LotBook(lots), products, Twin(*found) if found else None)


def _priced(terms: _Terms, draft: Draft, method: str, lines: Sequence[Line]) -> tuple[tuple[PricedLine, ...], Totals]:
    partner = terms.partner
    price = terms.methods[method].price
    return pricing.price(
        lines,
        draft.days_supply,
        Terms(partner.discount, partner.volume_discounts, terms.rules.handling_fee, price),
    )


def _stocks(terms: _Terms, draft: Draft, lines: Sequence[Line], book: LotBook) -> dict[int, Stock]:
    until = lasts_until(draft, terms.rules, terms.at)
    units = {line.product.id: "units" if line.product.external else "pills" for line in lines}
    found: dict[int, Stock] = {}
    for demand in demands_of(list(lines), draft.days_supply):
        available = book.sellable(demand.product_id, until)
        picks = book.take(demand.product_id, demand.amount, until, demand.day_quantity)
        found[demand.product_id] = Stock(demand.amount, available, picks is not None, units[demand.product_id])
    return found


def _shortages(made: Mapping[int, Line], stocks: Mapping[int, Stock]) -> list[FieldError]:
    faults: list[FieldError] = []
    for place, line in made.items():
        stock = stocks[line.product.id]
        if not stock.sufficient:
            message = f"{stock.requested} {stock.unit} asked, {stock.available} left that last long enough."
            faults.append(FieldError(f"/lineItems/{place}/quantity", message, InsufficientStock.code))
    return faults


def _refused_twin(twin: Twin | None, on_duplicate: OnDuplicate) -> list[FieldError]:
    if twin is None or on_duplicate != "reject":
        return []
    message = f"The customer got the same content with order {twin.order_id} within the last 14 days."
    return [FieldError("/customer/sourceId", message, DuplicateOrder.code)]


def _holds(address: AddressVerdict, twin: Twin | None, on_duplicate: OnDuplicate) -> tuple[HoldCode, ...]:
    codes: list[HoldCode] = []
    if address.verdict == "undeliverable":
        codes.append(HoldCode.ADDRESS)
    if twin is not None and on_duplicate == "hold":
        codes.append(HoldCode.DUPLICATE_SUSPECTED)
    return tuple(codes)


def _previewed(
    draft: Draft, made: Mapping[int, Line], priced: Mapping[int, PricedLine], stocks: Mapping[int, Stock]
) -> tuple[PreviewedLine, ...]:
    return tuple(
        PreviewedLine(asked.product_id, asked.quantity, priced[place], stocks[asked.product_id])
        if place in made
        else PreviewedLine(asked.product_id, asked.quantity, None, None)
        for place, asked in enumerate(draft.lines)
    )


def _day(lines: Sequence[Line]) -> Administration:
    placed = [line.administration for line in lines if line.administration and not line.product.external]
    return Administration(
        sum(each.morning for each in placed),
        sum(each.afternoon for each in placed),
        sum(each.evening for each in placed),
        sum(each.sleep for each in placed),
    )


def _ways(terms: _Terms, draft: Draft, lines: Sequence[Line]) -> tuple[Way, ...]:
    ships_on = ship_date(terms.at, terms.rules.zone)
    return tuple(
        Way(
            method,
            ships_on,
            arrival_window(ships_on, ShippingMethod(name)),
            verdict_of(draft, name).verdict != "undeliverable",
            _priced(terms, draft, name, lines)[1] if lines else None,
        )
        for name, method in terms.methods.items()
    )


def _intake(line: Line, product: Product) -> Intake:
    given = line.administration or _NOWHERE
    return Intake(product.facts, given.morning, given.afternoon, given.evening, given.sleep)
