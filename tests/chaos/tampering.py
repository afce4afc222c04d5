"""Shows that the judge sees: what is stored, noted and delivered is spoiled in one way after the other."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.chaos.checker import Arrival, Verdict, examine, read_arrivals
from tests.chaos.clients import Journal
from tests.chaos.stage import Stage

Spoil = Callable[[Stage, Journal, list[Arrival]], None]


def show(stage: Stage, journal: Journal) -> Verdict:
    """Spoil one thing after the other and return whether each was seen; the stage is of no use afterwards."""
    unseen: list[str] = []
    before = _counts(stage, journal, read_arrivals(stage.arrivals))
    for names, spoil in _WAYS.items():
        arrivals = read_arrivals(stage.arrivals)
        spoil(stage, journal, arrivals)
        after = _counts(stage, journal, arrivals)
        if not any(after[name] > before[name] for name in names[1:]):
            unseen.append(f"{names[0]}: {after}")
        if spoil not in _ON_THE_WAY:
            before = after  # what is stored stays spoiled; what arrived is read anew
    return Verdict("S-02", "the judge sees what was spoiled", f"{len(_WAYS)} ways", unseen)


def _counts(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> dict[str, int]:
    return {verdict.name: len(verdict.violations) for verdict in examine(stage, journal, arrivals)}


def _lose_an_order(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    stage.sql("SET session_replication_role = replica; DELETE FROM orders WHERE id = (SELECT max(id) FROM orders)")


def _make_a_second_order(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    first, second = [one.key for one in journal.acked[:2]]
    _quietly(stage, f"UPDATE orders SET customer_source_id = '{first}' WHERE customer_source_id = '{second}'")


def _reserve_too_little(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    _quietly(
        stage, "UPDATE lots SET reserved = reserved - 1 WHERE id = (SELECT id FROM lots WHERE reserved > 0 LIMIT 1)"
    )


def _lose_an_event(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    _quietly(stage, "DELETE FROM events WHERE id = (SELECT id FROM events WHERE order_sequence = 2 LIMIT 1)")


def _take_a_cancel_back(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    _quietly(stage, f"UPDATE orders SET status = 'CREATED' WHERE id = '{min(journal.cancelled)}'")


def _invent_an_event(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    arrivals.append(replace(arrivals[0], event_id="invented"))


def _forget_a_delivery(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    lost = next(one.event_id for one in arrivals if one.accepted)
    arrivals[:] = [one for one in arrivals if one.event_id != lost]


def _turn_around(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    later = next(one for one in arrivals if one.sequence == 2)
    order = json.loads(later.body)["order"]["orderId"]
    for place, one in enumerate(arrivals):
        if json.loads(one.body)["order"]["orderId"] == order and one.sequence == 1:
            arrivals[place] = replace(one, at=later.at + 1)


def _change_a_body(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    body = base64.b64encode(arrivals[0].body).swapcase()
    arrivals[0] = replace(arrivals[0], body=json.dumps(json.loads(arrivals[0].body) | {"x": body.decode()}).encode())


def _send_to_another(stage: Stage, journal: Journal, arrivals: list[Arrival]) -> None:
    paths = [partner.path for partner in stage.partners]
    arrivals[0] = replace(arrivals[0], path=next(path for path in paths if path != arrivals[0].path))


def _quietly(stage: Stage, statement: str) -> None:
    """Change rows as no constraint or trigger would let anybody."""
    stage.sql(f"SET session_replication_role = replica; {statement}")


# What is done, and the verdicts of which one has to show it.
_WAYS: Final[dict[tuple[str, ...], Spoil]] = {
    ("an acknowledged order is lost", "I1"): _lose_an_order,
    ("a key made two orders", "I2"): _make_a_second_order,
    ("the stock does not balance", "I3"): _reserve_too_little,
    ("an event is lost", "I4/I6"): _lose_an_event,
    ("an acknowledged cancel is taken back", "I5"): _take_a_cancel_back,
    ("an event arrives that never was", "I6"): _invent_an_event,
    ("an event never arrives", "I7"): _forget_a_delivery,
    ("events arrive in the wrong order", "I8"): _turn_around,
    ("a body is changed on its way", "I9"): _change_a_body,
    ("an event comes to another partner", "I10"): _send_to_another,
}
_ON_THE_WAY: Final = (_invent_an_event, _forget_a_delivery, _turn_around, _change_a_body, _send_to_another)
