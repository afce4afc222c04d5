"""The shapes of the warehouse's operations: what comes in is read strictly, what goes out is documented by them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from fulfillment.infra import jsontext
from fulfillment.inventory.domain import Difference, Lot, LotState, Movement, NewLot
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders.domain import HoldCode, Order, allowed_moves
from fulfillment.orders.wire import order_json
from fulfillment.warehouse.domain import ALL_PACKS, Batch, LabelAsk, Result, Step, results_by_outcome
from fulfillment.warehouse.packing import Pack, Scan, Scanned
from fulfillment.warehouse.recalls import Reached, Stage, Trace, summary
from fulfillment.warehouse.service.batching import PackedOrder, PickRow
from fulfillment.warehouse.service.reading import OperatorOrder
from fulfillment.warehouse.service.recalling import OrderLot

MOST_LOT = 2**31 - 1
MOST_PACKS = 400


def _day(value: object) -> object:
    # Pydantic would take a number for a day too.
    if not isinstance(value, str) or len(value) != len("2027-01-31"):
        raise ValueError("Input should be a date such as 2027-01-31")
    return value


# Control characters are neither printed nor scanned.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Id = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9A-Za-z]{27}$")]
LotNumber = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9A-Za-z][0-9A-Za-z ._/-]{0,39}$")]
PackId = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9A-Za-z]{27}-[0-9A-Z]{2,4}$")]
Whole = Annotated[int, Field(strict=True, ge=1, le=MOST_LOT)]
ProductId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
Note = Annotated[str, StringConstraints(strict=True, max_length=500, pattern=_PRINTABLE)]
Reason = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=200, pattern=_PRINTABLE)
]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100, pattern=_PRINTABLE)]
Number = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=80, pattern=_PRINTABLE)]
Packer = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9A-Za-z._-]{1,40}$")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LotIn(_In):
    """A lot as it is received."""

    productId: ProductId
    lotNumber: LotNumber
    expiry: Annotated[date, BeforeValidator(_day)]
    quantity: Annotated[int, Field(strict=True, ge=1, le=MOST_LOT, description="Pills, or units of an external item")]
    supplier: Name | None = None
    location: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=40, pattern=_PRINTABLE)] | None = (
        None
    )
    state: Literal["APPROVED", "QUARANTINED", "ON_HOLD"] = "APPROVED"

    def to_new(self) -> NewLot:
        """Return it as the domain's."""
        return NewLot(
            self.productId,
            self.lotNumber,
            self.expiry,
            self.quantity,
            self.supplier,
            self.location,
            LotState(self.state),
        )


class AdjustIn(_In):
    """A correction of what a lot has on hand."""

    quantity: Annotated[int, Field(strict=True, ge=-MOST_LOT, le=MOST_LOT, description="Signed: what is added")]
    reason: Reason
    scrapped: Annotated[StrictBool, Field(description="Thrown away, and not counted anew")] = False


class LotStateIn(_In):
    """Where a lot goes; a recall has its own operation."""

    state: Literal["APPROVED", "QUARANTINED", "ON_HOLD", "EXPIRED", "DEPLETED"]
    reason: Reason


class RecallIn(_In):
    """A recall: first looked at, then done."""

    dryRun: StrictBool = Field(description="Only look whom it would reach")
    reason: Note = ""


class ReconcileIn(_In):
    """A proof of the counters against the ledger."""

    dryRun: StrictBool = True


class ScannedIn(_In):
    """What was scanned into a pack."""

    lotNumber: LotNumber
    quantity: Whole
    productId: ProductId | None = None


class PackIn(_In):
    """A pack that a packer confirms, and what was scanned into it."""

    packId: PackId
    contents: Annotated[list[ScannedIn], Field(min_length=1, max_length=100)] | None = None

    def to_scan(self) -> Scan:
        """Return it as the domain's."""
        if self.contents is None:
            return Scan(self.packId)
        return Scan(
            self.packId,
            tuple(Scanned(item.lotNumber, item.quantity, item.productId) for item in self.contents),
        )


class ConfirmIn(_In):
    """Packs that were made and checked."""

    packs: Annotated[list[PackIn], Field(min_length=1, max_length=MOST_PACKS)] | None = None
    confirmAll: Annotated[StrictBool, Field(description="Instead of packs: all that are left")] = False
    packer: Annotated[Packer | None, Field(description="Who packed, where several people share one client")] = None


class FulfillIn(_In):
    """How production is closed."""

    confirmAll: Annotated[
        StrictBool, Field(description="Confirm the packs that nobody confirmed, in the same step")
    ] = False
    packer: Packer | None = None


class LabelIn(_In):
    """What the operator knows of a label; in the sandbox nothing is needed."""

    carrier: Name | None = None
    service: Name | None = None
    trackingNumber: Number | None = None

    def to_ask(self) -> LabelAsk:
        """Return it as the domain's."""
        return LabelAsk(self.carrier, self.service, self.trackingNumber)


class BatchLabelIn(LabelIn):
    """A label of one order of a batch."""

    orderId: Id


class BatchLabelsIn(_In):
    """The labels of a batch, where the operator types them."""

    labels: Annotated[list[BatchLabelIn], Field(max_length=500)] = Field(default_factory=list[BatchLabelIn])


class ShipIn(_In):
    """What was scanned when the carrier took the parcel; where given it must be the label's."""

    carrier: Name | None = None
    trackingNumber: Number | None = None


class HoldIn(_In):
    """A hold of the operator's."""

    code: HoldCode = HoldCode.OPERATOR
    note: Note = ""


class PartnerHoldIn(_In):
    """A hold that a partner asks for."""

    note: Note = ""


class BatchIn(_In):
    """What goes into a batch: chosen orders, or all that are due."""

    orderIds: Annotated[
        Annotated[list[Id], Field(min_length=1, max_length=500)] | None,
        Field(description="Leave it out for all that are due"),
    ] = None
    partnerId: Annotated[Id | None, Field(description="Only this partner's, where all that are due are meant")] = None


class LotOut(BaseModel):
    """A lot."""

    id: str
    productId: int
    lotNumber: str
    expiry: str | None
    supplier: str | None
    location: str | None
    state: LotState
    received: int
    onHand: int
    reserved: int
    free: int
    receivedAt: str
    updatedAt: str

    @classmethod
    def of(cls, lot: Lot) -> Self:
        """Return the shape of *lot*."""
        return cls(
            id=lot.id,
            productId=lot.product_id,
            lotNumber=lot.lot_number,
            expiry=lot.expiry.isoformat() if lot.expiry else None,
            supplier=lot.supplier,
            location=lot.location,
            state=lot.state,
            received=lot.received,
            onHand=lot.on_hand,
            reserved=lot.reserved,
            free=lot.free,
            receivedAt=moment(lot.received_at),
            updatedAt=moment(lot.updated_at),
        )


class LotPage(BaseModel):
    """A page of lots, newest first."""

    lots: list[LotOut]
    cursor: str | None


class MovementOut(BaseModel):
    """A line of a lot's ledger."""

    id: str
    kind: str
    quantity: int
    orderId: str | None
    reason: str | None
    actor: str
    createdAt: str

    @classmethod
    def of(cls, movement: Movement) -> Self:
        """Return the shape of *movement*."""
        return cls(
            id=movement.id,
            kind=movement.kind.value,
            quantity=movement.quantity,
            orderId=movement.order_id,
            reason=movement.reason,
            actor=movement.actor,
            createdAt=moment(movement.created_at),
        )


class MovementPage(BaseModel):
    """A page of a lot's ledger, newest first."""

    movements: list[MovementOut]
    cursor: str | None


class DifferenceOut(BaseModel):
    """A lot whose counters are not what its ledger says."""

    lotId: str
    onHand: int
    onHandByLedger: int
    reserved: int
    reservedByLedger: int
    repairable: bool

    @classmethod
    def of(cls, difference: Difference) -> Self:
        """Return the shape of *difference*."""
        return cls(
            lotId=difference.lot_id,
            onHand=difference.on_hand,
            onHandByLedger=difference.on_hand_by_ledger,
            reserved=difference.reserved,
            reservedByLedger=difference.reserved_by_ledger,
            repairable=difference.repairable,
        )


class ReconciledOut(BaseModel):
    """What a proof of the counters found."""

    dryRun: bool
    differences: list[DifferenceOut]


class OperatorOrderOut(BaseModel):
    """The contract's Order with what only the operator sees."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: str
    partnerId: str
    batchId: str | None
    allowedMoves: list[str]
    packs: dict[str, int]

    @classmethod
    def of(cls, viewed: OperatorOrder) -> Self:
        """Return the shape of *viewed*."""
        shown = partner_order(viewed.order)
        return cls.model_validate(
            {
                **shown,
                "partnerId": viewed.order.partner_id,
                "batchId": viewed.batch_id,
                "releaseAt": moment(viewed.order.release_at) if viewed.order.release_at else None,
                "allowedMoves": [status.value for status in allowed_moves(viewed.order.status)],
                "packs": {"total": viewed.packs, "confirmed": viewed.confirmed},
            }
        )


class OperatorOrderPage(BaseModel):
    """A page of all partners' orders, newest first."""

    orders: list[OperatorOrderOut]
    cursor: str | None


class StepOut(BaseModel):
    """What a step led to."""

    outcome: str = Field(description="done; unchanged: it had been done before; held: the order's holds say why")
    order: OperatorOrderOut


class ConfirmedOut(BaseModel):
    """How far the packing of an order is."""

    orderId: str
    outcome: str
    packs: int
    confirmed: int


class ResultOut(BaseModel):
    """What a step over many orders led to for one of them."""

    orderId: str
    outcome: str
    status: str | None
    code: str | None = None
    detail: str | None = None

    @classmethod
    def of(cls, result: Result) -> Self:
        """Return the shape of *result*."""
        return cls(
            orderId=result.order_id,
            outcome=result.outcome.value,
            status=result.status,
            code=result.code,
            detail=result.detail,
        )


class BatchOut(BaseModel):
    """A batch, and how many of its orders have which status."""

    id: str
    createdBy: str
    createdAt: str
    orders: int
    statuses: dict[str, int]

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return the shape of *batch*."""
        return cls(
            id=batch.id,
            createdBy=batch.actor,
            createdAt=moment(batch.created_at),
            orders=sum(batch.orders.values()),
            statuses=dict(batch.orders),
        )


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    batches: list[BatchOut]
    cursor: str | None


class BatchStepOut(BaseModel):
    """What a step over a batch led to, order by order."""

    batch: BatchOut
    outcomes: dict[str, int]
    results: list[ResultOut]

    @classmethod
    def of(cls, batch: Batch, results: Sequence[Result]) -> Self:
        """Return the shape of *results*."""
        return cls(
            batch=BatchOut.of(batch),
            outcomes=results_by_outcome(results),
            results=[ResultOut.of(result) for result in results],
        )


class PickOut(BaseModel):
    """What to take from one lot."""

    productId: int
    productName: str
    lotId: str
    lotNumber: str
    expiry: str | None
    location: str | None
    quantity: int
    unit: str
    orders: int

    @classmethod
    def of(cls, row: PickRow) -> Self:
        """Return the shape of *row*."""
        return cls(
            productId=row.lot.product_id,
            productName=row.product_name,
            lotId=row.lot.id,
            lotNumber=row.lot.lot_number,
            expiry=row.lot.expiry.isoformat() if row.lot.expiry else None,
            location=row.lot.location,
            quantity=row.quantity,
            unit="unit" if row.external else "pill",
            orders=row.orders,
        )


class PickListOut(BaseModel):
    """What a batch takes from the shelves, by product and first expiry first."""

    batch: BatchOut
    packs: int
    totalPills: int
    totalUnits: int
    picks: list[PickOut]

    @classmethod
    def of(cls, batch: Batch, rows: Sequence[PickRow], packs: int) -> Self:
        """Return the shape of a batch's picks."""
        return cls(
            batch=BatchOut.of(batch),
            packs=packs,
            totalPills=sum(row.quantity for row in rows if not row.external),
            totalUnits=sum(row.quantity for row in rows if row.external),
            picks=[PickOut.of(row) for row in rows],
        )


class PackItemOut(BaseModel):
    """One product in a pack."""

    productId: int
    name: str
    quantity: int
    lotNumber: str | None
    expiry: str | None


class PackOut(BaseModel):
    """A pack: one day, one time of day; or what goes beside the packs."""

    packId: str
    day: int | None
    timeOfDay: str | None
    description: str | None
    contents: list[PackItemOut]
    confirmed: bool

    @classmethod
    def of(cls, pack: Pack, confirmed: Mapping[str, str]) -> Self:
        """Return the shape of *pack*."""
        return cls(
            packId=pack.id,
            day=pack.day,
            timeOfDay=pack.slot,
            description=pack.description,
            contents=[
                PackItemOut(
                    productId=item.product_id,
                    name=item.name,
                    quantity=item.quantity,
                    lotNumber=item.lot_number,
                    expiry=item.expiry.isoformat() if item.expiry else None,
                )
                for item in pack.items
            ],
            confirmed=pack.id in confirmed or ALL_PACKS in confirmed,
        )


class OrderPacksOut(BaseModel):
    """An order's packs in the order of making: by day, by time of day."""

    orderId: str
    status: str
    packs: list[PackOut]

    @classmethod
    def of(cls, packed: PackedOrder) -> Self:
        """Return the shape of *packed*."""
        return cls(
            orderId=packed.order.id,
            status=packed.order.status.value,
            packs=[PackOut.of(pack, packed.confirmed) for pack in packed.packs],
        )


class PackListPage(BaseModel):
    """A page of a batch's orders with their packs."""

    orders: list[OrderPacksOut]
    cursor: str | None


class ReachedOut(BaseModel):
    """An order that a lot reached."""

    orderId: str
    partnerId: str
    partnerName: str
    customerSourceId: str
    status: str
    pills: int
    timesOfDay: list[str]
    orderedAt: str
    shippedAt: str | None
    carrier: str | None
    trackingNumber: str | None
    action: str | None = Field(description="What the recall did: repicked, held, shipped")

    @classmethod
    def of(cls, one: Reached) -> Self:
        """Return the shape of *one*."""
        return cls(
            orderId=one.order_id,
            partnerId=one.partner_id,
            partnerName=one.partner_name,
            customerSourceId=one.customer_source_id,
            status=one.status.value,
            pills=one.pills,
            timesOfDay=list(one.times_of_day),
            orderedAt=moment(one.ordered_at),
            shippedAt=moment(one.shipped_at) if one.shipped_at else None,
            carrier=one.carrier,
            trackingNumber=one.tracking_number,
            action=one.action.value if one.action else None,
        )


class TraceOut(BaseModel):
    """Everyone whom a lot reached."""

    lot: LotOut
    productName: str
    summary: dict[str, Any]
    reserved: list[ReachedOut]
    inProduction: list[ReachedOut]
    shipped: list[ReachedOut]
    replaced: list[ReachedOut]

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """Return the shape of *trace*."""
        return cls(
            lot=LotOut.of(trace.lot),
            productName=trace.product_name,
            summary=summary(trace),
            reserved=[ReachedOut.of(one) for one in trace.at(Stage.RESERVED)],
            inProduction=[ReachedOut.of(one) for one in trace.at(Stage.IN_PRODUCTION)],
            shipped=[ReachedOut.of(one) for one in trace.at(Stage.SHIPPED)],
            replaced=[ReachedOut.of(one) for one in trace.at(Stage.REPLACED)],
        )


class RecallOut(TraceOut):
    """Whom a recall reaches, and what was done; with dryRun nothing was."""

    dryRun: bool


class OrderLotOut(BaseModel):
    """What an order has, or had, of one lot."""

    lotId: str
    lotNumber: str
    productId: int
    productName: str
    expiry: str | None
    lotState: str
    quantity: int
    state: str = Field(description="OPEN: held; CONSUMED: packed; RELEASED: given back; REPLACED: thrown away")

    @classmethod
    def of(cls, one: OrderLot) -> Self:
        """Return the shape of *one*."""
        return cls(
            lotId=one.lot.id,
            lotNumber=one.lot.lot_number,
            productId=one.lot.product_id,
            productName=one.product_name,
            expiry=one.lot.expiry.isoformat() if one.lot.expiry else None,
            lotState=one.lot.state.value,
            quantity=one.quantity,
            state=one.state.value,
        )


class OrderLotsOut(BaseModel):
    """The lots of an order's pills."""

    orderId: str
    lots: list[OrderLotOut]


class TrackingOut(BaseModel):
    """What became of a carrier's message."""

    results: list[dict[str, str]]


class AuditOut(BaseModel):
    """An entry of the audit log."""

    id: str
    actor: str
    action: str
    objectType: str
    objectId: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    requestId: str | None
    createdAt: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the shape of *row*."""
        return cls(
            id=row["id"],
            actor=row["actor"],
            action=row["action"],
            objectType=row["object_type"],
            objectId=row["object_id"],
            before=row["before"],
            after=row["after"],
            requestId=row["request_id"],
            createdAt=moment(row["created_at"]),
        )


class AuditPage(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditOut]
    cursor: str | None


class FactsOut(BaseModel):
    """The combined Supplement Facts of an order."""

    model_config = ConfigDict(extra="allow")

    orderId: str
    perDay: dict[str, Any]
    slots: dict[str, Any]
    externals: list[dict[str, Any]]
    contains: list[str]
    freeFrom: list[str]
    otherIngredients: list[str]
    notes: list[str]


class PartnerOrderOut(BaseModel):
    """The contract's Order."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: str


def partner_order(order: Order) -> dict[str, Any]:
    """Return the contract's Order."""
    return jsontext.read(order_json(order).encode())


def outcome_of(step: Step, viewed: OperatorOrder) -> StepOut:
    """Return the shape of a step."""
    return StepOut(outcome=step.outcome.value, order=OperatorOrderOut.of(viewed))


def check_confirmation(body: ConfirmIn) -> None:
    """Accept either packs or confirmAll.

    Raises:
        ValidationFailed: Both are given, or neither: what is confirmed must be said.
    """
    if (body.packs is not None) == body.confirmAll:
        fault = FieldError("/packs", "Name the packs, or set confirmAll: one of the two.")
        raise ValidationFailed("The confirmation is not valid.", errors=[fault])
