"""The documents as the warehouse prints them: right content, as PDF, for an order and for a batch."""

import io
from pathlib import Path

import httpx2
import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from fulfillment.orders.domain import OrderStatus
from fulfillment.warehouse.domain import DocumentNotAvailable, LabelAsk
from fulfillment.warehouse.service import batching, printing, stepping
from fulfillment.warehouse.service.printing import Kind
from tests.warehouse.conftest import OPERATOR, Bench, a_line
from tests.world import a_customer

pytestmark = pytest.mark.anyio


def _text(pdf: bytes) -> list[str]:
    return [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pdf)]


def _codes(pdf: bytes, page: int = 0) -> set[str]:
    picture = pypdfium2.PdfDocument(pdf)[page].render(scale=4).to_pil()
    return {barcode.text for barcode in zxingcpp.read_barcodes(picture)}


async def _batch(bench: Bench, count: int = 2) -> tuple[str, list[str]]:
    panel = {
        "servingSize": 1,
        "type": "capsule",
        "otherIngredients": ["Gelatin"],
        "ingredients": [{"name": "Vitamin C", "amount": "250", "unit": "mg", "dailyValue": "278%"}],
    }
    product = await bench.world.product(name="Vitamin C 250", facts=panel, contains_allergens=("tree_nuts",))
    await bench.lot(product, 6000, days=400, number="A2291")
    customer = a_customer(firstName="Zoe", lastName="Lukasz")
    placed = [await bench.order(a_line(product, 3), customer=customer) for _ in range(count)]
    batch, _ = await batching.create_batch(bench.env, OPERATOR, placed)
    return batch.id, sorted(placed)


async def test_a_packing_slip_says_what_is_in_the_parcel(bench: Bench) -> None:
    """Product, lot, doses and the facts of the day stand on it: 750 mg are 833 % of 90 mg."""
    _, (order_id, _) = await _batch(bench)

    pdf = await printing.order_document(bench.env, order_id, Kind.PACKING_SLIP)

    text = "\n".join(_text(pdf))
    for words in ("Vitamin C 250", "A2291", "90 pills", "Zoe Lukasz", order_id, "750 mg", "833%", "Tree nuts"):
        assert words in text
    assert order_id in _codes(pdf)


async def test_each_pouch_has_its_label(bench: Bench) -> None:
    """Thirty days, morning and evening, give sixty labels; the code of each is the pack's id."""
    _, (order_id, _) = await _batch(bench)

    pdf = await printing.order_document(bench.env, order_id, Kind.PACK_LABELS)

    pages = _text(pdf)
    assert len(pages) == 60
    assert "2 ×" in pages[0]
    assert "1 ×" in pages[1]
    assert _codes(pdf, 1) == {f"{order_id}-01E"}


async def test_the_simulated_label_reads_back(bench: Bench) -> None:
    """The label's Code 128 is the tracking number, its Data Matrix the routing with the ZIP code."""
    _, (order_id, _) = await _batch(bench)
    order = (await stepping.advance_order(bench.env, OPERATOR, order_id, OrderStatus.AWAITING_SHIPMENT)).order

    pdf = await printing.order_document(bench.env, order_id, Kind.SHIPPING_LABEL)

    number = order.fulfillment.split('"trackingNumber":"')[1].split('"')[0] if order.fulfillment else ""
    zip_code = order.customer.split('"zipCode":"')[1].split('"')[0].replace("-", "")
    assert _codes(pdf) == {number, f"420{zip_code}{number}"}


async def test_a_batch_prints_as_one_file(bench: Bench) -> None:
    """All slips of a batch are one PDF, and the printing tells how far it is."""
    batch_id, placed = await _batch(bench, 3)
    told: list[tuple[int, int]] = []

    pdf = await printing.batch_document(
        bench.env, batch_id, Kind.PACKING_SLIP, lambda done, total: told.append((done, total))
    )

    text = _text(pdf)
    assert [any(order_id in page for page in text) for order_id in placed] == [True, True, True]
    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_the_pick_list_sums_up(bench: Bench) -> None:
    """Two orders of ninety pills take 180 from the lot."""
    batch_id, _ = await _batch(bench)

    text = "\n".join(_text(await printing.pick_list_document(bench.env, batch_id)))

    for words in ("A2291", "180 pills", "A01-1", batch_id):
        assert words in text


async def test_what_can_not_be_printed(bench: Bench) -> None:
    """An order that is not released has no slip, one without label no label, and a carrier's own label is not ours."""
    product = await bench.world.product(available=600)
    order_id = await bench.order(a_line(product))

    with pytest.raises(DocumentNotAvailable):
        await printing.order_document(bench.env, order_id, Kind.PACKING_SLIP)
    with pytest.raises(DocumentNotAvailable):
        await printing.order_document(bench.env, order_id, Kind.SHIPPING_LABEL)
    own = LabelAsk("UPS", None, "1Z5R89390357567127")
    await stepping.advance_order(bench.env, OPERATOR, order_id, OrderStatus.AWAITING_SHIPMENT, own)
    with pytest.raises(DocumentNotAvailable, match="carrier's own"):
        await printing.order_document(bench.env, order_id, Kind.SHIPPING_LABEL)


async def test_a_logo_of_ours_is_printed_and_no_other_file(bench: Bench) -> None:
    """A logo that names a file in the logos' folder is printed; a path out of it is not followed."""
    from fulfillment.partners import service as partners

    _, (order_id, _) = await _batch(bench)
    plain = await printing.order_document(bench.env, order_id, Kind.PACKING_SLIP)
    folder = bench.env.settings.data_dir / "logos"
    folder.mkdir()
    _picture(folder / "acme.png")
    _picture(bench.env.settings.data_dir / "secret.png")

    await partners.update_settings(bench.env, bench.partner, {"logo": "acme.png"})
    with_logo = await printing.order_document(bench.env, order_id, Kind.PACKING_SLIP)
    await partners.update_settings(bench.env, bench.partner, {"logo": "../secret.png"})
    outside = await printing.order_document(bench.env, order_id, Kind.PACKING_SLIP)

    assert with_logo != plain
    assert outside == plain


def _picture(path: Path) -> None:
    written = io.BytesIO()
    Image.new("RGB", (120, 40), (200, 30, 30)).save(written, "PNG")
    path.write_bytes(written.getvalue())


async def test_documents_over_http(api: httpx2.AsyncClient, bench: Bench) -> None:
    """Every document of an order and of a batch is answered as a PDF."""
    batch_id, (order_id, other) = await _batch(bench)
    for each in (order_id, other):
        await stepping.advance_order(bench.env, OPERATOR, each, OrderStatus.AWAITING_SHIPMENT)
    headers = await bench.world.headers(await bench.world.operator())
    paths = [
        *(f"orders/{order_id}/documents/{name}.pdf" for name in ("packing-slip", "pack-labels", "shipping-label")),
        *(
            f"batches/{batch_id}/documents/{name}.pdf"
            for name in ("pick-list", "packing-slips", "pack-labels", "labels")
        ),
    ]

    answers = [await api.get(f"/v1/operator/{path}", headers=headers) for path in paths]

    assert {(answer.status_code, answer.headers["content-type"]) for answer in answers} == {(200, "application/pdf")}
    assert all(answer.content.startswith(b"%PDF-") for answer in answers)
