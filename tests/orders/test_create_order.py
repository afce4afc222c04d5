"""Creating an order: what it takes, what it writes, what it refuses, and that nothing is left of a refusal."""

import json
from datetime import timedelta
from typing import Any

import pytest

from fulfillment.infra.env import Env
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.orders import service
from fulfillment.orders.domain import DuplicateOrder, InsufficientStock
from fulfillment.orders.preparing import ProductNotOrderable, UnknownProduct
from fulfillment.orders.wire import order_json
from fulfillment.partners import service as partners
from tests.conftest import Clock
from tests.orders.stored import NOTHING, footprint, reserved, rows, run
from tests.world import World, a_customer, a_draft, a_line

pytestmark = pytest.mark.anyio


async def made(env: Env, caller: Caller, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Create an order and return its answer."""
    return json.loads((await service.create_order(env, caller, a_draft(*lines, **changes))).body)


async def test_the_answer_is_the_contracts_order(env: Env, world: World) -> None:
    """Prices, totals, status and what the partner may do are answered; calculated by hand."""
    caller = await world.partner(discount="0.10")
    epa = await world.product(price="0.53", available=1000)
    powder = await world.product(price="24.00", external=True, available=10)

    order = await made(
        env, caller, a_line(epa, 2), {"productId": powder, "quantity": 1}, daysSupply=60, shippingMethod="EXPRESS"
    )

    # 0.53 less 10 % = 0.4770; x 2 x 60 = 57.24. 24 less 10 % = 21.60. 5 % of 57.24 = 2.862 -> 2.86.
    assert [line["discountedPrice"] for line in order["lineItems"]] == ["0.477", "21.60"]
    assert [line["price"] for line in order["lineItems"]] == ["0.53", "24.00"]
    assert order["subtotal"] == "78.84"
    assert order["volumeDiscount"] == "2.86"
    assert order["handlingFee"] == "5.00"
    assert order["shippingCost"] == "14.99"
    assert order["total"] == "95.97"
    assert order["discount"] == "10%"
    assert order["status"] == "CREATED"
    assert order["orderType"] == "ONE_TIME"
    assert order["allowedActions"] == ["cancel"]
    assert order["holds"] == []
    assert len(order["id"]) == 27


async def test_stock_is_reserved_exactly(env: Env, world: World) -> None:
    """Pills are quantity x days, units are units, and several lines of a product are summed."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    oil = await world.product(external=True, available=10)

    await made(env, caller, a_line(epa, 2), a_line(epa, 1), {"productId": oil, "quantity": 3}, daysSupply=90)

    assert await reserved(env, epa) == 270
    assert await reserved(env, oil) == 3
    assert await world.available(epa) == 730


async def test_one_order_writes_one_event_and_one_delivery(env: Env, world: World) -> None:
    """With a receiver there is an event and its delivery in the order's transaction; the payload is the contract's."""
    caller = await world.partner()
    await partners.update_settings(env, caller, {"webhook_url": "https://example.com/hooks"})
    epa = await world.product(available=1000)

    order = await made(env, caller, a_line(epa))

    assert await footprint(env, caller.partner_id) == NOTHING | {
        "orders": 1,
        "events": 1,
        "deliveries": 1,
        "reservations": 1,
    }
    ((type_, payload, sequence),) = await rows(
        env, "SELECT type, payload, order_sequence FROM events WHERE order_id = %(id)s", id=order["id"]
    )
    assert (type_, sequence) == ("order.created", 1)
    assert payload == {
        "order": {
            "orderId": order["id"],
            "status": "CREATED",
            "fulfillmentInfo": None,
            "createdAt": order["createdAt"],
            "updatedAt": order["updatedAt"],
        }
    }


async def test_without_a_receiver_there_is_an_event_and_no_delivery(env: Env, world: World) -> None:
    """The event feed has it, nobody is called."""
    caller = await world.partner()

    await world.order(caller)

    assert await footprint(env, caller.partner_id) == NOTHING | {"orders": 1, "events": 1, "reservations": 1}


async def test_short_stock_takes_nothing(env: Env, world: World) -> None:
    """When the second product falls short, the first keeps its stock; each short one is named with what is left."""
    caller = await world.partner()
    plenty, scarce = await world.product(available=100), await world.product(available=59)
    none = await world.product()

    with pytest.raises(InsufficientStock) as caught:
        await made(env, caller, a_line(plenty), a_line(scarce), a_line(none))

    assert caught.value.extra["products"] == [
        {"productId": scarce, "requested": 60, "available": 59},
        {"productId": none, "requested": 60, "available": 0},
    ]
    assert await footprint(env, caller.partner_id) == NOTHING
    assert [await reserved(env, product) for product in (plenty, scarce, none)] == [0, 0, 0]


async def test_the_last_pill_can_be_sold(env: Env, world: World) -> None:
    """An order for exactly what is left is accepted, and the next one is not."""
    caller = await world.partner()
    epa = await world.product(available=60)

    await made(env, caller, a_line(epa))

    with pytest.raises(InsufficientStock):
        await made(env, caller, a_line(epa, 1))
    assert await world.available(epa) == 0


async def test_lots_that_do_not_last_are_not_sold(env: Env, world: World) -> None:
    """Pills that expire before the supply ends are not taken, though they are there; a later lot is."""
    caller = await world.partner()
    epa = await world.product()
    early = await world.lot(epa, 1000, expiry_days=40)
    late = await world.lot(epa, 1000, expiry_days=400)

    order = await made(env, caller, a_line(epa), daysSupply=30)

    held = await rows(env, "SELECT lot_id, quantity FROM reservations WHERE order_id = %(id)s", id=order["id"])
    assert held == [(late, 60)]
    assert early != late


REFUSALS = [
    ({"status": "DRAFT"}, ProductNotOrderable, "product_not_orderable"),
    ({"status": "BACKORDERED"}, ProductNotOrderable, "product_not_orderable"),
    ({"status": "DISCONTINUED"}, ProductNotOrderable, "product_not_orderable"),
]


@pytest.mark.parametrize(("product", "error", "code"), REFUSALS)
async def test_only_active_products_can_be_ordered(
    env: Env, world: World, product: dict[str, Any], error: type[ValidationFailed], code: str
) -> None:
    """The refusal has the pointer of its line, and nothing is written."""
    caller = await world.partner()
    good = await world.product(available=1000)
    bad = await world.product(available=1000, **product)

    with pytest.raises(error) as caught:
        await made(env, caller, a_line(good), a_line(bad))

    assert caught.value.code == code
    assert [fault.pointer for fault in caught.value.errors] == ["/lineItems/1/productId"]
    assert await footprint(env, caller.partner_id) == NOTHING
    assert await reserved(env, good) == 0


async def test_an_unknown_product_is_named(env: Env, world: World) -> None:
    """Each unknown product has the pointer of its line."""
    caller = await world.partner()

    with pytest.raises(UnknownProduct) as caught:
        await made(env, caller, a_line(1), a_line(2))

    assert [fault.pointer for fault in caught.value.errors] == ["/lineItems/0/productId", "/lineItems/1/productId"]


async def test_faults_of_several_kinds_are_one_refusal(env: Env, world: World) -> None:
    """An unknown product and one that can't be ordered: both named, each with its own code."""
    caller = await world.partner()
    draft = await world.product(status="DRAFT")

    with pytest.raises(ValidationFailed) as caught:
        await made(env, caller, a_line(1), a_line(draft))

    assert caught.value.code == "validation_failed"
    assert [fault.code for fault in caught.value.errors] == ["unknown_product", "product_not_orderable"]


async def test_prices_are_frozen(env: Env, world: World) -> None:
    """A later change of price, discount or name changes no order, byte for byte."""
    caller = await world.partner(discount="0.10")
    epa = await world.product(price="0.50", available=1000)
    created = await service.create_order(env, caller, a_draft(a_line(epa)))

    await run(env, "UPDATE products SET list_price = 9, name = 'Other' WHERE id = %(id)s", id=epa)
    await run(env, "UPDATE partners SET discount = 0.5 WHERE id = %(id)s", id=caller.partner_id)
    later = await service.get_order(env, caller, created.order_id)
    order = await made(env, caller, a_line(epa))

    assert order_json(later).encode() == created.body
    assert order["lineItems"][0]["price"] == "9.00"
    assert order["lineItems"][0]["discountedPrice"] == "4.50"


async def test_a_change_between_preparing_and_committing_is_seen(
    env: Env, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price that changes after an order was priced and before it is written: the order has the new price."""
    caller = await world.partner(discount="0")
    epa = await world.product(price="0.50", available=1000)
    prepare = service.prepare_order
    runs = 0

    async def slow(*args: Any) -> Any:
        nonlocal runs
        prepared = await prepare(*args)
        runs += 1
        if runs == 1:
            await run(env, "UPDATE products SET list_price = 0.75 WHERE id = %(id)s", id=epa)
        return prepared

    monkeypatch.setattr(service, "prepare_order", slow)

    order = await made(env, caller, a_line(epa))

    assert order["lineItems"][0]["price"] == "0.75"
    assert order["subtotal"] == "45.00"
    assert runs == 2


async def test_a_change_of_the_shipping_price_is_seen(env: Env, world: World) -> None:
    """The shipping price is exact too, though the process remembers the old one."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    await made(env, caller, a_line(epa))
    await run(env, "UPDATE shipping_methods SET price = 7.49 WHERE name = 'STANDARD'")

    order = await made(env, caller, a_line(epa))

    await run(env, "UPDATE shipping_methods SET price = 5.99 WHERE name = 'STANDARD'")
    assert order["shippingCost"] == "7.49"


async def test_an_address_that_cannot_be_reached_is_held(env: Env, world: World) -> None:
    """A ZIP code that no state has: the order is accepted, held for its address, and warns; two events tell it."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    address = a_customer()["address"] | {"zipCode": "00001"}

    order = await made(env, caller, a_line(epa), customer=a_customer(address=address))

    assert [hold["code"] for hold in order["holds"]] == ["ADDRESS"]
    assert order["sequence"] == 2
    assert [warning["pointer"] for warning in order["warnings"]] == ["/customer/address/zipCode"]
    found = await rows(env, "SELECT type FROM events WHERE order_id = %(id)s ORDER BY order_sequence", id=order["id"])
    assert found == [("order.created",), ("order.held",)]
    assert await footprint(env, caller.partner_id) == NOTHING | {
        "orders": 1,
        "events": 2,
        "holds": 1,
        "reservations": 1,
    }


async def test_a_twin_is_accepted_with_a_warning(env: Env, world: World) -> None:
    """By default the same content for the same customer is accepted; the answer names the first order."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    first = await made(env, caller, a_line(epa))

    second = await made(env, caller, a_line(epa))

    assert first["warnings"] == []
    assert [warning["code"] for warning in second["warnings"]] == ["duplicate_suspected"]
    assert first["id"] in second["warnings"][0]["message"]
    assert second["holds"] == []


async def test_a_twin_is_held_when_asked_for(env: Env, world: World) -> None:
    """With onDuplicate=hold it takes its stock and waits."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    await made(env, caller, a_line(epa))

    second = await service.create_order(env, caller, a_draft(a_line(epa)), on_duplicate="hold")

    assert [hold["code"] for hold in json.loads(second.body)["holds"]] == ["DUPLICATE_SUSPECTED"]
    assert await reserved(env, epa) == 120


async def test_a_twin_is_refused_when_asked_for(env: Env, world: World) -> None:
    """With onDuplicate=reject nothing is done and the first order is named."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    first = await made(env, caller, a_line(epa))

    with pytest.raises(DuplicateOrder) as caught:
        await service.create_order(env, caller, a_draft(a_line(epa)), on_duplicate="reject")

    assert caught.value.extra["orderId"] == first["id"]
    assert await reserved(env, epa) == 60


@pytest.mark.parametrize("other", ["customer", "content", "partner", "cancelled", "older"])
async def test_what_is_no_twin(env: Env, world: World, clock: Clock, other: str) -> None:
    """Another customer, content or partner, a cancelled order and one of fifteen days ago are no twins."""
    caller = await world.partner()
    epa = await world.product(available=1000)
    draft = a_draft(a_line(epa))
    first = await service.create_order(env, caller, draft)

    match other:
        case "customer":
            draft = a_draft(a_line(epa), customer=a_customer(sourceId="other"))
        case "content":
            draft = a_draft(a_line(epa, 1))
        case "partner":
            caller = await world.partner()
        case "cancelled":
            await service.cancel_order(env, caller, first.order_id)
        case _:
            clock.move(days=15)

    second = await service.create_order(env, caller, draft, on_duplicate="reject")

    assert json.loads(second.body)["warnings"] == []


async def test_an_order_of_a_partner_that_another_process_has_just_made(env: Env, world: World) -> None:
    """A partner that this process's memory does not know yet can order at once."""
    await partners.get_partners(env)
    stale = env.caches.peek("partners")
    caller = await world.partner()
    epa = await world.product(available=1000)
    env.caches._values["partners"] = stale  # pyright: ignore  # as if the notification were still on its way

    order = await made(env, caller, a_line(epa))

    assert order["status"] == "CREATED"


async def test_the_cut_off_is_the_release_setting(env: Env, world: World) -> None:
    """In the sandbox nothing is released by itself: an order can be cancelled until somebody releases it."""
    order = await world.order(await world.partner())

    assert order.release_at is None


async def test_a_test_clock_is_the_partners_present(env: Env, world: World) -> None:
    """An order of a partner whose clock stands is made at that moment."""
    caller = await world.partner()
    at = env.now() + timedelta(days=3)
    await run(env, "UPDATE partners SET clock_frozen_at = %(at)s WHERE id = %(id)s", at=at, id=caller.partner_id)

    order = await world.order(caller)

    assert order.created_at == at
