"""Between the wire and the models."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fulfillment.sdk import UNSET, models
from fulfillment.sdk.codec import Model, Unset, WireMismatch, encode
from tests.sdk import samples

MODELS = [
    found
    for found in vars(models).values()
    if isinstance(found, type) and issubclass(found, Model) and found.__module__ == models.__name__
]
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=4, max_value=10**9),
    datetime: st.datetimes(timezones=st.just(UTC)),
    NoneType: st.none(),
    Unset: st.just(UNSET),
    Any: st.none() | st.integers() | st.text(max_size=5),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a type hint."""
    if hint in SCALARS:
        return SCALARS[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=2)
    if args:
        return st.one_of([values(arg) for arg in args])
    return st.sampled_from(hint) if issubclass(hint, StrEnum) else instances(hint)


def instances(model: type[Model]) -> st.SearchStrategy[Any]:
    """Return a strategy for the instances of a model."""
    hints = get_type_hints(model)
    return st.builds(model, **{field.name: values(hints[field.name]) for field in fields(model) if field.name != "raw"})


@pytest.mark.parametrize("model", MODELS)
def test_round_trip(model: type[Model]):
    """What is written to the wire and read again is the same object, for every model and any values."""

    @given(instances(model))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    def check(made: Model) -> None:
        assert model.from_wire(json.loads(json.dumps(made.to_wire()))) == made

    check()


@pytest.mark.parametrize(
    ("model", "sample"),
    [
        (models.OrderCreate, samples.ORDER_CREATE),
        (models.Order, samples.ORDER),
        (models.Protocol, samples.PROTOCOL),
        (models.Product, samples.PRODUCT),
        (models.ShippingMethod, samples.SHIPPING_METHOD),
        (models.PartnerSettings, samples.SETTINGS),
        (models.WebhookSecret, samples.SECRET),
    ],
)
def test_wire_round_trip(model: type[Model], sample: dict[str, Any]):
    """An object of the contract that is read and written again is the same JSON."""
    written = model.from_wire(sample).to_wire()

    assert {name: written[name] for name in sample} == sample


def test_an_order_as_python_has_it():
    """Money is Decimal, times are aware, lists are tuples, null is None."""
    order = models.Order.from_wire(samples.ORDER)

    assert order.total == Decimal("34.57")
    assert order.line_items[0].discounted_price == Decimal("0.477")
    assert order.created_at == datetime(2023, 10, 1, 12, 0, tzinfo=UTC)
    assert order.status is models.OrderStatus.SHIPPED
    assert order.customer.address.zip_code == "94301"
    assert order.fulfillment_info is not None
    assert order.fulfillment_info.checkpoints[0].location == "Los Angeles, CA, USA"
    assert order.protocol_id is None


def test_what_a_newer_server_adds():
    """Unknown members stay in raw, also inside; an unknown status is text."""
    order = models.Order.from_wire(
        samples.order(status="ON_HOLD", holds=["x"], fulfillmentInfo={"carrier": "UPS", "drone": True})
    )

    assert order.status == "ON_HOLD"
    assert order.raw["holds"] == ["x"]
    assert order.fulfillment_info is not None
    assert order.fulfillment_info.raw["drone"] is True


def test_null_where_a_default_is():
    """A null list is the empty list; a null flag is its default."""
    product = models.Product.from_wire({**samples.PRODUCT, "certifications": None, "external": None})

    assert product.certifications == ()
    assert product.external is False


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"id": 5}, "Order.id is not text"),
    ({"id": None}, "Order.id is not text"),
    ({"daysSupply": "30"}, "Order.daysSupply is not an integer"),
    ({"daysSupply": True}, "Order.daysSupply is not an integer"),
    ({"total": "a lot"}, "Order.total is not a decimal string"),
    ({"total": "NaN"}, "Order.total is not a decimal string"),
    ({"total": 34.57}, "Order.total is not text"),
    ({"createdAt": "yesterday"}, "Order.createdAt is not a date and time"),
    ({"lineItems": {}}, "Order.lineItems is not an array"),
    ({"lineItems": [{}]}, "Order.lineItems[0].productId is missing"),
    ({"customer": []}, "Order.customer is not an object"),
    ({"customer": {"firstName": "Zebrowski"}}, "Order.customer.sourceId is missing"),
]


@pytest.mark.parametrize(("changes", "place"), MALFORMED)
def test_a_malformed_order(changes: dict[str, Any], place: str):
    """A broken promise names its place, and not its value."""
    with pytest.raises(WireMismatch) as caught:
        models.Order.from_wire(samples.order(**changes))

    assert str(caught.value) == place


@pytest.mark.parametrize(
    ("model", "sample", "why"),
    [
        (models.PartnerSettings, {**samples.SETTINGS, "discountValue": "0.1"}, "is not a number"),
        (models.Product, {**samples.PRODUCT, "external": "no"}, "is not true or false"),
    ],
)
def test_malformed_scalars(model: type[Model], sample: dict[str, Any], why: str):
    """Numbers and flags are not text."""
    with pytest.raises(WireMismatch, match=why):
        model.from_wire(sample)


def test_what_is_left_out_and_what_is_null():
    """An update sends what was set; None clears; a line item without administration sends none."""
    assert models.PartnerSettingsUpdate(logo=None, website="w").to_wire() == {"logo": None, "website": "w"}
    assert models.ProtocolUpdate(days_supply=60).to_wire() == {"daysSupply": 60}
    assert models.LineItemCreate(5, 1).to_wire() == {"productId": 5, "quantity": 1, "packDescription": None}
    assert models.PartnerSettingsUpdate.from_wire({"logo": None}) == models.PartnerSettingsUpdate(logo=None)


def test_anything_inside_a_dict_is_written():
    """Plain dicts may hold models, enums, Decimals and times."""
    berlin = timezone(timedelta(hours=1))

    assert encode(
        {
            "a": models.Administration(1),
            "b": [models.OrderStatus.SHIPPED, Decimal("1E+2")],
            "c": datetime(2026, 1, 1, 1, 0, tzinfo=berlin),
            "d": datetime(2026, 1, 1, tzinfo=UTC).date(),
        }
    ) == {
        "a": {"morning": 1, "afternoon": 0, "evening": 0, "sleep": 0},
        "b": ["SHIPPED", "100"],
        "c": "2026-01-01T00:00:00Z",
        "d": "2026-01-01",
    }


def test_a_time_needs_a_zone():
    """A datetime without a zone is refused: nobody could say which moment it is."""
    with pytest.raises(ValueError, match="needs a time zone"):
        encode(datetime(2026, 1, 1))  # noqa: DTZ001


def test_models_are_frozen():
    """No model can be changed after it was made."""
    for model in MODELS:
        assert model.__dataclass_params__.frozen, model  # type: ignore[attr-defined]


def test_read_models_keep_what_came():
    """Every model the server writes has raw, which is neither compared nor shown."""
    info = models.FulfillmentInfo.from_wire({"carrier": "UPS", "secret": 1})
    raw = next(field for field in fields(models.Order) if field.name == "raw")

    assert info == models.FulfillmentInfo(carrier="UPS")
    assert "secret" not in repr(info)
    assert raw.default_factory is not MISSING
