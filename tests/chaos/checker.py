"""The judge: reads the database and the receiver's log from outside and compares them with what clients were told."""

import base64
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx2
import stripe

from tests.chaos.clients import SCARCE, SCARCE_PILLS, Journal
from tests.chaos.stage import PartnerAccount, Stage

QUIET_SECONDS: Final = 100.0  # for the queue to empty: a lease of a killed worker lasts a minute
RECOVERY_SECONDS: Final = 5.0
_TOLERANCE_SECONDS: Final = 300
_FAULTS_OF_OURS: Final = (
    "request.failed",
    "job.failed",
    "Traceback",
    "never retrieved",
    "ended with status",
    "PANIC",
)
BALANCE: Final = """
SELECT lot.id, lot.on_hand, lot.reserved, coalesce(ledger.total, 0), coalesce(held.total, 0)
  FROM lots AS lot
  LEFT JOIN (SELECT lot_id, sum(quantity) AS total FROM inventory_movements GROUP BY 1) AS ledger
    ON ledger.lot_id = lot.id
  LEFT JOIN (SELECT lot_id, sum(quantity) AS total FROM reservations WHERE state = 'OPEN' GROUP BY 1) AS held
    ON held.lot_id = lot.id
 WHERE lot.on_hand <> coalesce(ledger.total, 0) OR lot.reserved <> coalesce(held.total, 0)
    OR lot.reserved > lot.on_hand OR lot.reserved < 0
"""
_PATHS: Final = ("created", "processing", "fulfilled", "awaiting_shipment", "shipped")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One invariant and what was found."""

    name: str
    promise: str
    checked: str
    violations: list[str]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery as the receiver logged it."""

    at: float
    path: str
    body: bytes
    accepted: bool
    signature: str
    delivery_id: str
    event_id: str
    sequence: int


def judge(
    stage: Stage,
    journal: Journal,
    *,
    quiet_seconds: float = QUIET_SECONDS,
    away: Sequence[tuple[float, float]] = (),
    patience: float = 1.0,
) -> list[Verdict]:
    """Return the verdicts, after the queue of deliveries has emptied.

    Args:
        away: From when to when nothing could be served, by no fault of the server.
        patience: Times the seconds that are promised, for a machine that is busy with other things.
    """
    pending = _wait_until_quiet(stage, quiet_seconds)
    return [
        *examine(stage, journal, read_arrivals(stage.arrivals)),
        _lists(stage, journal),
        _healthy(stage, pending),
        _answers(journal),
        *_recovery(journal, away, patience),
        _logs(stage),
    ]


def examine(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> list[Verdict]:
    """Return the verdicts on what is stored and what arrived."""
    return [
        _acknowledged(stage, journal),
        _one_for_each_key(stage, journal),
        _stock(stage, journal),
        _lives(stage),
        _acknowledged_changes(stage, journal),
        _events(stage, arrivals),
        _delivered(stage, arrivals),
        in_order(arrivals),
        signed(stage.partners, arrivals),
        _tenants(stage, arrivals),
    ]


def read_arrivals(path: Path) -> list[Arrival]:
    """Return what arrived, in order."""
    found: list[Arrival] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        entry: dict[str, Any] = json.loads(line)
        found.append(
            Arrival(
                entry["at"],
                entry["path"],
                base64.b64decode(entry["body"]),
                entry["outcome"] == "ok",
                entry["X-Juniper-Signature"],
                entry["X-Juniper-Webhook-Id"],
                entry["X-Juniper-Event-Id"],
                int(entry["X-Juniper-Sequence"] or 0),
            )
        )
    return found


def _wait_until_quiet(stage: Stage, seconds: float) -> int:
    until = time.monotonic() + seconds
    while True:
        try:
            pending = stage.sql("SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'")[0][0]
        except Exception:
            pending = -1
        if pending == 0 or time.monotonic() > until:
            return pending
        time.sleep(0.5)


def _acknowledged(stage: Stage, journal: Journal) -> Verdict:
    stored = dict(stage.sql("SELECT id, partner_id FROM orders"))
    lost = [one.key for one in journal.acked if stored.get(one.order_id) != stage.partners[one.partner].id]
    return Verdict("I1", "every acknowledged order exists", f"{len(journal.acked)} acknowledged", lost)


def _one_for_each_key(stage: Stage, journal: Journal) -> Verdict:
    by_customer: defaultdict[str, list[str]] = defaultdict(list)
    for customer, order_id in stage.sql("SELECT customer_source_id, id FROM orders"):
        by_customer[customer].append(order_id)
    keys: dict[str, str] = dict(stage.sql("SELECT key, order_id FROM idempotency_keys"))
    wrong: list[str] = [f"{key} made {len(ids)} orders" for key, ids in by_customer.items() if len(ids) != 1]
    for one in journal.placed:
        made = by_customer.get(one.key, [])
        if one.order_id is not None and (made != [one.order_id] or keys.get(one.key) != one.order_id):
            wrong.append(f"{one.key} answered {one.order_id}, stored {made}, key {keys.get(one.key)}")
        if one.status == 409 and made:
            wrong.append(f"{one.key} was refused and made {made}")
        if any(replay != one.body for replay in one.replays):
            wrong.append(f"{one.key} was replayed with other bytes")
    retried = sum(one.tries > 1 for one in journal.placed)
    replayed = sum(len(one.replays) for one in journal.placed)
    return Verdict(
        "I2", "one order for each key, replays byte for byte", f"{retried} retried, {replayed} replayed", wrong
    )


def _stock(stage: Stage, journal: Journal) -> Verdict:
    wrong = [f"lot {row[0]}: {row[1:]}" for row in stage.sql(BALANCE)]
    wrong += [
        f"order {row[0]} is {row[1]} and holds {row[2]}"
        for row in stage.sql("""
            SELECT orders.id, orders.status, array_agg(DISTINCT state) FROM orders JOIN reservations ON order_id = id
             GROUP BY 1, 2
            HAVING array_agg(DISTINCT state) <> CASE
                     WHEN orders.status = 'CANCELLED' THEN ARRAY['RELEASED']
                     WHEN orders.status IN ('CREATED', 'PROCESSING') THEN ARRAY['OPEN']
                     ELSE ARRAY['CONSUMED'] END COLLATE "C" """)
    ]
    held: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for order_id, product, pills in stage.sql(
        "SELECT order_id, product_id, sum(quantity) FROM reservations GROUP BY 1, 2"
    ):
        held[order_id][product] = int(pills)
    wrong += [
        f"order {one.order_id} asked {one.demands} and has {held[one.order_id]}"
        for one in journal.acked
        if one.order_id is not None and held[one.order_id] != one.demands
    ]
    # By what is stored: a cancellation whose answer was lost is one all the same.
    cancelled = {row[0] for row in stage.sql("SELECT id FROM orders WHERE status = 'CANCELLED'")}
    sold = sum(one.demands.get(SCARCE, 0) for one in journal.acked if one.order_id not in cancelled)
    if sold > SCARCE_PILLS:
        wrong.append(f"{sold} of {SCARCE_PILLS} pills of the scarce product were promised")
    return Verdict("I3", "stock and ledger balance, nothing oversold", f"{sold}/{SCARCE_PILLS} of the scarce", wrong)


def _lives(stage: Stage) -> Verdict:
    """Read each order's events: 1, 2, 3 ... along one legal way, the last of them the order's status."""
    types: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for order_id, sequence, type_ in stage.sql(
        "SELECT order_id, order_sequence, type FROM events WHERE order_id IS NOT NULL ORDER BY order_id, order_sequence"
    ):
        types[order_id].append((sequence, type_.removeprefix("order.")))
    orders = stage.sql("SELECT id, status, sequence FROM orders")
    wrong = [f"order {order_id} is {status}, and its events {types[order_id]}"
             for order_id, status, sequence in orders if not _is_life(types[order_id], status, sequence)]  # fmt: skip
    known = {order_id for order_id, _, _ in orders}
    wrong += [f"events of an order that is not there: {order_id}" for order_id in set(types) - known]
    return Verdict("I4/I6", "one event a change; no illegal or double change", f"{len(orders)} orders", wrong)


def _is_life(events: list[tuple[int, str]], status: str, sequence: int) -> bool:
    if [place for place, _ in events] != list(range(1, sequence + 1)):
        return False
    moves = [type_ for _, type_ in events if type_ in (*_PATHS, "cancelled")]
    legal = tuple(moves) in (_PATHS[: len(moves)], ("created", "cancelled"))
    return legal and bool(moves) and moves[-1] == status.lower()


def _acknowledged_changes(stage: Stage, journal: Journal) -> Verdict:
    stored = dict(stage.sql("SELECT id, status FROM orders"))
    wrong = [
        f"{order_id} was cancelled and is {stored.get(order_id)}"
        for order_id in journal.cancelled
        if stored.get(order_id) != "CANCELLED"
    ]
    ranks = {name.upper(): rank for rank, name in enumerate(_PATHS)}
    wrong += [
        f"{order_id} was {status} and is {stored.get(order_id)}"
        for order_id, status in journal.moved.items()
        if ranks.get(stored.get(order_id, ""), -1) < ranks[status]
    ]
    checked = f"{len(journal.cancelled)} cancelled, {len(journal.moved)} moved"
    return Verdict("I5", "acknowledged changes stay", checked, wrong)


def _events(stage: Stage, arrivals: list[Arrival]) -> Verdict:
    events = {event_id: payload.encode() for event_id, payload in stage.sql("SELECT id, payload::text FROM events")}
    wrong = [f"event {one.event_id} arrived and is not stored" for one in arrivals if one.event_id not in events]
    wrong += [
        f"event {one.event_id} arrived with other bytes"
        for one in arrivals
        if events.get(one.event_id, one.body) != one.body
    ]
    wrong += [
        f"event {row[0]} has no delivery"
        for row in stage.sql("""
            SELECT event.id FROM events AS event JOIN partners ON partners.id = event.partner_id
             WHERE partners.webhook_url IS NOT NULL
               AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE event_id = event.id)""")
    ]
    return Verdict("I6", "no phantom event, none without a delivery", f"{len(events)} events", wrong)


def _delivered(stage: Stage, arrivals: list[Arrival]) -> Verdict:
    accepted = Counter(one.event_id for one in arrivals if one.accepted)
    due = [row[0] for row in stage.sql("""
        SELECT event.id FROM events AS event JOIN partners ON partners.id = event.partner_id
         WHERE partners.webhook_url IS NOT NULL""")]  # fmt: skip
    wrong = [f"event {event_id} was never accepted" for event_id in due if not accepted[event_id]]
    twice = sum(count - 1 for count in accepted.values())
    return Verdict("I7", "every event is delivered", f"{len(arrivals)} arrivals, {twice} accepted again", wrong)


def in_order(arrivals: Iterable[Arrival]) -> Verdict:
    """Compare the order in which an order's events arrived first with their numbers."""
    first: dict[str, Arrival] = {}
    for one in arrivals:
        first.setdefault(one.event_id, one)
    by_order: defaultdict[str, list[int]] = defaultdict(list)
    for one in sorted(first.values(), key=lambda arrival: arrival.at):
        by_order[json.loads(one.body)["order"]["orderId"]].append(one.sequence)
    wrong = [f"order {order_id}: {places}" for order_id, places in by_order.items() if places != sorted(places)]
    return Verdict("I8", "first arrivals of an order in its order", f"{len(by_order)} orders", wrong)


def signed(partners: Iterable[PartnerAccount], arrivals: Sequence[Arrival]) -> Verdict:
    """Let a foreign verifier check each signature, and compare its moment with the receiver's clock."""
    secrets = {partner.path: partner.webhook_secret for partner in partners}
    wrong: list[str] = []
    for one in arrivals:
        try:
            stripe.WebhookSignature.verify_header(one.body.decode(), one.signature, secrets[one.path])
        except stripe.SignatureVerificationError as error:
            wrong.append(f"delivery {one.delivery_id}: {error}")
        off = signed_at(one) - one.at
        if abs(off) > _TOLERANCE_SECONDS:
            wrong.append(f"delivery {one.delivery_id} was signed {off:+.0f} s off")
    return Verdict("I9", "every signature holds (Stripe's verifier)", f"{len(arrivals)} signatures", wrong)


def signed_at(one: Arrival) -> int:
    """Return the moment that is in a delivery's signature, in seconds."""
    return int(one.signature.partition(",")[0].removeprefix("t="))


def _tenants(stage: Stage, arrivals: list[Arrival]) -> Verdict:
    owner = dict(stage.sql("SELECT id, partner_id FROM orders"))
    wrong = [
        f"event {one.event_id} of {owner.get(order_id)} came to {one.path}"
        for one in arrivals
        if (order_id := json.loads(one.body)["order"]["orderId"]) in owner and one.path != f"/{owner[order_id]}"
    ]
    wrong += [
        f"{table} {row[0]} is not its order's partner's"
        for table in ("events", "webhook_deliveries", "holds")
        for row in stage.sql(
            f"SELECT other.id FROM {table} AS other JOIN orders ON orders.id = other.order_id "
            "WHERE other.partner_id <> orders.partner_id"
        )
    ]
    foreign = list(owner.items())[:50]
    for partner in stage.partners:
        others = [order_id for order_id, partner_id in foreign if partner_id != partner.id]
        with _reader(stage, partner) as client:
            answers = {order_id: client.get(f"/v1/orders/{order_id}").status_code for order_id in others}
        wrong += [f"{partner.id} got {status} for {order_id}" for order_id, status in answers.items() if status != 404]
    return Verdict("I10", "no partner sees another's", f"{len(foreign)} foreign orders asked", wrong)


def _lists(stage: Stage, journal: Journal) -> Verdict:
    wrong: list[str] = [fault for fault in journal.faults if fault.startswith("list: ") and "order" in fault]
    total = 0
    for partner in stage.partners:
        listed = list(_whole_list(stage, partner))
        stored = [
            row[0] for row in stage.sql("SELECT id FROM orders WHERE partner_id = %s ORDER BY id DESC", partner.id)
        ]
        total += len(listed)
        if listed != stored:
            wrong.append(f"{partner.id}: {len(listed)} listed, {len(stored)} stored")
    return Verdict("I11", "lists miss nothing", f"{total} orders; {journal.pages} lists under load", wrong)


def _reader(stage: Stage, partner: PartnerAccount) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {stage.token(partner)}"}
    return httpx2.Client(base_url=stage.server.url, headers=headers, timeout=30)


def _whole_list(stage: Stage, partner: PartnerAccount) -> Iterator[str]:
    cursor = None
    with _reader(stage, partner) as client:
        while True:
            page = client.get("/v1/orders?limit=100" + (f"&cursor={cursor}" if cursor else "")).json()
            yield from (order["id"] for order in page["orders"])
            cursor = page["cursor"]
            if cursor is None:
                return


def _healthy(stage: Stage, pending: int) -> Verdict:
    wrong = [f"{pending} deliveries are still pending"] if pending else []
    wrong += [
        f"delivery {row[0]} is leased until {row[1]}"
        for row in stage.sql("SELECT id, leased_until FROM webhook_deliveries WHERE leased_until IS NOT NULL")
    ]
    wrong += [
        f"delivery {row[0]} is {row[1]}"
        for row in stage.sql("SELECT id, status FROM webhook_deliveries WHERE status NOT IN ('PENDING', 'DELIVERED')")
    ]
    wrong += [
        f"a session has been idle in a transaction for {row[0]}"
        for row in stage.sql(
            """
            SELECT now() - state_change FROM pg_stat_activity
             WHERE state LIKE 'idle in transaction%%' AND now() - state_change > '5 s'""".replace("%%", "%")
        )
    ]
    wrong += [f"{row[0]} deadlocks" for row in stage.sql("SELECT sum(deadlocks) FROM pg_stat_database") if row[0]]
    try:
        stage.database.run_tool("pg_amcheck", "--heapallindexed", "--install-missing", "-d", "fulfillment")
    except Exception as error:
        wrong.append(f"pg_amcheck: {error}")
    for process in stage.extra:
        if process.poll() is not None:
            wrong.append(f"a process whose clock is off ended with {process.returncode}")
    return Verdict("I12", "nothing stuck, no page corrupt (pg_amcheck)", "queue, leases, heap, indexes", wrong)


def _answers(journal: Journal) -> Verdict:
    served = sum(journal.statuses.values())
    wrong = [fault for fault in journal.faults if not (fault.startswith("list: ") and "order" in fault)]
    away = sum(count for name, count in journal.statuses.items() if name.endswith(" 503"))
    return Verdict("503", "only 503 with Retry-After while it is away", f"{served} answers, {away} x 503", wrong)


def _recovery(journal: Journal, away: Sequence[tuple[float, float]], patience: float) -> list[Verdict]:
    most = RECOVERY_SECONDS * patience
    longest = max(journal.recoveries, default=0.0)
    slow = [f"{seconds:.1f} s until the first answer" for seconds in journal.recoveries if seconds > most]
    pauses = pauses_of(sorted(journal.acks), away)
    long = [f"nothing was acknowledged for {seconds:.1f} s" for seconds in pauses if seconds > most]
    return [
        Verdict(
            "S-20",
            f"serves within {most:.0f} s of its return",
            f"{journal.outages} outages, longest {longest:.2f} s",
            slow,
        ),
        Verdict(
            "S-01",
            f"no pause of acknowledgements above {most:.0f} s",
            f"longest {max(pauses, default=0.0):.1f} s, beside frozen, full and powerless times",
            long,
        ),
    ]


def pauses_of(moments: Sequence[float], away: Sequence[tuple[float, float]]) -> list[float]:
    """Return the seconds between neighbours of *moments*, less what lay in the times *away*."""
    return [
        later - earlier - sum(max(0.0, min(later, end) - max(earlier, began)) for began, end in away)
        for earlier, later in pairwise(moments)
    ]


def _logs(stage: Stage) -> Verdict:
    """Read what the processes wrote: no fault of ours, and nobody ended who was not killed."""
    wrong = [
        f"{sign!r} x {count}: {_excerpt(text, sign)}"
        for text in [path.read_text(errors="replace") for path in stage.folder.glob("*.log")]
        for sign in _FAULTS_OF_OURS
        if (count := text.count(sign))
    ]
    return Verdict("log", "no exception in any log, no process that ended by itself", ", ".join(_FAULTS_OF_OURS), wrong)


def _excerpt(text: str, sign: str) -> str:
    place = text.index(sign)
    return text[max(0, place - 200) : place + 1500]
