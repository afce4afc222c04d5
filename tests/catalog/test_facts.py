"""The rules over Supplement Facts: sums, percentages, warnings, label checks; values worked out by hand."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulfillment.catalog import facts, nutrients
from fulfillment.catalog.facts import (
    CombinedFacts,
    FactsCode,
    FactsPanel,
    FactsPanelInvalid,
    FactsRow,
    Intake,
    PackFacts,
    PanelIssueCode,
    ProductFacts,
    Slot,
)

Line = tuple[str, str | None, str | None]


def product(
    product_id: int, name: str, *lines: Line, serving: int = 1, others: Sequence[str] = (), **facts_: Any
) -> ProductFacts:
    """Return a capsule whose panel holds *lines* of name, amount and unit."""
    panel = {
        "servingSize": serving,
        "type": "capsule",
        "otherIngredients": list(others),
        "ingredients": [{"name": n, "amount": a, "unit": u, "dailyValue": None} for n, a, u in lines],
    }
    return ProductFacts.of(panel, product_id=product_id, name=name, **facts_)


def row(pack: PackFacts, name: str) -> FactsRow:
    """Return the one row called *name*."""
    (found,) = [row for row in pack.rows if row.name == name]
    return found


def shown(pack: PackFacts) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return the rows as a reader of the panel sees them."""
    return [
        (row.name, None if row.amount is None else f"{row.amount:f}", row.unit, row.daily_value) for row in pack.rows
    ]


def panel_of(*lines: tuple[str, str | None, str | None, str | None]) -> FactsPanel:
    """Return a panel of name, amount, unit and declared percentage."""
    keys = ("name", "amount", "unit", "dailyValue")
    return FactsPanel.of({"servingSize": 1, "ingredients": [dict(zip(keys, line, strict=True)) for line in lines]})


MULTI = product(
    1,
    "Multi",
    ("Vitamin D3 (as cholecalciferol)", "25", "mcg"),
    ("Folate (as folic acid)", "680", "mcg DFE"),
    ("Zinc (as zinc citrate)", "11", "mg"),
    ("Boron (as calcium fructoborate)", "1", "mg"),
    serving=2,
    others=("Gelatin", "rice flour"),
    free_from=("gluten_free", "soy_free"),
)
D3 = product(2, "D3", ("Vitamin D", "2000", "IU"), others=("Olive oil", "Gelatin"), free_from=("gluten_free",))
FISH_OIL = product(
    3,
    "Fish Oil",
    ("Calories", "10", None),
    ("Total Fat", "1", "g"),
    ("EPA", "300", "mg"),
    contains_allergens=("fish",),
    free_from=("gluten_free", "fish_free"),
)
CAFFEINE = product(4, "Wake", ("Caffeine", "100", "mg"), stimulant=True)
WHEY = product(
    5, "Whey", ("Vitamin D3", "5", "mcg"), ("Protein", "25", "g"), contains_allergens=("milk",), external=True
)


class TestCombinedPanel:
    """Adding up the panels of a day."""

    def test_a_pill_is_the_serving_divided_by_its_size(self) -> None:
        """One pill of a serving of two gives half of each amount, and the percentage of that half."""
        combined = facts.combined_panel([Intake(MULTI, morning=1)])

        assert shown(combined.per_day) == [
            ("Vitamin D", "12.5", "mcg", "63%"),
            ("Folate", "340", "mcg DFE", "85%"),
            ("Zinc", "5.5", "mg", "50%"),
            ("Boron", "0.5", "mg", "**"),
        ]

    def test_one_nutrient_from_two_products_is_one_row_in_one_unit(self) -> None:
        """2,000 IU are 50 mcg; with 25 mcg from the multivitamin that is 75 mcg, 375 % of 20 mcg."""
        combined = facts.combined_panel([Intake(D3, evening=1), Intake(MULTI, morning=2)])

        vitamin_d = row(combined.per_day, "Vitamin D")
        assert (vitamin_d.amount, vitamin_d.unit, vitamin_d.daily_value) == (Decimal(75), "mcg", "375%")
        assert vitamin_d.product_ids == (1, 2)

    def test_each_slot_has_its_own_panel(self) -> None:
        """The morning holds the multivitamin, the evening the D3, the other two nothing."""
        combined = facts.combined_panel([Intake(D3, evening=1), Intake(MULTI, morning=2)])

        assert row(combined.slots[Slot.MORNING], "Vitamin D").amount == Decimal(25)
        assert shown(combined.slots[Slot.EVENING]) == [("Vitamin D", "50", "mcg", "250%")]
        assert combined.slots[Slot.AFTERNOON] == PackFacts(0, (), (), (), ())
        assert [combined.slots[slot].pills for slot in Slot] == [2, 0, 1, 0]
        assert combined.per_day.pills == 3

    def test_a_third_of_a_serving_is_summed_exactly(self) -> None:
        """Three times a third of 100 mg is 100 mg, although a third alone is shown as 33.3333."""
        thirds = product(9, "Thirds", ("Glucosamine", "100", "mg"), serving=3)
        combined = facts.combined_panel([Intake(thirds, morning=1, afternoon=1, evening=1)])

        assert row(combined.slots[Slot.MORNING], "Glucosamine").amount == Decimal("33.3333")
        assert row(combined.per_day, "Glucosamine").exact == Fraction(100)

    def test_rows_stand_in_the_order_of_the_law_then_by_name(self) -> None:
        """Fat before vitamins, E before B12 before calcium before potassium, then the others by name."""
        mixed = product(
            9,
            "Mixed",
            ("Turmeric", "1", "mg"),
            ("Potassium", "1", "mg"),
            ("Calcium", "1", "mg"),
            ("Vitamin B-12 (as methylcobalamin)", "1", "mcg"),
            ("Boron", "1", "mg"),
            ("Vitamin E", "1", "mg"),
            ("ashwagandha", "1", "mg"),
            ("Total Fat", "1", "g"),
        )

        rows = facts.combined_panel([Intake(mixed, morning=1)]).per_day.rows

        assert [row.name for row in rows] == [
            "Total Fat", "Vitamin E", "Vitamin B12", "Calcium", "Potassium",
            "ashwagandha", "Boron", "Turmeric",
        ]  # fmt: skip

    def test_unknown_ingredients_are_united_by_name_and_unit(self) -> None:
        """200 mg and 100 mg of L-Theanine are 300 mg; 1 g of it stays a row of its own."""
        items = [
            Intake(product(7, "A", ("L-Theanine", "200", "mg")), morning=1),
            Intake(product(8, "B", ("L-Theanine", "100", "mg")), morning=1),
            Intake(product(9, "C", ("L-Theanine", "1", "g")), morning=1),
        ]

        assert shown(facts.combined_panel(items).per_day) == [
            ("L-Theanine", "1", "g", "**"),
            ("L-Theanine", "300", "mg", "**"),
        ]

    def test_less_than_one_percent_is_shown_as_such(self) -> None:
        """20 mg of potassium are 0.43 % of 4,700 mg: <1%."""
        combined = facts.combined_panel([Intake(product(9, "K", ("Potassium", "20", "mg")), morning=1)])

        assert row(combined.per_day, "Potassium").daily_value == "<1%"

    def test_calories_and_protein_have_no_percentage(self) -> None:
        """Calories have no daily value, and protein's percentage needs a score that no label declares."""
        shake = product(9, "Shake", ("Calories", "100", None), ("Protein", "20", "g"))
        combined = facts.combined_panel([Intake(shake, morning=1)])

        assert shown(combined.per_day) == [("Calories", "100", None, None), ("Protein", "20", "g", None)]

    def test_a_known_nutrient_in_an_unknown_unit_stays_apart(self) -> None:
        """Vitamin E in IU without its form has no factor: it keeps its own row, without a percentage."""
        items = [
            Intake(product(8, "Old E", ("Vitamin E", "400", "IU")), morning=1),
            Intake(product(9, "New E", ("Vitamin E", "15", "mg")), morning=1),
        ]

        assert shown(facts.combined_panel(items).per_day) == [
            ("Vitamin E", "15", "mg", "100%"),
            ("Vitamin E", "400", "IU", None),
        ]

    def test_a_hidden_amount_makes_the_row_incomplete(self) -> None:
        """A member of a blend is listed without an amount; beside a declared one, the sum is incomplete."""
        blend = product(8, "Blend", ("Kale", None, None), ("Iron", None, None))
        iron = product(9, "Iron", ("Iron", "18", "mg"))
        combined = facts.combined_panel([Intake(blend, morning=1), Intake(iron, morning=1)])

        kale, total = row(combined.per_day, "Kale"), row(combined.per_day, "Iron")
        assert (kale.amount, kale.daily_value, kale.incomplete) == (None, "**", True)
        assert (total.amount, total.daily_value, total.incomplete) == (Decimal(18), "100%", True)
        assert row(facts.combined_panel([Intake(blend, sleep=1)]).per_day, "Iron").daily_value is None

    def test_allergens_are_united_and_claims_intersected(self) -> None:
        """What one contains, all contain; a claim holds only if every product makes it and none denies it."""
        combined = facts.combined_panel([Intake(MULTI, morning=2), Intake(FISH_OIL, morning=1)])

        assert combined.contains == ("fish",)
        assert combined.free_from == ("gluten_free",)
        assert facts.combined_panel([Intake(FISH_OIL, morning=1)]).free_from == ("gluten_free",)

    def test_other_ingredients_are_united_by_name(self) -> None:
        """Gelatin of two products stands once."""
        combined = facts.combined_panel([Intake(MULTI, morning=2), Intake(D3, morning=1)])

        assert combined.per_day.other_ingredients == ("Gelatin", "Olive oil", "rice flour")

    def test_other_ingredients_keep_one_spelling_whatever_the_order(self) -> None:
        """ "Silica" and "silica" are one ingredient, spelled the same whichever product comes first."""
        upper, lower = product(8, "A", others=["Silica"]), product(9, "B", others=["silica"])

        for first, second in ((upper, lower), (lower, upper)):
            combined = facts.combined_panel([Intake(first, morning=1), Intake(second, morning=1)])
            assert combined.per_day.other_ingredients == ("Silica",)

    def test_a_product_without_pills_takes_no_part(self) -> None:
        """Fish oil with no pill in any slot brings no row, no allergen and no warning."""
        items = [Intake(D3, morning=1), Intake(FISH_OIL)]

        assert facts.combined_panel(items) == facts.combined_panel(items[:1])
        assert facts.lint(items) == ()

    def test_externals_stand_beside_and_are_not_summed(self) -> None:
        """Whey's vitamin D is not in the day's total, but its milk is in what the order contains."""
        combined = facts.combined_panel([Intake(D3, morning=1), Intake(WHEY)])

        assert row(combined.per_day, "Vitamin D").amount == Decimal(50)
        assert combined.externals == (WHEY,)
        assert combined.contains == ("milk",)
        assert combined.per_day.contains == ()
        assert combined.free_from == ()
        assert facts.EXTERNAL_NOTE in combined.notes

    def test_the_notes_explain_the_signs_on_the_panel(self) -> None:
        """Fat's percentage brings the calorie note, EPA's ** its own, a product without a panel a third."""
        plain = ProductFacts.of(None, product_id=9, name="Plain")
        combined = facts.combined_panel([Intake(FISH_OIL, morning=1), Intake(plain, morning=1)])

        assert combined.notes == (
            "Percent Daily Values are based on a 2,000 calorie diet.",
            "** Daily Value not established.",
            "Plain declares no supplement facts and is not part of the totals.",
        )
        assert facts.combined_panel([Intake(D3, morning=1)]).notes == ()

    def test_a_product_on_two_lines_is_added_up(self) -> None:
        """Two lines of one D3 pill are 100 mcg from one product."""
        vitamin_d = row(facts.combined_panel([Intake(D3, morning=1), Intake(D3, evening=1)]).per_day, "Vitamin D")

        assert (vitamin_d.amount, vitamin_d.product_ids) == (Decimal(100), (2,))

    def test_the_wire_shape(self) -> None:
        """The answer has the seven members, decimal strings, and a flag on each external."""
        wire = facts.combined_panel([Intake(D3, morning=1), Intake(WHEY)]).to_wire()

        assert set(wire) == {
            "perDay",
            "slots",
            "externals",
            "contains",
            "freeFrom",
            "otherIngredients",
            "notes",
        }
        assert wire["perDay"] == {
            "pills": 1,
            "rows": [
                {
                    "name": "Vitamin D",
                    "group": "vitamin_or_mineral",
                    "amount": "50",
                    "unit": "mcg",
                    "dailyValue": "250%",
                    "productIds": [2],
                    "incomplete": False,
                }
            ],
            "contains": [],
            "freeFrom": ["gluten_free"],
            "otherIngredients": ["Gelatin", "Olive oil"],
        }
        assert wire["externals"] == [
            {
                "productId": 5,
                "name": "Whey",
                "external": True,
                "countedInTotals": False,
                "supplementFactsPanel": {
                    "servingSize": 1,
                    "type": "capsule",
                    "otherIngredients": [],
                    "ingredients": [
                        {"name": "Vitamin D3", "amount": "5", "unit": "mcg", "dailyValue": None},
                        {"name": "Protein", "amount": "25", "unit": "g", "dailyValue": None},
                    ],
                },
                "contains": ["milk"],
                "freeFrom": [],
            }
        ]
        slots = wire["slots"]
        assert isinstance(slots, dict)
        assert list(slots) == ["morning", "afternoon", "evening", "sleep"]

    def test_nothing_gives_empty_panels(self) -> None:
        """No products, no rows, no claims and no notes."""
        combined = facts.combined_panel([])

        assert (combined.per_day, combined.free_from, combined.notes) == (
            PackFacts(0, (), (), (), ()),
            (),
            (),
        )


class TestLint:
    """What should be seen before a mix is ordered."""

    def test_a_nutrient_from_two_products_is_named(self) -> None:
        """Vitamin D from the multivitamin and the D3 is one warning that names both products."""
        (warning,) = facts.lint([Intake(D3, morning=1), Intake(MULTI, morning=2)])

        assert warning.code == FactsCode.NUTRIENT_DUPLICATED
        assert warning.message == "Vitamin D is in 2 products: Multi, D3."
        assert warning.product_ids == (1, 2)
        assert warning.details == {"nutrient": "Vitamin D", "products": ["Multi", "D3"]}

    def test_an_external_counts_as_a_source_but_not_in_the_total(self) -> None:
        """Whey's vitamin D doubles the D3's; two D3 pills with it stay at the limit of 100 mcg, not above."""
        (duplicate, milk) = facts.lint([Intake(D3, morning=2), Intake(WHEY)])

        assert (duplicate.code, duplicate.product_ids) == (FactsCode.NUTRIENT_DUPLICATED, (2, 5))
        assert milk.code == FactsCode.ALLERGENS_PRESENT

    def test_the_same_product_twice_or_calories_are_no_duplicate(self) -> None:
        """One product on two lines is one source, and everything has calories."""
        gummies = product(9, "Gummies", ("Calories", "15", None), ("Total Fat", "1", "g"))
        items = [
            Intake(D3, morning=1),
            Intake(D3, evening=1),
            Intake(FISH_OIL, morning=1),
            Intake(gummies, morning=1),
        ]

        assert [warning.code for warning in facts.lint(items)] == [FactsCode.ALLERGENS_PRESENT]

    def test_a_total_above_the_upper_limit_is_a_warning(self) -> None:
        """Two D3 and a multivitamin are 125 mcg of vitamin D; adults' upper limit is 100."""
        (_, warning) = facts.lint([Intake(D3, morning=1, evening=1), Intake(MULTI, morning=2)])

        assert warning.code == FactsCode.UPPER_LIMIT_EXCEEDED
        assert warning.message == "Vitamin D is 125 mcg a day, over the adults' upper limit of 100 mcg: Multi, D3."
        assert warning.product_ids == (1, 2)
        assert warning.details == {
            "nutrient": "Vitamin D",
            "dailyTotal": "125",
            "upperLimit": "100",
            "unit": "mcg",
            "basis": None,
            "products": ["Multi", "D3"],
        }

    @pytest.mark.parametrize(
        ("line", "over"),
        [
            (("Vitamin A (as retinyl palmitate)", "3001", "mcg RAE"), True),
            (("Vitamin A (as beta-carotene)", "9000", "mcg RAE"), False),
            (("Vitamin A (as retinyl palmitate and beta-carotene)", "3001", "mcg RAE"), True),
            (("Vitamin C", "2000", "mg"), False),
            (("Vitamin C", "2001", "mg"), True),
            (("Niacin (as niacinamide)", "36", "mg NE"), True),
            (("Vitamin B6", "101", "mg"), True),
            (("Folate (as folic acid)", "1701", "mcg DFE"), True),
            (("Folate (as folic acid)", "1000", "mcg"), False),
            (("Folate (as L-5-methyltetrahydrofolate)", "5000", "mcg DFE"), False),
            (("Magnesium", "351", "mg"), True),
            (("Magnesium", "350", "mg"), False),
            (("Zinc", "0.041", "g"), True),
            (("Iron", "46", "mg"), True),
            (("Selenium", "401", "mcg"), True),
            (("Boron", "21", "mg"), True),
            (("Vitamin B12", "99999", "mcg"), False),
            (("L-Theanine", "99999", "mg"), False),
        ],
    )
    def test_upper_limits_of_adults(self, line: Line, over: bool) -> None:
        """The limit itself is allowed, more is not; exempt forms and nutrients without a limit never warn."""
        codes = [warning.code for warning in facts.lint([Intake(product(9, "X", line), morning=1)])]

        assert codes == ([FactsCode.UPPER_LIMIT_EXCEEDED] if over else [])

    def test_each_allergen_is_named_with_its_products(self) -> None:
        """Fish and milk are two warnings, by name; the external's counts too."""
        fish, milk = facts.lint([Intake(WHEY), Intake(FISH_OIL, morning=1)])

        assert (fish.message, fish.product_ids) == ("Contains fish: Fish Oil.", (3,))
        assert (milk.message, milk.product_ids) == ("Contains milk: Whey.", (5,))

    @pytest.mark.parametrize(("slot", "late"), [("morning", 0), ("afternoon", 0), ("evening", 1), ("sleep", 1)])
    def test_a_stimulant_is_late_in_the_evening_and_before_sleep(self, slot: str, late: int) -> None:
        """Caffeine is no warning until the afternoon, and one in the evening or sleep pack."""
        warnings = facts.lint([Intake(CAFFEINE, **{slot: 1})])

        assert [warning.to_wire() for warning in warnings] == [
            {
                "code": "stimulant_late",
                "message": f"Wake is a stimulant and is in the {slot} pack.",
                "productIds": [4],
                "details": {"slot": slot, "pills": 1, "products": ["Wake"]},
            }
        ] * late


class TestPanelIssues:
    """Checking a label that has the right shape."""

    def test_a_right_label_has_none(self) -> None:
        """Percentages by the 2016 values, ** and null where they belong."""
        panel = panel_of(
            ("Calories", "10", None, None),
            ("Total Fat", "1", "g", "1%"),
            ("Protein", "18", "g", "0%"),
            ("Vitamin B12 (as methylcobalamin)", "1000", "mcg", "41,667%"),
            ("Potassium", "20", "mg", "<1%"),
            ("EPA", "500", "mg", "**"),
        )

        assert facts.panel_issues(panel) == ()

    @pytest.mark.parametrize(
        ("line", "code", "expected"),
        [
            (("Biotin", "300", "mcg", "100%"), PanelIssueCode.DAILY_VALUE_OUTDATED, "1000%"),
            (("Vitamin D", "400", "IU", "100%"), PanelIssueCode.DAILY_VALUE_OUTDATED, "50%"),
            (("Magnesium", "100", "mg", "25%"), PanelIssueCode.DAILY_VALUE_OUTDATED, "24%"),
            (("Magnesium", "200", "mg", "50%"), PanelIssueCode.DAILY_VALUE_OUTDATED, "48%"),
            (("Vitamin C", "90", "mg", "90%"), PanelIssueCode.DAILY_VALUE_WRONG, "100%"),
            (("Choline", "55", "mg", "50%"), PanelIssueCode.DAILY_VALUE_WRONG, "10%"),
            (("Total Sugars", "3", "g", "6%"), PanelIssueCode.DAILY_VALUE_WRONG, "**"),
            (("Protein", "5", "g", "20%"), PanelIssueCode.DAILY_VALUE_WRONG, "10%"),
            (("Zinc", "11", "mg", "**"), PanelIssueCode.DAILY_VALUE_MISSING, "100%"),
            (("Zinc", "11", "mg", None), PanelIssueCode.DAILY_VALUE_MISSING, "100%"),
            (
                ("Vitamn D3 (as cholecalciferol)", "20", "mcg", "100%"),
                PanelIssueCode.NUTRIENT_UNKNOWN,
                "Vitamin D",
            ),
            (("Unobtainium", "20", "mcg", "100%"), PanelIssueCode.NUTRIENT_UNKNOWN, None),
            (("Vitamin E", "30", "IU", "100%"), PanelIssueCode.UNIT_NOT_COMPARABLE, "mg"),
            (("Zinc", "11", "drops", "100%"), PanelIssueCode.UNIT_NOT_COMPARABLE, "mg"),
            (("Zinc", "11", None, "100%"), PanelIssueCode.UNIT_NOT_COMPARABLE, "mg"),
            (("Folate", "400", "mcg", "100%"), PanelIssueCode.UNIT_UNQUALIFIED, "mcg DFE"),
            (("Iron", None, None, None), PanelIssueCode.AMOUNT_MISSING, None),
        ],
    )
    def test_one_fault_is_one_issue(
        self, line: tuple[str, str | None, str | None, str | None], code: PanelIssueCode, expected: str | None
    ) -> None:
        """Each fault is found alone, points into the panel, and says what should stand there."""
        (issue,) = facts.panel_issues(panel_of(line))

        assert (issue.code, issue.expected) == (code, expected)
        assert issue.pointer.startswith("/ingredients/0/")

    def test_one_point_is_a_makers_rounding(self) -> None:
        """13 mcg of selenium are 24 %: 23 and 25 pass, 22 and 26 do not."""
        declared = {
            percent: [issue.code for issue in facts.panel_issues(panel_of(("Selenium", "13", "mcg", percent)))]
            for percent in ("22%", "23%", "25%", "26%")
        }

        assert declared == {
            "22%": [PanelIssueCode.DAILY_VALUE_WRONG],
            "23%": [],
            "25%": [],
            "26%": [PanelIssueCode.DAILY_VALUE_WRONG],
        }

    def test_a_repeated_line_and_a_wrong_order_are_found(self) -> None:
        """Zinc twice is a repetition; vitamin C below zinc is out of order."""
        panel = panel_of(("Zinc", "11", "mg", "100%"), ("Vitamin C", "90", "mg", "100%"), ("Zinc", "11", "mg", "100%"))

        assert [(issue.code, issue.pointer) for issue in facts.panel_issues(panel)] == [
            (PanelIssueCode.INGREDIENT_REPEATED, "/ingredients/2/name"),
            (PanelIssueCode.NUTRIENTS_OUT_OF_ORDER, "/ingredients/1"),
        ]


class TestReadingAPanel:
    """From the contract's JSON and back."""

    def test_a_panel_survives_the_way_there_and_back(self) -> None:
        """What is read is written back the same."""
        raw = {
            "servingSize": 2,
            "type": "softgel",
            "otherIngredients": ["Fish oil"],
            "ingredients": [{"name": "EPA", "amount": "500.50", "unit": "mg", "dailyValue": "**"}],
        }

        assert FactsPanel.of(raw).to_wire() == raw

    def test_every_fault_is_named_with_its_pointer(self) -> None:
        """Eight faults give eight errors at once."""
        raw = {
            "servingSize": 0,
            "type": "pill",
            "otherIngredients": "Gelatin",
            "ingredients": ["Zinc", {"name": " ", "amount": 5, "unit": "", "dailyValue": "lots"}],
        }

        with pytest.raises(FactsPanelInvalid) as failure:
            FactsPanel.of(raw, pointer="/panel")

        assert [error.pointer for error in failure.value.errors] == [
            "/panel/servingSize",
            "/panel/otherIngredients",
            "/panel/type",
            "/panel/ingredients/0",
            "/panel/ingredients/1/dailyValue",
            "/panel/ingredients/1/name",
            "/panel/ingredients/1/amount",
            "/panel/ingredients/1/unit",
        ]

    @pytest.mark.parametrize("raw", [[], "panel", 5])
    def test_what_is_no_object_is_refused(self, raw: object) -> None:
        """A panel must be an object."""
        with pytest.raises(FactsPanelInvalid) as failure:
            FactsPanel.of(raw)

        assert [error.pointer for error in failure.value.errors] == ["/supplementFactsPanel"]

    @pytest.mark.parametrize("amount", ["-1", "1e3", "NaN", "1,000", "", "٣", "1.", "1234567890", "0.1234567"])
    def test_an_amount_is_a_plain_decimal(self, amount: str) -> None:
        """Signs, exponents, separators, other digits and more than nine and six places are refused."""
        with pytest.raises(FactsPanelInvalid):
            panel_of(("Zinc", amount, "mg", None))

    @pytest.mark.parametrize("size", [True, "2", 1.5, None, -1, 101])
    def test_a_serving_is_one_to_a_hundred_pills(self, size: object) -> None:
        """Booleans, texts, fractions and sizes out of range are refused."""
        with pytest.raises(FactsPanelInvalid):
            FactsPanel.of({"servingSize": size, "ingredients": []})


class TestUnits:
    """Turning a label's amount into the nutrient's unit."""

    @pytest.mark.parametrize(
        ("label", "amount", "unit", "expected"),
        [
            ("Vitamin D3 (cholecalciferol)", "1000", "IU", "25"),
            ("Vitamin A (as retinyl palmitate)", "10000", "IU", "3000"),
            ("Vitamin E (as d-alpha-tocopherol)", "400", "IU", "268"),
            ("Vitamin E (as dl-alpha-tocopheryl acetate)", "400", "IU", "180"),
            ("Vitamin E", "400", "IU", None),
            ("Vitamin E", "15", "mg alpha-tocopherol", "15"),
            ("Vitamin C", "1.5", "g", "1500"),
            ("Vitamin C", "500", "MG", "500"),
            ("Vitamin B12", "1", "mg", "1000"),
            ("Vitamin B12", "500", "µg", "500"),
            ("Vitamin B12", "500", "ug", "500"),
            ("Folate", "400", "mcg folic acid", "680"),
            ("Folic acid", "400", "mcg", "680"),
            ("Folate (as folic acid)", "0.4", "mg", "680"),
            ("Folate", "680", "mcg DFE", "680"),
            ("Niacin", "16", "mg NE", "16"),
            ("Niacin", "16", "mg RAE", None),
            ("Zinc", "100", "IU", None),
            ("Calories", "10", "kcal", "10"),
            ("Calories", "10", "mg", None),
        ],
    )
    def test_labels_amounts_in_the_nutrients_unit(
        self, label: str, amount: str, unit: str, expected: str | None
    ) -> None:
        """Fixed factors are applied exactly; without one there is no answer."""
        nutrient = nutrients.find_nutrient(label)

        assert nutrient is not None
        converted = nutrients.in_nutrient_unit(nutrient, label, Decimal(amount), unit)
        assert converted == (None if expected is None else Decimal(expected))

    @pytest.mark.parametrize(
        ("label", "name"),
        [
            ("Vitamin B-12", "Vitamin B12"),
            ("Vitamin K2 (as menaquinone-7)", "Vitamin K"),
            ("Magnesium (from 2,000 mg magnesium L-threonate)", "Magnesium"),
            ("Magnesium from magnesium citrate", "Magnesium"),
            ("Vitamin C, as ascorbic acid", "Vitamin C"),
            ("THIAMINE", "Thiamin"),
            ("Pyridoxal-5-phosphate", "Vitamin B6"),
            ("Zinc picolinate", None),
            ("Choline bitartrate", None),
            ("EPA", None),
        ],
    )
    def test_labels_names(self, label: str, name: str | None) -> None:
        """Brackets, hyphens and other names lead to the nutrient; a salt's own weight does not."""
        nutrient = nutrients.find_nutrient(label)

        assert (nutrient.name if nutrient else None) == name

    @pytest.mark.parametrize(
        ("amount", "daily", "text"),
        [
            ("0", "90", "0%"),
            ("0.899", "90", "<1%"),
            ("0.9", "90", "1%"),
            ("1.35", "90", "2%"),
            ("1.34", "90", "1%"),
        ],
    )
    def test_percentages_are_whole_and_half_up(self, amount: str, daily: str, text: str) -> None:
        """1.5 % is 2 %, 1.49 % is 1 %, just under one is <1%, nothing is 0%."""
        assert nutrients.percent_text(Fraction(amount), Decimal(daily)) == text

    @pytest.mark.parametrize(
        ("name", "daily", "limit"),
        [
            ("Total Fat", "78 g", None),
            ("Saturated Fat", "20 g", None),
            ("Cholesterol", "300 mg", None),
            ("Total Carbohydrate", "275 g", None),
            ("Dietary Fiber", "28 g", None),
            ("Added Sugars", "50 g", None),
            ("Protein", "50 g", None),
            ("Vitamin A", "900 mcg RAE", "3000"),
            ("Vitamin C", "90 mg", "2000"),
            ("Vitamin D", "20 mcg", "100"),
            ("Vitamin E", "15 mg", "1000"),
            ("Vitamin K", "120 mcg", None),
            ("Thiamin", "1.2 mg", None),
            ("Riboflavin", "1.3 mg", None),
            ("Niacin", "16 mg NE", "35"),
            ("Vitamin B6", "1.7 mg", "100"),
            ("Folate", "400 mcg DFE", "1700"),
            ("Vitamin B12", "2.4 mcg", None),
            ("Biotin", "30 mcg", None),
            ("Pantothenic Acid", "5 mg", None),
            ("Choline", "550 mg", "3500"),
            ("Calcium", "1300 mg", "2500"),
            ("Iron", "18 mg", "45"),
            ("Phosphorus", "1250 mg", "4000"),
            ("Iodine", "150 mcg", "1100"),
            ("Magnesium", "420 mg", "350"),
            ("Zinc", "11 mg", "40"),
            ("Selenium", "55 mcg", "400"),
            ("Copper", "0.9 mg", "10"),
            ("Manganese", "2.3 mg", "11"),
            ("Chromium", "35 mcg", None),
            ("Molybdenum", "45 mcg", "2000"),
            ("Chloride", "2300 mg", "3600"),
            ("Sodium", "2300 mg", None),
            ("Potassium", "4700 mg", None),
        ],
    )
    def test_daily_values_and_upper_limits(self, name: str, daily: str, limit: str | None) -> None:
        """The daily values are those of 2016, the limits those of the Dietary Reference Intakes for adults."""
        nutrient = nutrients.find_nutrient(name)

        assert nutrient is not None
        assert f"{nutrient.daily_value} {nutrient.label_unit}" == daily
        upper = nutrient.upper_limit
        assert (None if upper is None else upper.amount) == (None if limit is None else Decimal(limit))

    def test_the_table_has_the_order_of_the_law(self) -> None:
        """The vitamins and minerals stand as 21 CFR 101.36 lists them."""
        listed = [nutrient.name for nutrient in nutrients.NUTRIENTS if nutrient.group == "vitamin_or_mineral"]

        assert listed == [
            "Vitamin A", "Vitamin C", "Vitamin D", "Vitamin E", "Vitamin K", "Thiamin", "Riboflavin",
            "Niacin",
            "Vitamin B6", "Folate", "Vitamin B12", "Biotin", "Pantothenic Acid", "Choline", "Calcium", "Iron",
            "Phosphorus", "Iodine", "Magnesium", "Zinc", "Selenium", "Copper", "Manganese", "Chromium",
            "Molybdenum", "Chloride", "Sodium", "Potassium",
        ]  # fmt: skip


AMOUNTS = st.decimals(min_value=0, max_value=10_000, places=3).map(str)
LINES = st.one_of(
    st.tuples(
        st.sampled_from(["Zinc (as zinc citrate)", "Zinc", "Iron"]),
        AMOUNTS,
        st.sampled_from(["mg", "mcg", "g"]),
    ),
    st.tuples(st.sampled_from(["Vitamin D3", "Vitamin D2"]), AMOUNTS, st.sampled_from(["mcg", "IU"])),
    st.tuples(st.just("Vitamin E"), AMOUNTS, st.sampled_from(["mg", "IU"])),
    st.tuples(st.sampled_from(["Kale", "EPA"]), st.one_of(st.none(), AMOUNTS), st.sampled_from(["mg", "g"])),
)
PILLS = st.integers(min_value=0, max_value=4)


@st.composite
def intakes(draw: st.DrawFn) -> list[Intake]:
    """Draw up to five products, each with its pills; ids are unique."""
    count = draw(st.integers(min_value=0, max_value=5))
    return [
        Intake(
            product(
                product_id,
                f"P{product_id}",
                *draw(st.lists(LINES, max_size=4)),
                serving=draw(st.integers(min_value=1, max_value=7)),
                others=draw(st.lists(st.sampled_from(["Gelatin", "gelatin", "Silica"]), max_size=2)),
                contains_allergens=draw(st.sets(st.sampled_from(["fish", "milk"]))),
                free_from=draw(st.sets(st.sampled_from(["fish_free", "soy_free"]))),
                stimulant=draw(st.booleans()),
                external=draw(st.booleans()),
            ),
            *[draw(PILLS) for _ in Slot],
        )
        for product_id in range(1, count + 1)
    ]


def totals(packs: Sequence[PackFacts]) -> dict[tuple[str, str | None], Fraction]:
    """Return the exact sum of each row over *packs*."""
    sums: dict[tuple[str, str | None], Fraction] = {}
    for pack in packs:
        for line in pack.rows:
            if line.exact is not None:
                sums[line.name, line.unit] = sums.get((line.name, line.unit), Fraction(0)) + line.exact
    return sums


@settings(max_examples=60, deadline=None)
@given(intakes())
def test_the_day_is_the_sum_of_its_slots(items: list[Intake]) -> None:
    """Whatever is taken when, each row of the day is the exact sum of the slots' rows, as are the pills."""
    combined: CombinedFacts = facts.combined_panel(items)

    assert totals([combined.per_day]) == totals(list(combined.slots.values()))
    assert combined.per_day.pills == sum(pack.pills for pack in combined.slots.values())


@settings(max_examples=60, deadline=None)
@given(intakes().flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_the_order_of_the_lines_does_not_matter(pair: tuple[list[Intake], list[Intake]]) -> None:
    """Any permutation of the lines gives the same panel and the same warnings."""
    items, shuffled = pair

    assert facts.combined_panel(shuffled) == facts.combined_panel(items)
    assert facts.lint(shuffled) == facts.lint(items)


@settings(max_examples=100, deadline=None)
@given(
    st.decimals(min_value=0, max_value=999_999_999, places=6),
    st.sampled_from(["g", "mg", "mcg"]),
    st.sampled_from(["g", "mg", "mcg"]),
)
def test_converting_mass_is_exact(amount: Decimal, unit: str, to: str) -> None:
    """Mass there and back is the same amount, and the way there is the right power of a thousand."""
    micrograms = {"g": 1_000_000, "mg": 1_000, "mcg": 1}
    there = nutrients.convert_mass(amount, unit, to)

    assert Fraction(there) == Fraction(amount) * micrograms[unit] / micrograms[to]
    assert nutrients.convert_mass(there, to, unit) == amount
