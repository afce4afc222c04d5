"""Documents as a day in the warehouse prints them; what the tests vary."""

import io
from dataclasses import replace
from datetime import date
from decimal import Decimal

from PIL import Image, ImageDraw

from fulfillment.documents.model import (
    Address,
    Brand,
    Dose,
    FactsCell,
    FactsRow,
    FactsSheet,
    FactsTable,
    LotUse,
    PackingSlip,
    PackItem,
    PackLabel,
    PackRoll,
    PickLine,
    PickList,
    ShippingLabel,
    SlipLine,
)

ORDER_ID = "2NxK7vPqYtR5mJnLkH3wZcB9aX1"


def logo(ink: tuple[int, int, int] = (26, 115, 232), size: tuple[int, int] = (360, 96)) -> bytes:
    """Return a PNG with a transparent ground: a leaf-like mark and two bars."""
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((6, 6, 90, 90), fill=(*ink, 255))
    pen.pieslice((24, 24, 120, 120), 180, 270, fill=(255, 255, 255, 255))
    pen.rounded_rectangle((112, 22, 346, 48), 10, fill=(*ink, 255))
    pen.rounded_rectangle((112, 60, 270, 76), 8, fill=(*ink, 160))
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def brand(**changes: object) -> Brand:
    """Return a partner with everything set but a logo."""
    told: dict[str, object] = {
        "name": "Acme Health",
        "primary_color": "#1a73e8",
        "secondary_color": "#fbbc04",
        "phone": "555-123-4567",
        "support_email": "support@acme.example",
        "website": "https://acme.example",
    }
    return Brand(**{**told, **changes})  # pyright: ignore[reportArgumentType]


def address(name: str = "Zoë Łukasz") -> Address:
    """Return a recipient's address."""
    return Address(name, "350 Rhode Island St", "San Francisco", "CA", "94103", line2="Suite 240")


def cell(amount: str, unit: str, percent: str | None) -> FactsCell:
    """Return one amount of a facts table."""
    return FactsCell(Decimal(amount), unit, None if percent is None else Decimal(percent))


def facts() -> FactsTable:
    """Return the facts of a morning and an evening pack and of the day."""
    rows = (
        FactsRow("Calories", (cell("10", "", None), None, cell("10", "", None)), has_value=False),
        FactsRow("Total Fat", (cell("1", "g", "1.28"), None, cell("1", "g", "1.28")), diet_based=True),
        FactsRow("Vitamin C (as ascorbic acid)", (cell("500", "mg", "555.6"), None, cell("500", "mg", "555.6"))),
        FactsRow("Vitamin D3 (as cholecalciferol)", (cell("25", "mcg", "125"), None, cell("25", "mcg", "125"))),
        FactsRow(
            "Folate",
            (cell("680", "mcg DFE", "170"), cell("340", "mcg DFE", "85"), cell("1020", "mcg DFE", "255")),
        ),
        FactsRow("Vitamin B12", (cell("2.4", "mcg", "100"), None, cell("2.4", "mcg", "100"))),
        FactsRow("Calcium", (cell("5", "mg", "0.38"), None, cell("5", "mg", "0.38"))),
        FactsRow("Magnesium (as glycinate)", (None, cell("200", "mg", "47.6"), cell("200", "mg", "47.6"))),
        FactsRow("Zinc (as picolinate)", (cell("11", "mg", "100"), None, cell("11", "mg", "100"))),
        FactsRow("Fish Oil", (cell("1200", "mg", None), None, cell("1200", "mg", None)), established=False),
        FactsRow("EPA", (cell("500", "mg", None), None, cell("500", "mg", None)), established=False, indent=1),
        FactsRow("DHA", (cell("250", "mg", None), None, cell("250", "mg", None)), established=False, indent=1),
        FactsRow(
            "Ashwagandha (Withania somnifera) (root)",
            (None, cell("600", "mg", None), cell("600", "mg", None)),
            established=False,
        ),
        FactsRow(
            "Calm Blend",
            (None, cell("350", "mg", None), cell("350", "mg", None)),
            established=False,
            members=("L-theanine", "Lemon balm (leaf)", "Passion flower (aerial parts)", "Hops (strobile)"),
        ),
    )
    return FactsTable(
        columns=("Morning pack", "Bedtime pack", "Per day"),
        rows=rows,
        serving="Serving Size: 1 pack (morning 4 pills, bedtime 3 pills)",
        servings="Servings Per Container: 30 of each",
        other_ingredients=(
            "Gelatin",
            "glycerin",
            "purified water",
            "microcrystalline cellulose",
            "rice flour",
        ),
        contains=("Fish (anchovy, sardine)", "Soy"),
    )


def classic_facts() -> FactsTable:
    """Return the facts of the whole day as a panel with one column."""
    whole = facts()
    rows = tuple(replace(row, cells=row.cells[2:]) for row in whole.rows)
    return FactsTable(
        ("Per day",),
        rows,
        "Serving Size: 7 pills (one day)",
        "Servings Per Container: 30",
        whole.other_ingredients,
        whole.contains,
    )


def slip_line(name: str, morning: int = 0, sleep: int = 0, lots: tuple[str, ...] = ("A2291",)) -> SlipLine:
    """Return 30 days of a product, its pills spread over the lots."""
    total = 30 * (morning + sleep)
    doses = tuple(Dose(slot, n) for slot, n in (("morning", morning), ("sleep", sleep)) if n)
    uses = tuple(LotUse(lot, date(2028, 3 + i, 14), total // len(lots)) for i, lot in enumerate(lots))
    return SlipLine(name, total, doses=doses, days_supply=30, lots=uses)


def slip(**changes: object) -> PackingSlip:
    """Return an ordinary packing slip of five products."""
    told: dict[str, object] = {
        "brand": brand(logo_png=logo()),
        "order_id": ORDER_ID,
        "ordered_on": date(2027, 3, 14),
        "ship_to": address(),
        "shipping_method": "Standard (5-8 business days)",
        "reference": "ACME-10042",
        "lines": (
            slip_line("Omega-3 Fish Oil 1200 mg", 2, lots=("OM3-24117",)),
            slip_line("Vitamin D3 + K2", 1, lots=("D3K-0931", "D3K-0977")),
            slip_line("Zinc Picolinate 11 mg", 1, lots=("ZN-5510",)),
            slip_line("Magnesium Glycinate with Ashwagandha", 0, 3, lots=("MG-80021",)),
            SlipLine("Greens Powder, 30 scoops", 1, "units", lots=(LotUse("GP-118", date(2027, 12, 1), 1),)),
        ),
        "facts": facts(),
    }
    return PackingSlip(**{**told, **changes})  # pyright: ignore[reportArgumentType]


def pack_label(**changes: object) -> PackLabel:
    """Return the label of a morning pouch."""
    told: dict[str, object] = {
        "pack_id": f"{ORDER_ID}-12-M",
        "recipient": "Zoë Łukasz",
        "slot": "morning",
        "day": 12,
        "days": 30,
        "items": (
            PackItem("Omega-3 Fish Oil 1200 mg", 2),
            PackItem("Vitamin D3 + K2", 1),
            PackItem("Zinc Picolinate 11 mg", 1),
        ),
        "use_by": date(2028, 3, 14),
        "description": "Whole Body Wellness",
    }
    return PackLabel(**{**told, **changes})  # pyright: ignore[reportArgumentType]


def roll(days: int = 1, slots: tuple[str, ...] = ("morning",), of: Brand | None = None) -> PackRoll:
    """Return the labels of *days* days, each with every slot."""
    labels = tuple(
        pack_label(pack_id=f"{ORDER_ID}-{day}-{slot[0].upper()}", day=day, days=days, slot=slot)
        for day in range(1, days + 1)
        for slot in slots
    )
    return PackRoll(of or brand(), labels)


def pick_line(product: str, lot: str, expires_on: date, pills: int, location: str) -> PickLine:
    """Return what to take from one lot, 60 pills an order."""
    sku = "".join(word[0] for word in product.upper().split()) + "-60"
    return PickLine(product, lot, expires_on, pills, "pills", location, sku, pills // 60)


def pick_list(**changes: object) -> PickList:
    """Return the picks of a batch; two lots of one product, the later one listed first."""
    told: dict[str, object] = {
        "batch_id": "BATCH-20270314-07",
        "released_on": date(2027, 3, 14),
        "orders": 48,
        "packs": 2880,
        "lines": (
            pick_line("Vitamin D3 + K2", "D3K-0977", date(2028, 4, 14), 420, "A-03-2"),
            pick_line("Vitamin D3 + K2", "D3K-0931", date(2028, 3, 14), 1020, "A-03-1"),
            pick_line("Omega-3 Fish Oil 1200 mg", "OM3-24117", date(2028, 3, 1), 2880, "A-01-4"),
            pick_line("Magnesium Glycinate with Ashwagandha", "MG-80021", date(2028, 9, 30), 4320, "B-07-1"),
            PickLine("Greens Powder, 30 scoops", "GP-118", date(2027, 12, 1), 9, "units", "C-01-1", "GRN30", 9),
        ),
    }
    return PickList(**{**told, **changes})  # pyright: ignore[reportArgumentType]


def shipping_label(**changes: object) -> ShippingLabel:
    """Return a label of the simulated carrier."""
    told: dict[str, object] = {
        "ship_from": Address("Juniper Health Fulfilment", "1200 Warehouse Way", "Reno", "NV", "89502"),
        "ship_to": address(),
        "service": "Express",
        "carrier": "SimShip",
        "tracking_number": "1Z12345E0205271688",
        "routing": "94103|CA|EXPRESS|1Z12345E0205271688",
        "shipped_on": date(2027, 3, 15),
        "reference": ORDER_ID,
        "weight": "0.8 lb",
    }
    return ShippingLabel(**{**told, **changes})  # pyright: ignore[reportArgumentType]


def facts_sheet() -> FactsSheet:
    """Return a page with the facts of the slots and the day, and the day's classic panel."""
    return FactsSheet(brand(), ORDER_ID, (facts(), classic_facts()))
