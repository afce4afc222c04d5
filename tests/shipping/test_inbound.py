"""AfterShip's and EasyPost's messages as our checkpoints."""

from datetime import UTC, datetime

import pytest

from fulfillment.shipping.inbound import (
    TrackingEventInvalid,
    aftership_signature_ok,
    easypost_signature_ok,
    parse_aftership,
    parse_easypost,
)
from fulfillment.shipping.tracking import TrackingStatus, merge, to_wire

T = TrackingStatus
NOW = datetime(2026, 12, 3, 12, tzinfo=UTC)


def aftership(*checkpoints, tag="InTransit", **message):
    """Return a message in the shape of AfterShip's webhook specification."""
    return {
        "event": "tracking_update",
        "event_id": "94dadd60-ed26-46d0-aa52-3ced925a50ff",
        "is_tracking_first_tag": True,
        "msg": {
            "id": "0",
            "tracking_number": "1Z5R89390357567127",
            "slug": "ups",
            "tag": tag,
            "subtag": f"{tag}_001",
            "checkpoints": list(checkpoints),
            **message,
        },
        "ts": 1796212800,  # 2 December 2026, 12:00 UTC
    }


def checkpoint(at, tag="InTransit", **more):
    """Return one of AfterShip's checkpoints."""
    return {"checkpoint_time": at, "tag": tag, "subtag": f"{tag}_003", "message": "Arrival scan", **more}


CHICAGO = {"city": "Chicago", "state": "IL", "country_iso3": "USA"}


def easypost(*details, status="in_transit", **result):
    """Return an event in the shape of EasyPost's documentation."""
    return {
        "id": "evt_qatAiJDM",
        "object": "Event",
        "description": "tracker.updated",
        "result": {
            "id": "trk_Txyy1vaM",
            "object": "Tracker",
            "tracking_code": "9400 1112 0620 6406 2607 87",
            "carrier": "USPS",
            "status": status,
            "updated_at": "2026-12-02T12:00:00Z",
            "tracking_details": list(details),
            **result,
        },
    }


def detail(at, status="in_transit", **more):
    """Return one of EasyPost's tracking details."""
    place = {"object": "TrackingLocation", "city": "CHICAGO", "state": "IL", "country": "US", "zip": "60601"}
    return {"message": "Arrived", "status": status, "datetime": at, "tracking_location": place, **more}


def test_an_aftership_message_becomes_checkpoints():
    """Carrier, number, event id and the scan come over; the wire shows the contract's example place."""
    (update,) = parse_aftership(aftership(checkpoint("2026-12-01T08:00:00-06:00", **CHICAGO)), NOW)

    assert (update.carrier, update.tracking_number) == ("UPS", "1Z5R89390357567127")
    assert update.event_id == "94dadd60-ed26-46d0-aa52-3ced925a50ff"
    assert [to_wire(each) for each in update.checkpoints] == [
        {
            "checkpointTime": "2026-12-01T14:00:00Z",
            "location": "Chicago, IL, USA",
            "message": "Arrival scan",
            "tag": "InTransit",
        }
    ]
    assert update.checkpoints[0].subtag == "InTransit_003"


def test_a_local_time_is_placed_by_its_state():
    """All of Illinois keeps Central time: 08:00 without an offset in Chicago is 14:00 UTC in winter."""
    (update,) = parse_aftership(aftership(checkpoint("2026-12-01T08:00:00", **CHICAGO)), NOW)

    assert update.checkpoints[0].checkpoint_time == datetime(2026, 12, 1, 14, tzinfo=UTC)
    assert not update.checkpoints[0].time_is_zoned


def test_a_state_in_two_zones_is_settled_by_its_zip():
    """El Paso keeps Mountain time, most of Texas Central: without the ZIP nothing is assumed."""
    texas = {"city": "El Paso", "state": "TX", "country_iso3": "USA"}
    bodies = [
        aftership(checkpoint("2026-12-01T08:00:00", **texas, postal_code="79901")),
        aftership(checkpoint("2026-12-01T08:00:00", **texas)),
        aftership(checkpoint("2026-12-01T08:00:00", **CHICAGO | {"country_iso3": "CAN"})),
    ]

    times = [parse_aftership(body, NOW)[0].checkpoints[0].checkpoint_time for body in bodies]

    assert times == [datetime(2026, 12, 1, 15, tzinfo=UTC), None, None]


def test_a_scan_in_napakiak_is_placed():
    """99634, without a time zone in the directory's source, keeps Alaska's time: 08:00 there is 17:00 UTC in winter."""
    scan = checkpoint("2026-12-01T08:00:00", city="Napakiak", state="AK", country_iso3="USA", postal_code="99634")

    (update,) = parse_aftership(aftership(scan), NOW)

    assert update.checkpoints[0].checkpoint_time == datetime(2026, 12, 1, 17, tzinfo=UTC)


def test_unplaced_times_are_ordered_by_the_list():
    """Where a time can't be placed, the carrier's order counts: west of a zone border the clock goes back."""
    denver = checkpoint("2026-12-01T15:30:00", message="left")
    west = checkpoint("2026-12-01T14:50:00", "OutForDelivery", message="arrived")
    (update,) = parse_aftership(aftership(denver, west, tag="OutForDelivery"), NOW)

    merged = merge((), tuple(reversed(update.checkpoints)))

    assert [each.message for each in merged.checkpoints] == ["left", "arrived"]
    assert merged.status == T.OUT_FOR_DELIVERY


def test_an_expired_parcel_gets_a_checkpoint_of_its_own():
    """Nobody scans an expired parcel: its tag is on the message alone, at the message's time."""
    body = aftership(checkpoint("2026-11-01T08:00:00Z"), tag="Expired", subtag_message="No news for 30 days")

    (update,) = parse_aftership(body, NOW)

    assert [(str(each.tag), each.message) for each in update.checkpoints] == [
        ("InTransit", "Arrival scan"),
        ("Expired", "No news for 30 days"),
    ]
    assert update.checkpoints[1].checkpoint_time == datetime(2026, 12, 2, 12, tzinfo=UTC)


def test_a_message_sent_again_changes_nothing():
    """Redelivery of the same body, also with a synthesised checkpoint, leaves the history as it is."""
    body = aftership(checkpoint("2026-11-01T08:00:00Z"), tag="Expired")
    first = merge((), parse_aftership(body, NOW)[0].checkpoints)

    again = merge(first.checkpoints, parse_aftership(body, NOW.replace(hour=20))[0].checkpoints)

    assert not again.changed
    assert again.status == T.EXPIRED


def test_messages_out_of_order_end_in_the_newest_status():
    """An older message that arrives last does not take back the delivery."""
    older = aftership(checkpoint("2026-12-01T08:00:00Z"))
    newer = aftership(checkpoint("2026-12-02T08:00:00Z", "Delivered"), tag="Delivered")

    history = merge((), parse_aftership(newer, NOW)[0].checkpoints)
    history = merge(history.checkpoints, parse_aftership(older, NOW)[0].checkpoints)

    assert [str(each.tag) for each in history.checkpoints] == ["InTransit", "Delivered"]
    assert history.status == T.DELIVERED


def test_every_fault_of_an_aftership_message_is_named():
    """Pointers lead to each fault; nothing is guessed."""
    body = aftership(checkpoint("2026-12-01T08:00:00Z", "Lost"), 7, checkpoint(5), tracking_number=None)

    with pytest.raises(TrackingEventInvalid) as refused:
        parse_aftership(body, NOW)

    assert [each.pointer for each in refused.value.errors] == [
        "/msg/tracking_number",
        "/msg/checkpoints/1",
        "/msg/checkpoints/0/tag",
        "/msg/checkpoints/2/checkpoint_time",
    ]
    assert refused.value.code == "tracking_event_invalid"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/msg", "/msg/tracking_number"]),
        ({"msg": []}, ["/msg", "/msg/tracking_number"]),
        (aftership(checkpoints={}), ["/msg/checkpoints"]),
        (aftership(*[checkpoint("")] * 501), ["/msg/checkpoints"]),
    ],
)
def test_other_shapes_are_refused(body, pointers):
    """An empty body, wrong types and endless lists are named too."""
    with pytest.raises(TrackingEventInvalid) as refused:
        parse_aftership(body, NOW)

    assert [each.pointer for each in refused.value.errors] == pointers


def test_an_easypost_event_becomes_checkpoints():
    """The number is stored without spaces, and US reads USA."""
    (update,) = parse_easypost(easypost(detail("2026-12-01T08:00:00Z")), NOW)

    assert (update.carrier, update.tracking_number) == ("USPS", "9400111206206406260787")
    assert update.event_id == "evt_qatAiJDM"
    assert [to_wire(each) for each in update.checkpoints] == [
        {
            "checkpointTime": "2026-12-01T08:00:00Z",
            "location": "CHICAGO, IL, USA",
            "message": "Arrived",
            "tag": "InTransit",
        }
    ]


@pytest.mark.parametrize(
    ("status", "tag"),
    [
        ("pre_transit", "InfoReceived"),
        ("in_transit", "InTransit"),
        ("out_for_delivery", "OutForDelivery"),
        ("available_for_pickup", "AvailableForPickup"),
        ("delivered", "Delivered"),
        ("return_to_sender", "Exception"),
        ("failure", "Exception"),
        ("cancelled", "Exception"),
        ("unknown", "Pending"),
        ("error", "Pending"),
    ],
)
def test_easypost_s_statuses_are_nine_tags(status, tag):
    """Each of EasyPost's ten statuses has its AfterShip tag."""
    (update,) = parse_easypost(easypost(detail("2026-12-01T08:00:00Z", status), status=status), NOW)

    assert [str(each.tag) for each in update.checkpoints] == [tag]


def test_easypost_s_detail_tells_an_expired_parcel():
    """EasyPost has no such status, only a detail beside it."""
    event = easypost(detail("2026-11-01T08:00:00Z"), status="unknown", status_detail="expired")

    (update,) = parse_easypost(event, NOW)

    assert str(update.checkpoints[-1].tag) == "Expired"


def test_an_easypost_event_about_something_else_is_no_news():
    """A batch's event is read and says nothing of a parcel."""
    assert parse_easypost({"id": "evt_1", "result": {"object": "Batch"}}, NOW) == ()


def test_every_fault_of_an_easypost_event_is_named():
    """A missing number, an unknown status and a place of the wrong type come at once."""
    event = easypost(detail("x", "teleported", tracking_location="Chicago"), tracking_code="")

    with pytest.raises(TrackingEventInvalid) as refused:
        parse_easypost(event, NOW)

    assert [each.pointer for each in refused.value.errors] == [
        "/result/tracking_code",
        "/result/tracking_details/0/status",
        "/result/tracking_details/0/tracking_location",
    ]


# Made with: printf '%s' '{"msg":1}' | openssl dgst -sha256 -hmac "$SECRET" [-binary | base64]
BODY = b'{"msg":1}'
AFTERSHIP = "4bWM5XVrYbChXDPaFfU/fvIpMZq2shmCRfJAImLxP98="
EASYPOST = "hmac-sha256-hex=b6fca38df900b0383e896a153f7413d87528664afb5bd64370cd9e66a3458afb"


def test_aftership_s_signature_is_accepted():
    """The value that openssl makes is right, and wrong for another body, secret or header."""
    assert aftership_signature_ok(BODY, AFTERSHIP, "your_webhook_secret")
    assert not aftership_signature_ok(BODY + b" ", AFTERSHIP, "your_webhook_secret")
    assert not aftership_signature_ok(BODY, AFTERSHIP, "another")
    assert not aftership_signature_ok(BODY, "", "your_webhook_secret")
    assert not aftership_signature_ok(BODY, "é", "your_webhook_secret")


@pytest.mark.parametrize("secret", ["sécret", "se\u0301cret"])
def test_easypost_s_signature_is_accepted_in_any_form_of_the_secret(secret):
    """Composed or decomposed, the secret's key is that of form NFKD."""
    assert easypost_signature_ok(BODY, EASYPOST, secret)
    assert not easypost_signature_ok(BODY + b" ", EASYPOST, secret)
    assert not easypost_signature_ok(BODY, EASYPOST.removeprefix("hmac-sha256-hex="), secret)
    assert not easypost_signature_ok(BODY, EASYPOST, "secret")
