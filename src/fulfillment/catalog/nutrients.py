"""What law and science say of a nutrient: its daily value, upper limit, units and place on a panel."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import chain
from typing import Final

NO_DAILY_VALUE: Final = "**"  # printed in place of a percentage, with the note below
NO_DAILY_VALUE_NOTE: Final = "** Daily Value not established."


class Group(StrEnum):
    """The three parts of a panel, from the top down."""

    MACRONUTRIENT = "macronutrient"
    VITAMIN_OR_MINERAL = "vitamin_or_mineral"
    OTHER = "other"  # below the heavy line


@dataclass(frozen=True, slots=True)
class UpperLimit:
    """The tolerable upper intake level of adults (19 to 50 years), as it applies to supplements."""

    amount: Decimal  # a day, in the nutrient's own unit
    basis: str | None = None  # what the level covers, where it is not the whole nutrient
    exempt_forms: tuple[str, ...] = ()  # words on the label that name a form outside the level
    counted_forms: tuple[str, ...] = ()  # words that bring an ingredient back in when both are named


@dataclass(frozen=True, slots=True)
class Measure:
    """Another way to state the amount, with its fixed factor."""

    name: str  # what stands after the mass unit ("folic acid"), or "iu"
    factor: Decimal  # to the nutrient's unit
    form: str = ""  # a word the label must name for the factor to hold


@dataclass(frozen=True, slots=True)
class Nutrient:
    """One row of 21 CFR 101.36, or an element with an upper limit only."""

    name: str
    group: Group
    unit: str  # mcg, mg, g; empty for calories
    qualifier: str = ""  # RAE, DFE, NE
    daily_value: Decimal | None = None  # adults and children from 4 years, 2016 table
    former_daily_value: Decimal | None = None  # the table before 2016, in the same unit
    upper_limit: UpperLimit | None = None
    aliases: tuple[str, ...] = ()  # lower case, without brackets
    measures: tuple[Measure, ...] = ()
    spelled_qualifiers: tuple[str, ...] = ()  # further words after the unit that mean the same
    quality_corrected: bool = False  # the percentage also depends on a score that no label declares

    @property
    def label_unit(self) -> str | None:
        """The unit as a panel prints it: ``mcg DFE``; None for calories."""
        return f"{self.unit} {self.qualifier}".strip() or None

    @property
    def diet_based(self) -> bool:
        """Whether the daily value rests on a diet of 2,000 calories; cholesterol's does not."""
        return self.group is Group.MACRONUTRIENT and self.unit == "g" and self.daily_value is not None


def _macro(name: str, unit: str, daily: str | None, former: str | None, *aliases: str) -> Nutrient:
    return Nutrient(
        name,
        Group.MACRONUTRIENT,
        unit,
        daily_value=Decimal(daily) if daily else None,
        former_daily_value=Decimal(former) if former else None,
        aliases=aliases,
    )


def _micro(
    name: str,
    amount: str,
    former: str | None = None,
    limit: UpperLimit | str | None = None,
    *aliases: str,
    measures: tuple[Measure, ...] = (),
    spelled: tuple[str, ...] = (),
) -> Nutrient:
    daily, unit, *qualifier = amount.split()
    return Nutrient(
        name,
        Group.VITAMIN_OR_MINERAL,
        unit,
        " ".join(qualifier),
        Decimal(daily),
        Decimal(former) if former else None,
        UpperLimit(Decimal(limit)) if isinstance(limit, str) else limit,
        aliases,
        measures,
        spelled,
    )


def _element(name: str, unit: str, limit: str) -> Nutrient:
    return Nutrient(name, Group.OTHER, unit, upper_limit=UpperLimit(Decimal(limit)))


_LIMIT_A = UpperLimit(
    Decimal(3000), "preformed vitamin A", ("carotene", "carotenoid"), ("retinyl", "retinol", "palmitate")
)
_LIMIT_FOLATE = UpperLimit(
    Decimal(1700),  # 1,000 mcg folic acid at 1.7 mcg DFE each
    "1,000 mcg folic acid",
    ("methyltetrahydrofolate", "5-mthf", "methylfolate", "folinate", "folinic"),
    ("folic acid",),
)
_DFE_PER_FOLIC_ACID = Decimal("1.7")

# The sequence of this table is the sequence of the panel: 21 CFR 101.36(b)(2)(i)(B). Daily values: 21 CFR
# 101.9(c)(8)(iv) and (c)(9) as amended in 2016. Upper limits: Dietary Reference Intakes, National Academies.
NUTRIENTS: Final[tuple[Nutrient, ...]] = (
    _macro("Calories", "", None, None, "calories per serving", "energy"),
    _macro("Total Fat", "g", "78", "65", "fat"),
    _macro("Saturated Fat", "g", "20", "20"),
    _macro("Trans Fat", "g", None, None),
    _macro("Cholesterol", "mg", "300", "300"),
    _macro("Total Carbohydrate", "g", "275", "300", "total carbohydrates", "carbohydrate", "carbohydrates"),
    _macro("Dietary Fiber", "g", "28", "25", "fiber", "fibre", "dietary fibre"),
    _macro("Total Sugars", "g", None, None, "sugars", "sugar"),
    _macro("Added Sugars", "g", "50", None, "includes added sugars"),
    Nutrient(
        "Protein",
        Group.MACRONUTRIENT,
        "g",
        daily_value=Decimal(50),
        former_daily_value=Decimal(50),
        quality_corrected=True,  # 21 CFR 101.9(c)(7): collagen's 18 g are 0%
    ),
    _micro("Vitamin A", "900 mcg RAE", "1500", _LIMIT_A, measures=(Measure("iu", Decimal("0.3")),)),
    _micro("Vitamin C", "90 mg", "60", "2000", "ascorbic acid"),
    _micro(
        "Vitamin D",
        "20 mcg",
        "10",
        "100",
        "vitamin d2",
        "vitamin d3",
        "cholecalciferol",
        "ergocalciferol",
        measures=(Measure("iu", Decimal("0.025")),),
    ),
    _micro(
        "Vitamin E",
        "15 mg",
        "20.1",
        UpperLimit(Decimal(1000), "supplementary alpha-tocopherol"),
        # An IU is a different mass for each form, so an unnamed form has no factor.
        measures=(
            Measure("iu", Decimal("0.67"), "d-alpha"),
            Measure("iu", Decimal("0.45"), "dl-alpha"),
        ),
        spelled=("alpha-tocopherol", "at", "α-tocopherol"),
    ),
    _micro("Vitamin K", "120 mcg", "80", None, "vitamin k1", "vitamin k2"),
    _micro("Thiamin", "1.2 mg", "1.5", None, "thiamine", "vitamin b1"),
    _micro("Riboflavin", "1.3 mg", "1.7", None, "vitamin b2"),
    _micro(
        "Niacin",
        "16 mg NE",
        "20",
        UpperLimit(Decimal(35), "niacin from supplements and fortified food"),
        "vitamin b3",
        "niacinamide",
        "nicotinamide",
        "nicotinic acid",
    ),
    _micro("Vitamin B6", "1.7 mg", "2", "100", "pyridoxine", "pyridoxal-5-phosphate"),
    _micro(
        "Folate",
        "400 mcg DFE",
        "680",  # 400 mcg folic acid
        _LIMIT_FOLATE,
        "folic acid",
        "vitamin b9",
        measures=(
            Measure("folic acid", _DFE_PER_FOLIC_ACID),
            Measure("l-5-mthf", _DFE_PER_FOLIC_ACID),
            Measure("", _DFE_PER_FOLIC_ACID, "folic acid"),
        ),
    ),
    _micro("Vitamin B12", "2.4 mcg", "6", None, "cobalamin", "methylcobalamin", "cyanocobalamin"),
    _micro("Biotin", "30 mcg", "300", None, "vitamin b7"),
    _micro("Pantothenic Acid", "5 mg", "10", None, "vitamin b5"),
    _micro("Choline", "550 mg", None, "3500"),
    _micro("Calcium", "1300 mg", "1000", "2500"),
    _micro("Iron", "18 mg", "18", "45"),
    _micro("Phosphorus", "1250 mg", "1000", "4000"),
    _micro("Iodine", "150 mcg", "150", "1100"),
    _micro("Magnesium", "420 mg", "400", UpperLimit(Decimal(350), "magnesium from supplements")),
    _micro("Zinc", "11 mg", "15", "40"),
    _micro("Selenium", "55 mcg", "70", "400"),
    _micro("Copper", "0.9 mg", "2", "10"),
    _micro("Manganese", "2.3 mg", "2", "11"),
    _micro("Chromium", "35 mcg", "120"),
    _micro("Molybdenum", "45 mcg", "75", "2000"),
    _micro("Chloride", "2300 mg", "3400", "3600"),
    _micro("Sodium", "2300 mg", "2400"),
    _micro("Potassium", "4700 mg", "3500"),
    _element("Boron", "mg", "20"),
    _element("Fluoride", "mg", "10"),
    _element("Nickel", "mg", "1"),
    _element("Vanadium", "mg", "1.8"),
)

_POWER_OF_TEN: Final = {"g": 0, "mg": -3, "mcg": -6}
_UNIT = re.compile(r"(g|mg|mcg|iu)(?: +(.+))?")
_MICRO_SIGNS = re.compile(r"^[µμu]g\b")
_SOURCE_OF_NUTRIENT = re.compile(r"\s*(?:[(\[].*|,?\s+(?:as|from)\s.*)$")
_B_HYPHEN = re.compile(r"\bb-(?=\d)")
_PERCENT_STEP = Fraction(1, 2)


def _by_name() -> Iterator[tuple[str, Nutrient]]:
    for nutrient in NUTRIENTS:
        for name in chain((nutrient.name.casefold(),), nutrient.aliases):
            yield name, nutrient


_BY_NAME: Final = dict(_by_name())
_POSITION: Final = {nutrient.name: place for place, nutrient in enumerate(NUTRIENTS)}


def bare_name(label_name: str) -> str:
    """Return a label's name without its source: ``vitamin b12`` for ``Vitamin B-12 (as ...)``."""
    text = _SOURCE_OF_NUTRIENT.sub("", label_name.casefold().strip())
    return _B_HYPHEN.sub("b", " ".join(text.split()))


def find_nutrient(label_name: str) -> Nutrient | None:
    """Return the nutrient that a label's line names, or None.

    A salt named without brackets ("Zinc picolinate 30 mg") is not the nutrient: its amount is the compound's.
    """
    return _BY_NAME.get(bare_name(label_name))


def known_names() -> tuple[str, ...]:
    """Return every canonical name, in the order of the panel."""
    return tuple(_POSITION)


def panel_position(nutrient: Nutrient) -> int:
    """Return the nutrient's place in the order of 21 CFR 101.36."""
    return _POSITION[nutrient.name]


def convert_mass(amount: Decimal, unit: str, to: str) -> Decimal:
    """Return *amount* of *unit* in *to*, exactly. Units are g, mg and mcg."""
    return amount.scaleb(_POWER_OF_TEN[unit] - _POWER_OF_TEN[to])


def in_nutrient_unit(nutrient: Nutrient, label_name: str, amount: Decimal, unit: str | None) -> Decimal | None:
    """Return a label's amount in the nutrient's own unit, or None where no fixed factor leads there.

    Args:
        label_name: The whole line: for some measures the factor depends on the form that it names.
        unit: As printed: ``mg``, ``mcg DFE``, ``IU``; None for calories.
    """
    if not nutrient.unit:
        return amount if (unit or "kcal").casefold() in ("kcal", "calories", "cal") else None
    parsed = _UNIT.fullmatch(_MICRO_SIGNS.sub("mcg", " ".join((unit or "").casefold().split())))
    if parsed is None:
        return None
    mass, qualifier = parsed[1], parsed[2] or ""
    measured = qualifier if mass != "iu" else mass
    factor = _factor(nutrient, label_name.casefold(), measured)
    if factor is None:
        return None
    return factor * (amount if mass == "iu" else convert_mass(amount, mass, nutrient.unit))


def _factor(nutrient: Nutrient, label_name: str, measured: str) -> Decimal | None:
    for measure in nutrient.measures:
        if measure.name == measured and measure.form in label_name:
            return measure.factor
    own = (nutrient.qualifier.casefold(), *nutrient.spelled_qualifiers, "")
    return Decimal(1) if measured in own else None


def counts_toward_limit(limit: UpperLimit, label_name: str) -> bool:
    """Return whether the form that a label names falls under the upper limit; an unnamed form does."""
    text = label_name.casefold()
    exempt = any(form in text for form in limit.exempt_forms)
    return not exempt or any(form in text for form in limit.counted_forms)


def percent_text(amount: Fraction, daily_value: Decimal) -> str:
    """Return the percentage as a panel prints it: whole, half up; ``<1%`` below one; ``0%`` for nothing.

    Source:
        21 CFR 101.36(b)(2)(iii).
    """
    percent = amount * 100 / Fraction(daily_value)
    if 0 < percent < 1:
        return "<1%"
    return f"{int(percent + _PERCENT_STEP)}%"
