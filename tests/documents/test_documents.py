"""The documents as a reader and a scanner meet them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any, cast

import pypdfium2  # pyright: ignore[reportMissingTypeStubs]
import pytest

from fulfillment.documents import batch, facts_panel, pack_labels, packing_slip, pick_list, shipping_label
from fulfillment.documents.barcodes import BarcodeNotPossible
from fulfillment.documents.model import Brand, FactsRow, FactsTable, LotUse, PackItem, PackRoll
from tests.documents import examples, pages

RENDERS: dict[str, Callable[[], bytes]] = {
    "packing slip": lambda: packing_slip.render(examples.slip()),
    "pack labels": lambda: pack_labels.render(examples.roll(2, ("morning", "sleep"))),
    "pick list": lambda: pick_list.render(examples.pick_list()),
    "shipping label": lambda: shipping_label.render(examples.shipping_label()),
    "facts sheet": lambda: facts_panel.render(examples.facts_sheet()),
    "batch": lambda: batch.render([examples.slip(), examples.shipping_label()]),
}
HOSTILE = '<b>Bold</b> & <img src="http://127.0.0.1:9/x.png"/> &lt;'


@pytest.fixture(params=list(RENDERS))
def render(request: pytest.FixtureRequest) -> Callable[[], bytes]:
    """Each kind of document in turn."""
    return RENDERS[request.param]


def test_the_same_value_gives_the_same_bytes(render: Callable[[], bytes]) -> None:
    """A document has no clock and no chance in it, also when several are made at once."""
    with ThreadPoolExecutor(4) as threads:
        made = {done.result() for done in [threads.submit(render) for _ in range(8)]}

    assert len(made) == 1


def test_the_metadata_names_no_person(render: Callable[[], bytes]) -> None:
    """Title, author and the rest say what it is and who made it, not for whom."""
    document = pypdfium2.PdfDocument(render())
    metadata = " ".join(document.get_metadata_dict().values())
    document.close()

    assert "Juniper Health" in metadata
    assert not any(word in metadata for word in ("Zoë", "Łukasz", "Rhode Island", "94103"))


def test_documents_are_small(render: Callable[[], bytes]) -> None:
    """Only the used letters of the fonts are inside, and nothing is a picture that need not be."""
    assert len(render()) < 80_000


def test_a_packing_slip_says_all_that_was_ordered() -> None:
    """Recipient, order, brand, products, doses, lots, expiry, facts, allergens and storage are on the slip."""
    said = pages.text(packing_slip.render(examples.slip()))

    for expected in (
        "Zoë Łukasz",
        "350 Rhode Island St",
        "San Francisco, CA 94103",
        examples.ORDER_ID,
        "ACME-10042",
        "Mar 14, 2027",
        "555-123-4567",
        "support@acme.example",
        "Omega-3 Fish Oil 1200 mg",
        "Lot D3K-0977 · use by Apr 14, 2028 · 15 pills",
        "210 pills + 1 unit",
        "Supplement Facts",
        "1,020 mcg DFE",
        "** Daily Value not established.",
        "Contains: Fish (anchovy, sardine), Soy.",
        "Store in a cool, dry place",
        "Page 1 of 1",
    ):
        assert expected in said


def test_only_the_times_of_day_in_use_have_a_column() -> None:
    """An order of morning and bedtime pills shows no afternoon and no evening."""
    said = pages.text(packing_slip.render(examples.slip(facts=None)))

    assert "Morning Bedtime Days Total" in said
    assert "Afternoon" not in said


@pytest.mark.parametrize("product", ["Zinc", "Zinc " * 15])
def test_a_line_names_its_pack(product: str) -> None:
    """The partner's description of a pack stands behind or below the product, before its lots."""
    line = replace(examples.slip_line(product, 1, lots=("Z-1",)), pack_description="Whole Body Wellness")

    said = pages.text(packing_slip.render(examples.slip(lines=(line,))))

    assert said.index("Zinc") < said.index("Whole Body Wellness") < said.index("Lot Z-1")


def test_a_slip_reads_back_as_its_order() -> None:
    """The Data Matrix of a packing slip is the order's id."""
    assert pages.barcodes(packing_slip.render(examples.slip())) == {("DataMatrix", examples.ORDER_ID)}


def test_fifty_lines_flow_over_pages() -> None:
    """Every line of a long order is on one of the numbered pages, under a heading that is repeated."""
    lines = tuple(examples.slip_line(f"Product {n:03d} 500 mg", 1, 1, ("A1", "B2")) for n in range(50))

    texts = pages.texts(packing_slip.render(examples.slip(lines=lines, facts=None)))

    assert len(texts) > 2
    for number, said in enumerate(texts, start=1):
        assert f"Page {number} of {len(texts)}" in said
        assert "Bedtime" in said
        assert examples.ORDER_ID in said
    assert [f"Product {n:03d} 500 mg" in " ".join(texts) for n in range(50)] == [True] * 50
    assert "Total of 50 products" in texts[-1]


def test_a_line_with_more_lots_than_a_page_holds_goes_on() -> None:
    """A line drawn from ninety lots is continued on the next page; no lot is left out."""
    lots = tuple(LotUse(f"LOT-{n:03d}", date(2028, 1, 1), 1) for n in range(90))
    line = replace(examples.slip_line("Zinc", 1), lots=lots)

    texts = pages.texts(packing_slip.render(examples.slip(lines=(line,), facts=None)))

    assert len(texts) == 2
    assert all(f"LOT-{n:03d}" in " ".join(texts) for n in range(90))


def test_a_panel_longer_than_a_page_is_continued() -> None:
    """A hundred and fifty ingredients go over pages, each under the column headings; the notes come once, last."""
    rows = tuple(FactsRow(f"Herb {n:03d}", (examples.cell("5", "mg", None),), established=False) for n in range(150))
    table = FactsTable(("Per day",), rows, "Serving Size: 1 pill", contains=("Soy",))

    texts = pages.texts(facts_panel.render(replace(examples.facts_sheet(), tables=(table,))))

    assert len(texts) == 3
    assert all(f"Herb {n:03d}" in " ".join(texts) for n in range(150))
    assert all("Supplement Facts (continued)" in said and "% Daily Value" in said for said in texts[1:])
    assert ["Daily Value not established" in said for said in texts] == [False, False, True]


def test_no_page_has_a_panel_without_ingredients() -> None:
    """Wherever a panel breaks, its end takes the last ingredient along to the next page."""
    for size in range(40, 52):
        rows = tuple(FactsRow(f"Herb {n}", (examples.cell("5", "mg", None),)) for n in range(size))
        table = FactsTable(("Per day",), rows, "Serving Size: 1 pill", other_ingredients=("rice, " * 400,))

        texts = pages.texts(facts_panel.render(replace(examples.facts_sheet(), tables=(table,))))

        assert [f"Herb {size - 1}" in said for said in texts if "not established" in said] == [True]


def test_the_facts_name_what_has_no_daily_value() -> None:
    """Calories carry no percent; fish oil is marked **; fat is marked *; a trace is below one percent."""
    said = pages.text(facts_panel.render(replace(examples.facts_sheet(), tables=(examples.classic_facts(),))))

    for expected in ("Calories 10 Total Fat", "1%*", "Calcium 5 mg <1%", "Fish Oil 1,200 mg **", "L-theanine"):
        assert expected in said


def test_a_panel_without_open_values_has_no_note() -> None:
    """The note on missing Daily Values is there only when a value is missing."""
    row = FactsRow("Vitamin C", (examples.cell("90", "mg", "100"),))
    table = FactsTable(("Per day",), (row,), "Serving Size: 1 pill")

    said = pages.text(facts_panel.render(replace(examples.facts_sheet(), tables=(table,))))

    assert "Vitamin C 90 mg 100%" in said
    assert "not established" not in said


def test_a_row_needs_a_cell_for_each_column() -> None:
    """A table whose rows and columns disagree can't be made."""
    row = FactsRow("Zinc", (examples.cell("11", "mg", "100"),))

    with pytest.raises(ValueError, match="one cell for each column"):
        FactsTable(("Morning", "Per day"), (row,), "Serving Size: 1 pill")


def test_a_pack_label_says_who_when_and_what() -> None:
    """A pouch names its owner in short, its time and day, its pills, its expiry, and no last name."""
    roll = PackRoll(examples.brand(), (examples.pack_label(),))
    said = pages.text(pack_labels.render(roll))

    for expected in ("Zoë Ł.", "MORNING", "Day 12", "of 30", "2 × Omega-3", "4 pills", "Mar 14, 2028", "555-123"):
        assert expected in said
    assert "Łukasz" not in said


def test_every_pouch_has_its_label() -> None:
    """Three days of two packs are six labels in their order, each with its own pack's barcode; all are counted."""
    heard: list[tuple[int, int]] = []

    pdf = pack_labels.render(examples.roll(3, ("morning", "sleep")), lambda done, total: heard.append((done, total)))

    ids = [f"{examples.ORDER_ID}-{day}-{slot}" for day in (1, 2, 3) for slot in ("M", "S")]
    assert [pages.barcodes(pdf, page) for page in range(6)] == [{("DataMatrix", pack)} for pack in ids]
    assert heard == [(n, 6) for n in range(1, 7)]


def test_a_full_pouch_counts_what_it_cant_name() -> None:
    """Of forty products as many are named as can be read, and the label says how many are not."""
    items = tuple(PackItem(f"Product {n:02d}", 1) for n in range(40))
    said = pages.text(pack_labels.render(PackRoll(examples.brand(), (examples.pack_label(items=items),))))

    named = sum(f"Product {n:02d}" in said for n in range(40))
    assert 8 <= named < 40
    assert f"and {40 - named} more: see the packing slip" in said
    assert "40 pills" in said


def test_a_pick_list_is_by_product_and_first_expiry_first() -> None:
    """Products are in order, the lot that expires first leads, and the sums are right."""
    said = pages.text(pick_list.render(examples.pick_list()))

    lots = ["GP-118", "MG-80021", "OM3-24117", "D3K-0931", "D3K-0977"]
    assert sorted(lots, key=said.index) == lots
    assert "Vitamin D3 + K2, 2 lots 1,440 pills" in said
    assert "Total to pick 8,640 pills + 9 units" in said
    assert "A-03-1" in said


def test_a_lots_number_does_not_decide() -> None:
    """Of two lots of a product the earlier expiry comes first, though its number is the later one."""
    early = examples.pick_line("Zinc", "Z-9", date(2028, 1, 1), 60, "A")
    late = examples.pick_line("Zinc", "Z-1", date(2028, 6, 1), 60, "A")

    assert pick_list.in_order((late, early)) == [early, late]


def test_a_pick_list_is_scanned_by_batch_and_lot() -> None:
    """The batch is a Code 128, every lot a Data Matrix."""
    found = pages.barcodes(pick_list.render(examples.pick_list()))

    lots = {"GP-118", "MG-80021", "OM3-24117", "D3K-0931", "D3K-0977"}
    assert found == {("Code128", "BATCH-20270314-07"), *(("DataMatrix", lot) for lot in lots)}


def test_a_shipping_label_says_where_to() -> None:
    """Sender, recipient, service and number are on the label, and that the sandbox's is not valid."""
    said = pages.text(shipping_label.render(examples.shipping_label()))

    for expected in (
        "Juniper Health Fulfilment",
        "Zoë Łukasz",
        "San Francisco, CA 94103",
        "EXPRESS",
        "1Z12345E0205271688",
        "SANDBOX – NOT VALID FOR SHIPMENT",
    ):
        assert expected in said


def test_a_label_outside_the_sandbox_carries_no_mark() -> None:
    """Without the flag there is no word of the sandbox, and both barcodes read."""
    pdf = shipping_label.render(examples.shipping_label(sandbox=False))

    assert "SANDBOX" not in pages.text(pdf)
    assert len(pages.barcodes(pdf)) == 2


def test_a_long_city_never_hides_the_zip_code() -> None:
    """What is cut of an endless city is the city; state and ZIP code stay whole."""
    ship_to = replace(examples.address(), city="Llanfair" * 20, postal_code="94103-1234")
    said = pages.text(shipping_label.render(examples.shipping_label(ship_to=ship_to)))

    assert "…, CA 94103-1234" in said


LONG = "Wide words " * 40


def test_no_text_leaves_the_page() -> None:
    """However long names, addresses, numbers and brands are, they are wrapped, shrunk or cut inside the margins."""
    brand = Brand(LONG, phone=LONG, support_email="x" * 300, website="w" * 300)
    whom = replace(examples.address(LONG), line1=LONG, line2="x" * 300, city="c" * 300)
    row = FactsRow(LONG, (examples.cell("123456789012345", "mcg " * 20, "123456789"),) * 5, members=(LONG,))
    table = FactsTable(("a column",) * 5, (row,), LONG, LONG, (LONG,), (LONG,))
    line = replace(examples.slip_line(LONG, 1), total=10**9, lots=(LotUse("L" * 200, date(2028, 1, 1), 10**9),))
    slip = examples.slip(
        brand=brand, ship_to=whom, lines=(line,), reference=LONG, shipping_method="m" * 200, storage=LONG, facts=table
    )
    picks = [replace(pick, product_name=LONG, location="l" * 80, sku="s" * 80) for pick in examples.pick_list().lines]
    label = examples.shipping_label(ship_from=whom, ship_to=whom, service=LONG, carrier=LONG, reference="r" * 200)
    pouch = examples.pack_label(recipient=LONG, items=(PackItem(LONG, 1),), description=LONG, day=1000, days=1000)

    assert pages.outside(packing_slip.render(slip), 38) == []
    assert pages.outside(pick_list.render(examples.pick_list(lines=tuple(picks))), 38) == []
    assert pages.outside(shipping_label.render(label), 12) == []
    assert pages.outside(pack_labels.render(PackRoll(brand, (pouch,))), 2) == []
    assert pages.outside(facts_panel.render(replace(examples.facts_sheet(), brand=brand, tables=(table,))), 38) == []


@pytest.mark.parametrize("name", [HOSTILE, "李小龍", "🧬👩‍🔬", "שלום", "مرحبا", "\ud800", "", "W" * 500])
def test_any_text_can_be_printed(name: str) -> None:
    """Markup, scripts without a glyph, half characters, nothing and far too much never stop a document."""
    brand = Brand(name, "#zz", "nonsense", b"no picture", name, name, name)
    line = replace(examples.slip_line(name, 1), lots=(LotUse(name or "L", date(2028, 1, 1), 30),))
    pick = replace(examples.pick_list().lines[0], product_name=name, location=name, sku=name)
    whom = replace(examples.address(name), line1=name, city=name, line2=name)
    label = examples.pack_label(recipient=name, items=(PackItem(name, 1),), description=name)
    documents = [
        examples.slip(brand=brand, ship_to=whom, lines=(line,), reference=name, shipping_method=name, storage=name),
        PackRoll(brand, (label,)),
        examples.pick_list(lines=(pick,)),
        examples.shipping_label(ship_from=whom, ship_to=whom, service=name, carrier=name, reference=name),
        replace(examples.facts_sheet(), brand=brand),
    ]

    assert batch.render(documents).startswith(b"%PDF-")


def test_markup_is_text() -> None:
    """Tags and entities in names stand on the paper as they were written, and nothing is fetched for them."""
    line = examples.slip_line(HOSTILE, 1)
    label = examples.pack_label(items=(PackItem("<b>Zinc</b> & C", 1),))

    slip = pages.text(packing_slip.render(examples.slip(ship_to=examples.address("<i>Eve</i>"), lines=(line,))))
    pouch = pages.text(pack_labels.render(PackRoll(examples.brand(), (label,))))

    assert HOSTILE in slip
    assert "<i>Eve</i>" in slip
    assert "1 × <b>Zinc</b> & C" in pouch


def test_a_name_without_glyphs_is_seen_to_be_missing() -> None:
    """A name in Chinese is boxes, one for each character, not blanks."""
    said = pages.text(packing_slip.render(examples.slip(ship_to=examples.address("李小龍 Lee"))))

    assert "□□□ Lee" in said


def test_the_partners_logo_is_drawn() -> None:
    """The logo's own colour is on the page, and the word-mark is not."""
    pdf = packing_slip.render(examples.slip(brand=examples.brand(logo_png=examples.logo((200, 30, 30)))))

    assert (200, 30, 30) in _colours(pdf)
    assert "Acme Health" not in pages.text(pdf).split("Packing slip")[0]


def test_a_white_logo_stands_on_the_brands_colour() -> None:
    """A logo that would vanish on white paper is put on the primary colour."""
    plain = examples.slip(brand=examples.brand(logo_png=None), facts=None, lines=())
    white = replace(plain, brand=examples.brand(logo_png=examples.logo((255, 255, 255))))

    assert _amount(packing_slip.render(white)) > _amount(packing_slip.render(plain)) + 5_000


@pytest.mark.parametrize("logo", [None, b"", b"<svg/>", b"\x89PNG\r\n\x1a\nbroken", examples.logo()[:200]])
def test_without_a_usable_logo_the_name_is_the_mark(logo: bytes | None) -> None:
    """A missing, foreign, broken or cut-off picture gives the partner's name."""
    said = pages.text(packing_slip.render(examples.slip(brand=examples.brand(logo_png=logo))))

    assert said.startswith("Acme Health")


def test_a_logo_of_too_many_pixels_is_not_opened() -> None:
    """A small file that unfolds to a huge picture is left alone."""
    bomb = examples.logo(size=(5000, 4000))

    assert len(bomb) < 2_000_000
    assert pages.text(packing_slip.render(examples.slip(brand=examples.brand(logo_png=bomb)))).startswith("Acme")


def test_a_batch_is_all_documents_in_order() -> None:
    """Documents of every kind follow each other, their pages numbered on their own, and progress is told."""
    heard: list[tuple[int, int]] = []
    documents = [
        examples.slip(order_id="FIRST"),
        examples.slip(order_id="SECOND"),
        examples.roll(2),
        examples.pick_list(),
        examples.shipping_label(),
        examples.facts_sheet(),
    ]

    texts = pages.texts(batch.render(documents, lambda done, total: heard.append((done, total))))

    assert len(texts) == 7
    assert "FIRST" in texts[0]
    assert "SECOND" in texts[1]
    assert "Page 1 of 1" in texts[1]
    assert ["MORNING" in said for said in texts] == [False, False, True, True, False, False, False]
    assert heard == [(n, 6) for n in range(1, 7)]


def test_an_empty_batch_is_refused() -> None:
    """A PDF without a page is no PDF."""
    with pytest.raises(ValueError, match="at least one"):
        batch.render([])


def test_a_document_that_cant_be_scanned_is_not_made() -> None:
    """A tracking number that no Code 128 can say stops the label with a named problem."""
    with pytest.raises(BarcodeNotPossible):
        shipping_label.render(examples.shipping_label(tracking_number="李"))


def test_amounts_that_are_not_given_stay_open() -> None:
    """A member without an amount has no number, only its mark."""
    open_cell = replace(examples.cell("1", "mg", None), amount=None)
    rows = (FactsRow("Secret", (open_cell,), established=False),)
    table = FactsTable(("Per day",), rows, "Serving Size: 1 pill")

    assert "Secret **" in pages.text(facts_panel.render(replace(examples.facts_sheet(), tables=(table,))))


def _colours(pdf: bytes) -> set[tuple[int, int, int]]:
    found = cast(Any, pages.picture(pdf).getcolors(1_000_000))
    return {colour for _, colour in found}


def _amount(pdf: bytes) -> int:
    """Return how many pixels have the brand's primary colour."""
    found = cast(Any, pages.picture(pdf).getcolors(1_000_000))
    return sum(amount for amount, colour in found if colour == (0x1A, 0x73, 0xE8))
