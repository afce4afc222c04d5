"""Both clients of a server, who make whatever an operation needs to exist before it can succeed."""

import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2
import psycopg

from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.sandbox.domain import STOCKLESS_PRODUCT
from tests.serving import ServerProcess
from tests.world import a_line, an_order

PRODUCT: Final = 77123129891
_STOCK: Final = 1_000_000  # pills: each lot by itself is enough for all orders
_PATIENCE_SECONDS: Final = 20.0
# How an order may stand; each comes from a protocol, and whatever was released is in a batch.
STATES: Final = ("CREATED", "HELD", "PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED", "CANCELLED", "REPLAYED")
# The state that an operation wants its order (or the orders of its batch) in.
NEEDS: Final[Mapping[str, str]] = {
    "GET /operator/batches": "PROCESSING",
    "GET /operator/batches/{batchId}": "PROCESSING",
    "GET /operator/batches/{batchId}/pick-list": "PROCESSING",
    "GET /operator/batches/{batchId}/pack-list": "PROCESSING",
    "GET /operator/batches/{batchId}/documents/labels.pdf": "AWAITING_SHIPMENT",
    "GET /operator/batches/{batchId}/documents/pack-labels.pdf": "PROCESSING",
    "GET /operator/batches/{batchId}/documents/packing-slips.pdf": "PROCESSING",
    "GET /operator/batches/{batchId}/documents/pick-list.pdf": "PROCESSING",
    "GET /operator/orders/{orderId}/documents/pack-labels.pdf": "PROCESSING",
    "GET /operator/orders/{orderId}/documents/packing-slip.pdf": "PROCESSING",
    "GET /operator/orders/{orderId}/documents/shipping-label.pdf": "AWAITING_SHIPMENT",
    "GET /operator/orders/{orderId}/lots": "PROCESSING",
    "GET /operator/orders/{orderId}/packs": "PROCESSING",
    "GET /webhooks/replays/{replayId}": "REPLAYED",
    "POST /operator/batches/{batchId}/fulfill": "PROCESSING",
    "POST /operator/batches/{batchId}/label": "FULFILLED",
    "POST /operator/batches/{batchId}/packs/confirm": "PROCESSING",
    "POST /operator/batches/{batchId}/ship": "AWAITING_SHIPMENT",
    "POST /operator/orders/{orderId}/fulfill": "PROCESSING",
    "POST /operator/orders/{orderId}/holds/{holdId}/release": "HELD",
    "POST /operator/orders/{orderId}/label": "FULFILLED",
    "POST /operator/orders/{orderId}/packs/confirm": "PROCESSING",
    "POST /operator/orders/{orderId}/ship": "AWAITING_SHIPMENT",
    "POST /operator/orders/{orderId}/shipments": "AWAITING_SHIPMENT",
    "POST /orders/{orderId}/holds/{holdId}/release": "HELD",
}
_BATCH_STEPS: Final[Sequence[tuple[str, str, dict[str, bool] | None]]] = (
    ("FULFILLED", "fulfill", {"confirmAll": True}),
    ("AWAITING_SHIPMENT", "label", {}),
    ("SHIPPED", "ship", None),
)
_WAY: Final = ("PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED")


class Hands:
    """What a partner and an operator do beside what is judged."""

    def __init__(self, server: ServerProcess, hook_url: str) -> None:
        self._folder = server.folder
        self._partner = server.client()
        self._operator = server.client_of(server.demo["operator_client_id"], server.demo["operator_client_secret"])
        self.tokens = {
            "partner": self._partner.headers["Authorization"],
            "operator": self._operator.headers["Authorization"],
        }
        _done(self._partner.patch("/v1/partners/settings", json={"webhookUrl": hook_url}))

    def close(self) -> None:
        """Close both clients."""
        self._partner.close()
        self._operator.close()

    def order(self, role: str, state: str) -> str:
        """Return the id of a new order in *state*; a hold is the role's own."""
        self.lot()  # whatever became of the lots before: this one can be used
        made = _done(self._partner.post(f"/v1/protocols/{self.protocol('CREATED')}/orders", json={}))["id"]
        if state == "HELD":
            self.hold(role, made)
        elif state == "CANCELLED":
            _done(self._partner.post(f"/v1/orders/{made}/cancel"))
        elif state == "REPLAYED":
            self._replayed(made)
        elif state != "CREATED":
            self._batch([made], state)
        return made

    def batch(self, state: str) -> str:
        """Return the id of a batch of one order that was brought to *state*."""
        order = self.order("operator", "CREATED")
        return self._batch([order], state if state in _WAY else "PROCESSING")

    def protocol(self, state: str) -> str:
        """Return the id of a new protocol, of which an order is in *state* at once if it can be: CREATED or HELD."""
        return _done(self._partner.post("/v1/protocols", json=_an_order(state)))["id"]

    def lot(self) -> str:
        """Receive a lot and return its id."""
        return _done(self._operator.post("/v1/operator/lots", json=a_lot()))["id"]

    def miscounted_lot(self) -> None:
        """Receive a lot and let its counter say more than its ledger, as only a fault of ours could."""
        with psycopg.connect(EmbeddedPostgres(self._folder).dsn("postgres")) as connection:
            connection.execute("UPDATE lots SET reserved = reserved + 1 WHERE id = %s", [self.lot()])

    def hold(self, role: str, order_id: str) -> str:
        """Hold an order, where it can be held, and return the hold's id; without a hold, an id of none."""
        one, many = ("operator/", "s") if role == "operator" else ("", "")
        self._of(role).post(f"/v1/{one}orders/{order_id}/hold{many}", json={"note": "Wait"})
        answer = self._of(role).get(f"/v1/{one}orders/{order_id}")
        holds = answer.json().get("holds") or [{"id": order_id}]
        return holds[-1]["id"]

    def event(self, order_id: str) -> str:
        """Return the id of an order's first event."""
        return _done(self._partner.get(f"/v1/events?orderId={order_id}"))["events"][0]["id"]

    def delivery(self, order_id: str) -> str:
        """Return the id of an order's newest delivery, once none is under way any more."""
        return self._settled(order_id)[0]["id"]

    def replay(self) -> str:
        """Return the id of a replay of what happened just now."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:  # only one runs at a time
            answer = self._partner.post("/v1/webhooks/replay", json={"since": moment(seconds=-5)})
            if answer.status_code != 409 or time.monotonic() > until:
                return _done(answer)["id"]
            time.sleep(0.2)

    def no_replay(self) -> None:
        """Wait until no replay is under way."""
        until = time.monotonic() + _PATIENCE_SECONDS
        place = f"/v1/webhooks/replays/{self.replay()}"  # it begins when the one before has ended
        while _done(self._partner.get(place))["status"] != "DONE" and time.monotonic() < until:
            time.sleep(0.05)

    def _of(self, role: str) -> httpx2.Client:
        return self._operator if role == "operator" else self._partner

    def _batch(self, orders: list[str], state: str) -> str:
        batch = _done(self._operator.post("/v1/operator/batches", json={"orderIds": orders}))["batch"]["id"]
        for reached, step, body in _BATCH_STEPS:
            if _WAY.index(reached) > _WAY.index(state):
                break
            _done(self._operator.post(f"/v1/operator/batches/{batch}/{step}", json=body))
        return batch

    def _replayed(self, order_id: str) -> None:
        self._settled(order_id)
        self.replay()
        self._wait(order_id, lambda found: any(one["replayId"] for one in found))
        self._settled(order_id)

    def _settled(self, order_id: str) -> list[dict[str, Any]]:
        return self._wait(order_id, lambda found: bool(found) and all(one["status"] == "DELIVERED" for one in found))

    def _wait(self, order_id: str, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = _done(self._partner.get(f"/v1/webhook-deliveries?orderId={order_id}"))["deliveries"]
            if enough(found):
                return found
            if time.monotonic() > until:
                raise TimeoutError(f"its deliveries are {[one['status'] for one in found]}")
            time.sleep(0.1)


def moment(seconds: float = 0.0) -> str:
    """Return the time that many seconds from now, as the API writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def a_lot() -> dict[str, Any]:
    """Return the body that receives a lot."""
    expiry = (datetime.now(UTC) + timedelta(days=700)).date().isoformat()
    return {"productId": PRODUCT, "lotNumber": secrets.token_hex(8), "expiry": expiry, "quantity": _STOCK}


def _an_order(state: str) -> dict[str, Any]:
    order = an_order(a_line(PRODUCT))
    if state == "HELD":
        order["customer"]["address"]["zipCode"] = "00000"  # in the sandbox: held at once
    return order


def a_body(label: str, state: str, order_id: str | None, *, partly: bool = False) -> Any:
    """Return a good body of an operation, *partly*: one of many of which some fail; ... where it takes none."""
    order = _an_order(state)
    rows = [{"order": order}]
    if partly:
        rows.append({"order": an_order(a_line(STOCKLESS_PRODUCT))})
    bodies: dict[str, Any] = {
        "POST /orders": order,
        "POST /orders/preview": order,
        "POST /orders/bulk": {"orders": rows},
        "POST /protocols": order,
        "PUT /protocols/{protocolId}": order,
        "PATCH /protocols/{protocolId}": {"lineItems": order["lineItems"]},
        "POST /protocols/{protocolId}/orders": {},
        "POST /webhooks/replay": {"since": moment(seconds=-5)},
        "POST /orders/{orderId}/hold": {"note": "Wait"},
        "POST /sandbox/orders/{orderId}/advance": {"steps": 1},
        "POST /operator/orders/{orderId}/packs/confirm": {"confirmAll": True},
        "POST /operator/orders/{orderId}/fulfill": {"confirmAll": True},
        "POST /operator/orders/{orderId}/label": {},
        "POST /operator/orders/{orderId}/shipments": {},
        "POST /operator/orders/{orderId}/ship": {},
        "POST /operator/orders/{orderId}/holds": {"note": "Wait"},
        "POST /operator/batches": {"orderIds": [order_id]},
        "POST /operator/batches/{batchId}/fulfill": {"confirmAll": True},
        "POST /operator/batches/{batchId}/label": {},
        "POST /operator/lots": a_lot(),
        "POST /operator/lots/{lotId}/adjust": {"quantity": -1, "reason": "Counted"},
        "POST /operator/lots/{lotId}/state": {"state": "ON_HOLD", "reason": "Looked at"},
        "POST /operator/lots/{lotId}/recall": {"dryRun": False, "reason": "Looked at"},
        "POST /operator/inventory/reconcile": {"dryRun": True},
    }
    return bodies.get(label, ...)


def a_path(hands: Hands, role: str, label: str, state: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the path's parameters: those given, and for the others things that are made here."""
    path = dict(given)
    for name in re.findall(r"\{(\w+)\}", label):
        if name not in path:
            path[name] = _made(hands, role, state, name, path)
    return path


def _made(hands: Hands, role: str, state: str, name: str, path: Mapping[str, Any]) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "orderId": lambda: hands.order(role, state),
        "holdId": lambda: hands.hold(role, path["orderId"]),
        "protocolId": lambda: hands.protocol(state),
        "productId": lambda: PRODUCT,
        "lotId": hands.lot,
        "batchId": lambda: hands.batch(state),
        "eventId": lambda: hands.event(hands.order(role, state)),
        "deliveryId": lambda: hands.delivery(hands.order(role, state)),
        "replayId": hands.replay,
    }
    return makers[name]()


def a_query(hands: Hands, role: str, label: str, state: str) -> dict[str, Any]:
    """Return the query by which a list begins with something that is made here."""
    before = moment(seconds=-1)
    if label in {"GET /orders", "GET /operator/orders"}:
        hands.order(role, state)
        return {"limit": 1}
    if label in {"GET /events", "GET /webhook-deliveries"}:
        order = hands.order(role, state)
        hands.delivery(order)
        return {"orderId": order}
    if label == "GET /reconcile":
        hands.order(role, state)
        return {"since": before}
    if label == "POST /operator/inventory/reconcile":
        hands.miscounted_lot()
    if label == "POST /webhooks/replay":
        hands.no_replay()
    makers: dict[str, Callable[[], object]] = {
        "GET /operator/batches": lambda: hands.batch(state),
        "GET /operator/lots": hands.lot,
        "GET /protocols": lambda: hands.protocol(state),
    }
    if label in makers:
        makers[label]()
        return {"limit": 1}
    return {}


def _done(answer: httpx2.Response) -> dict[str, Any]:
    if answer.is_error:
        raise RuntimeError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer.json()
