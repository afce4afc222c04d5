"""The rules over Supplement Facts: read a panel, add up a day's panels, warn about a mix, check a label."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from difflib import get_close_matches
from enum import StrEnum
from fractions import Fraction
from typing import Final, cast

from fulfillment.catalog import nutrients
from fulfillment.catalog.nutrients import NO_DAILY_VALUE, NO_DAILY_VALUE_NOTE, Group, Nutrient
from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind

CALORIE_NOTE: Final = "Percent Daily Values are based on a 2,000 calorie diet."
EXTERNAL_NOTE: Final = "Products outside the packs are shown per serving and are not part of the totals."

# An allergen makes the claim on the left untrue, whatever the catalogue says.
_CLAIM_DENIED_BY: Final[Mapping[str, frozenset[str]]] = {
    "dairy_free": frozenset({"milk"}),
    "egg_free": frozenset({"egg"}),
    "fish_free": frozenset({"fish"}),
    "shellfish_free": frozenset({"crustacean_shellfish"}),
    "tree_nut_free": frozenset({"tree_nuts"}),
    "peanut_free": frozenset({"peanut"}),
    "nut_free": frozenset({"tree_nuts", "peanut"}),
    "wheat_free": frozenset({"wheat"}),
    "gluten_free": frozenset({"wheat"}),
    "soy_free": frozenset({"soy"}),
    "sesame_free": frozenset({"sesame"}),
}
# Nine digits and six places stay exact under Decimal's 28 digits through every conversion.
_AMOUNT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_DAILY_VALUE: Final = re.compile(r"<1%|[0-9][0-9,]{0,9}%|\*\*|\*|†")
_SHOWN_PLACES: Final = Decimal("0.0001")
_TOLERATED_POINTS: Final = 1  # a maker may compute from the amount before it was rounded
_SERVINGS: Final = range(1, 101)


class FactsPanelInvalid(FulfillmentError):
    """A facts panel does not have the contract's shape; every fault is named."""

    kind = Kind.INVALID
    code = "facts_panel_invalid"
    title = "The supplement facts panel is not valid"


class ServingType(StrEnum):
    """What a serving is counted in."""

    SOFTGEL = "softgel"
    TABLET = "tablet"
    CAPSULE = "capsule"
    GUMMY = "gummy"
    SCOOP = "scoop"


_SERVING_TYPES: Final = frozenset(kind.value for kind in ServingType)


class Slot(StrEnum):
    """The four times of day of a pack."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"
    SLEEP = "sleep"


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One line of a panel."""

    name: str
    amount: Decimal | None  # a serving; None where a blend hides it
    unit: str | None
    daily_value: str | None  # "278%", "<1%", "**"


@dataclass(frozen=True, slots=True)
class FactsPanel:
    """A product's Supplement Facts."""

    serving_size: int  # pills or scoops
    type: ServingType | None
    other_ingredients: tuple[str, ...]
    ingredients: tuple[Ingredient, ...]

    @classmethod
    def of(cls, raw: object, *, pointer: str = "/supplementFactsPanel") -> "FactsPanel":
        """Read the contract's JSON.

        Args:
            raw: The decoded JSON object.
            pointer: Where it stands in the document; the faults' pointers start with it.

        Raises:
            FactsPanelInvalid: With one error for each fault.
        """
        faults: list[FieldError] = []
        panel = _panel(raw, pointer, faults)
        if panel is None or faults:
            raise FactsPanelInvalid("Correct the supplement facts panel.", errors=faults)
        return panel

    def to_wire(self) -> dict[str, object]:
        """Return the contract's JSON."""
        return {
            "servingSize": self.serving_size,
            "type": self.type,
            "otherIngredients": list(self.other_ingredients),
            "ingredients": [
                {
                    "name": line.name,
                    "amount": None if line.amount is None else f"{line.amount:f}",
                    "unit": line.unit,
                    "dailyValue": line.daily_value,
                }
                for line in self.ingredients
            ],
        }


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What the rules need to know of a product."""

    product_id: int
    name: str
    panel: FactsPanel | None
    contains_allergens: frozenset[str] = frozenset()
    free_from: frozenset[str] = frozenset()  # claims: gluten_free, soy_free, ...
    stimulant: bool = False
    external: bool = False  # not in the packs

    @classmethod
    def of(
        cls,
        json_panel: object,
        *,
        product_id: int,
        name: str,
        contains_allergens: Iterable[str] = (),
        free_from: Iterable[str] = (),
        stimulant: bool = False,
        external: bool = False,
    ) -> "ProductFacts":
        """Build the facts from a stored row; *json_panel* is the decoded panel, or None.

        Raises:
            FactsPanelInvalid: The panel does not have the contract's shape.
        """
        panel = None if json_panel is None else FactsPanel.of(json_panel)
        claims, allergens = frozenset(free_from), frozenset(contains_allergens)
        return cls(product_id, name, panel, allergens, claims, stimulant, external)


@dataclass(frozen=True, slots=True)
class Intake:
    """A product and how many pills of it a day takes, by slot."""

    product: ProductFacts
    morning: int = 0
    afternoon: int = 0
    evening: int = 0
    sleep: int = 0

    def pills(self, slot: Slot | None = None) -> int:
        """Return the pills of *slot*, or of the whole day."""
        if slot is None:
            return self.morning + self.afternoon + self.evening + self.sleep
        return {
            Slot.MORNING: self.morning,
            Slot.AFTERNOON: self.afternoon,
            Slot.EVENING: self.evening,
            Slot.SLEEP: self.sleep,
        }[slot]


@dataclass(frozen=True, slots=True)
class FactsRow:
    """One ingredient of a combined panel."""

    name: str
    group: Group
    exact: Fraction | None  # the sum; a third of a serving has no finite decimal
    unit: str | None
    daily_value: str | None  # None: not comparable (calories, protein, an unknown unit)
    diet_based: bool  # the percentage rests on a diet of 2,000 calories
    product_ids: tuple[int, ...]  # ascending
    incomplete: bool  # at least one product names it without an amount

    @property
    def amount(self) -> Decimal | None:
        """The sum as shown, rounded half up to four places."""
        return None if self.exact is None else _shown(self.exact)

    def to_wire(self) -> dict[str, object]:
        """Return the row as JSON."""
        amount = self.amount
        return {
            "name": self.name,
            "group": self.group,
            "amount": None if amount is None else f"{amount:f}",
            "unit": self.unit,
            "dailyValue": self.daily_value,
            "productIds": list(self.product_ids),
            "incomplete": self.incomplete,
        }


@dataclass(frozen=True, slots=True)
class PackFacts:
    """The combined panel of what one pack, or all packs of a day, hold."""

    pills: int
    rows: tuple[FactsRow, ...]  # 101.36 order, then the others by name
    contains: tuple[str, ...]
    free_from: tuple[str, ...]  # claimed by every product, denied by none
    other_ingredients: tuple[str, ...]

    def to_wire(self) -> dict[str, object]:
        """Return the panel as JSON."""
        return {
            "pills": self.pills,
            "rows": [row.to_wire() for row in self.rows],
            "contains": list(self.contains),
            "freeFrom": list(self.free_from),
            "otherIngredients": list(self.other_ingredients),
        }


@dataclass(frozen=True, slots=True)
class CombinedFacts:
    """The Supplement Facts of an order."""

    per_day: PackFacts
    slots: Mapping[Slot, PackFacts]  # all four
    externals: tuple[ProductFacts, ...]  # beside the packs: not summed
    contains: tuple[str, ...]  # of packs and externals
    free_from: tuple[str, ...]  # of packs and externals
    notes: tuple[str, ...]

    def to_wire(self) -> dict[str, object]:
        """Return the answer of ``GET /v1/orders/{id}/facts``.

        ``otherIngredients`` are those of the packs; an external's stand with its own panel. ``contains`` and
        ``freeFrom`` speak of everything in the order.
        """
        return {
            "perDay": self.per_day.to_wire(),
            "slots": {slot.value: pack.to_wire() for slot, pack in self.slots.items()},
            "externals": [_external_wire(product) for product in self.externals],
            "contains": list(self.contains),
            "freeFrom": list(self.free_from),
            "otherIngredients": list(self.per_day.other_ingredients),
            "notes": list(self.notes),
        }


class FactsCode(StrEnum):
    """What a mix of products can be warned about."""

    NUTRIENT_DUPLICATED = "nutrient_duplicated"
    UPPER_LIMIT_EXCEEDED = "upper_limit_exceeded"
    ALLERGENS_PRESENT = "allergens_present"
    STIMULANT_LATE = "stimulant_late"


@dataclass(frozen=True, slots=True)
class FactsWarning:
    """A fact about a mix that somebody should see. It is no medical advice and refuses nothing."""

    code: FactsCode
    message: str
    product_ids: tuple[int, ...]  # ascending
    details: Mapping[str, object]  # JSON values

    def to_wire(self) -> dict[str, object]:
        """Return the warning as JSON."""
        return {
            "code": self.code,
            "message": self.message,
            "productIds": list(self.product_ids),
            "details": dict(self.details),
        }


class PanelIssueCode(StrEnum):
    """What can be wrong with a label that has the right shape."""

    DAILY_VALUE_WRONG = "daily_value_wrong"
    DAILY_VALUE_OUTDATED = "daily_value_outdated"
    DAILY_VALUE_MISSING = "daily_value_missing"
    NUTRIENT_UNKNOWN = "nutrient_unknown"
    UNIT_NOT_COMPARABLE = "unit_not_comparable"
    UNIT_UNQUALIFIED = "unit_unqualified"
    AMOUNT_MISSING = "amount_missing"
    INGREDIENT_REPEATED = "ingredient_repeated"
    NUTRIENTS_OUT_OF_ORDER = "nutrients_out_of_order"


@dataclass(frozen=True, slots=True)
class PanelIssue:
    """A fault of a label, for whoever imports it."""

    code: PanelIssueCode
    pointer: str  # into the panel
    message: str
    expected: str | None = None  # what should stand there, where it can be computed


@dataclass(frozen=True, slots=True)
class _Share:
    """What one product's line gives to a row."""

    nutrient: Nutrient | None  # None: not in the table
    label: str
    unit: str | None
    amount: Fraction | None  # in the nutrient's unit if `comparable`, else in `unit`
    comparable: bool  # the amount can be added to others of the nutrient and to its daily value
    product: ProductFacts

    @property
    def ingredient(self) -> str:
        return self.nutrient.name if self.nutrient else self.label

    @property
    def key(self) -> tuple[str, str | None]:
        if self.nutrient and self.comparable:
            return self.nutrient.name, self.nutrient.label_unit
        return self.label, self.unit


def combined_panel(items: Sequence[Intake]) -> CombinedFacts:
    """Add up the panels of an order's products, for each time of day and for the day.

    Panels speak per serving; a pill is the serving divided by its size. Amounts are summed exactly and
    rounded only when shown. A product may stand on several lines. Other ingredients are united by name, in
    alphabetical order, for their weights are not declared.
    """
    inside = [item for item in items if not item.product.external and item.pills() > 0]
    outside = {item.product.product_id: item.product for item in items if item.product.external}
    externals = tuple(outside[product_id] for product_id in sorted(outside))
    per_day = _pack(inside, None)
    everything = [item.product for item in inside] + list(externals)
    return CombinedFacts(
        per_day=per_day,
        slots={slot: _pack(inside, slot) for slot in Slot},
        externals=externals,
        contains=_contains(everything),
        free_from=_free_from(everything),
        notes=tuple(_notes(per_day, inside, externals)),
    )


def lint(items: Sequence[Intake]) -> tuple[FactsWarning, ...]:
    """Return what should be seen before this mix is ordered.

    Totals are those of the packs: how much of an external a person takes is not known.
    """
    packed = [item for item in items if not item.product.external and item.pills() > 0]
    external = [item for item in items if item.product.external]
    shares = [share for item in packed for share in _shares(item.product, item.pills())]
    named = shares + [share for item in external for share in _shares(item.product, 1)]
    products = [item.product for item in [*packed, *external]]
    return (
        *_duplicates(named),
        *_limits_exceeded(shares),
        *_allergens_present(products),
        *_stimulants_late(packed),
    )


def panel_issues(panel: FactsPanel) -> tuple[PanelIssue, ...]:
    """Return the faults of a label: percentages are computed anew, names, units and order are compared.

    A percentage may be one point off, for a maker may compute from an amount that was not yet rounded. One
    that fits the daily values before 2016 is named as such.
    """
    issues = [issue for place, line in enumerate(panel.ingredients) for issue in _line_issues(place, line)]
    return (*issues, *_repeated(panel.ingredients), *_out_of_order(panel.ingredients))


def _shares(product: ProductFacts, pills: int) -> Iterator[_Share]:
    if product.panel is None:
        return
    servings = Fraction(pills, product.panel.serving_size)
    for line in product.panel.ingredients:
        nutrient = nutrients.find_nutrient(line.name)
        stated, converted = line.amount, line.amount
        if nutrient and stated is not None:
            converted = nutrients.in_nutrient_unit(nutrient, line.name, stated, line.unit)
        comparable = nutrient is not None and (stated is None or converted is not None)
        amount = converted if comparable else stated
        total = None if amount is None else Fraction(amount) * servings
        yield _Share(nutrient, line.name, line.unit, total, comparable, product)


def _pack(items: Sequence[Intake], slot: Slot | None) -> PackFacts:
    taken = [(item.product, item.pills(slot)) for item in items if item.pills(slot) > 0]
    products = [product for product, _ in taken]
    return PackFacts(
        pills=sum(pills for _, pills in taken),
        rows=_rows(share for product, pills in taken for share in _shares(product, pills)),
        contains=_contains(products),
        free_from=_free_from(products),
        other_ingredients=_other_ingredients(products),
    )


def _rows(shares: Iterable[_Share]) -> tuple[FactsRow, ...]:
    by_key: dict[tuple[str, str | None], list[_Share]] = {}
    for share in shares:
        by_key.setdefault(share.key, []).append(share)
    return tuple(_row(by_key[key]) for key in sorted(by_key, key=lambda key: _row_order(by_key[key][0])))


def _row_order(share: _Share) -> tuple[bool, int, str, str, str]:
    name, unit = share.key
    group = _group(share)
    position = 0
    if share.nutrient and group is not Group.OTHER:
        position = nutrients.panel_position(share.nutrient)
    return group is Group.OTHER, position, name.casefold(), name, unit or ""


def _group(share: _Share) -> Group:
    return share.nutrient.group if share.nutrient and share.comparable else Group.OTHER


def _row(shares: Sequence[_Share]) -> FactsRow:
    first = shares[0]
    name, unit = first.key
    amounts = [share.amount for share in shares if share.amount is not None]
    exact = sum(amounts, Fraction(0)) if amounts else None
    return FactsRow(
        name=name,
        group=_group(first),
        exact=exact,
        unit=unit,
        daily_value=_daily_value(first, exact),
        diet_based=first.comparable and first.nutrient is not None and first.nutrient.diet_based,
        product_ids=tuple(_by_id(share.product for share in shares)),
        incomplete=len(amounts) < len(shares),
    )


def _daily_value(share: _Share, exact: Fraction | None) -> str | None:
    nutrient = share.nutrient
    if nutrient is None:
        return NO_DAILY_VALUE
    if not share.comparable or not nutrient.unit or nutrient.quality_corrected:
        return None
    if nutrient.daily_value is None:
        return NO_DAILY_VALUE
    return None if exact is None else nutrients.percent_text(exact, nutrient.daily_value)


def _contains(products: Iterable[ProductFacts]) -> tuple[str, ...]:
    return tuple(sorted({allergen for product in products for allergen in product.contains_allergens}))


def _free_from(products: Sequence[ProductFacts]) -> tuple[str, ...]:
    if not products:
        return ()
    claims = frozenset[str].intersection(*(product.free_from for product in products))
    return tuple(sorted(claim for claim in claims if not denied(claim, _contains(products))))


def denied(claim: str, allergens: Collection[str]) -> bool:
    """Return whether one of *allergens* makes a free-from *claim* untrue."""
    return not _CLAIM_DENIED_BY.get(claim, frozenset()).isdisjoint(allergens)


def _other_ingredients(products: Iterable[ProductFacts]) -> tuple[str, ...]:
    spelled: dict[str, str] = {}
    for product in products:
        for name in product.panel.other_ingredients if product.panel else ():
            # The smaller spelling wins, so that the order of the products does not matter.
            spelled[name.casefold()] = min(name, spelled.get(name.casefold(), name))
    return tuple(spelled[key] for key in sorted(spelled))


def _notes(per_day: PackFacts, inside: Sequence[Intake], externals: Sequence[ProductFacts]) -> Iterator[str]:
    if any(row.diet_based for row in per_day.rows):
        yield CALORIE_NOTE
    if any(row.daily_value == NO_DAILY_VALUE for row in per_day.rows):
        yield NO_DAILY_VALUE_NOTE
    silent = {item.product.product_id: item.product for item in inside if item.product.panel is None}
    for product_id in sorted(silent):
        yield f"{silent[product_id].name} declares no supplement facts and is not part of the totals."
    if externals:
        yield EXTERNAL_NOTE


def _external_wire(product: ProductFacts) -> dict[str, object]:
    return {
        "productId": product.product_id,
        "name": product.name,
        "external": True,
        "countedInTotals": False,
        "supplementFactsPanel": product.panel.to_wire() if product.panel else None,
        "contains": sorted(product.contains_allergens),
        "freeFrom": sorted(claim for claim in product.free_from if not denied(claim, product.contains_allergens)),
    }


def _duplicates(shares: Iterable[_Share]) -> Iterator[FactsWarning]:
    for name, group in _by_ingredient(shares):
        products = _by_id(share.product for share in group)
        nutrient = group[0].nutrient
        if len(products) < 2 or (nutrient and nutrient.group is Group.MACRONUTRIENT):
            continue
        yield FactsWarning(
            FactsCode.NUTRIENT_DUPLICATED,
            f"{name} is in {len(products)} products: {_names(products)}.",
            tuple(products),
            {"nutrient": name, "products": [product.name for product in products.values()]},
        )


def _limits_exceeded(shares: Iterable[_Share]) -> Iterator[FactsWarning]:
    for _, group in _by_ingredient(share for share in shares if share.comparable):
        nutrient = group[0].nutrient
        limit = nutrient.upper_limit if nutrient else None
        if nutrient is None or limit is None:
            continue
        counted = [share for share in group if nutrients.counts_toward_limit(limit, share.label)]
        total = sum((share.amount for share in counted if share.amount), Fraction(0))
        if total > Fraction(limit.amount):
            products = _by_id(share.product for share in counted if share.amount)
            yield _limit_warning(nutrient, limit, total, products)


def _limit_warning(
    nutrient: Nutrient, limit: nutrients.UpperLimit, total: Fraction, products: Mapping[int, ProductFacts]
) -> FactsWarning:
    amount, unit = f"{_shown(total):f}", nutrient.label_unit
    level = f"{limit.amount:f} {unit}" + (f" ({limit.basis})" if limit.basis else "")
    fact = f"{nutrient.name} is {amount} {unit} a day, over the adults' upper limit of {level}"
    return FactsWarning(
        FactsCode.UPPER_LIMIT_EXCEEDED,
        f"{fact}: {_names(products)}.",
        tuple(products),
        {
            "nutrient": nutrient.name,
            "dailyTotal": amount,
            "upperLimit": f"{limit.amount:f}",
            "unit": unit,
            "basis": limit.basis,
            "products": [product.name for product in products.values()],
        },
    )


def _allergens_present(products: Sequence[ProductFacts]) -> Iterator[FactsWarning]:
    for allergen in _contains(products):
        holding = _by_id(product for product in products if allergen in product.contains_allergens)
        yield FactsWarning(
            FactsCode.ALLERGENS_PRESENT,
            f"Contains {allergen.replace('_', ' ')}: {_names(holding)}.",
            tuple(holding),
            {"allergen": allergen, "products": [product.name for product in holding.values()]},
        )


def _stimulants_late(items: Sequence[Intake]) -> Iterator[FactsWarning]:
    for slot in (Slot.EVENING, Slot.SLEEP):
        late = _by_id(item.product for item in items if item.product.stimulant and item.pills(slot) > 0)
        for product_id, product in late.items():
            pills = sum(item.pills(slot) for item in items if item.product.product_id == product_id)
            yield FactsWarning(
                FactsCode.STIMULANT_LATE,
                f"{product.name} is a stimulant and is in the {slot} pack.",
                (product_id,),
                {"slot": slot.value, "pills": pills, "products": [product.name]},
            )


def _by_ingredient(shares: Iterable[_Share]) -> Iterator[tuple[str, Sequence[_Share]]]:
    by_name: dict[str, list[_Share]] = {}
    for share in shares:
        by_name.setdefault(share.ingredient, []).append(share)
    for name in sorted(by_name, key=lambda name: _ingredient_order(name, by_name[name][0].nutrient)):
        yield name, by_name[name]


def _ingredient_order(name: str, nutrient: Nutrient | None) -> tuple[bool, int, str, str]:
    position = nutrients.panel_position(nutrient) if nutrient else 0
    return nutrient is None, position, name.casefold(), name


def _by_id(products: Iterable[ProductFacts]) -> dict[int, ProductFacts]:
    found = {product.product_id: product for product in products}
    return {product_id: found[product_id] for product_id in sorted(found)}


def _names(products: Mapping[int, ProductFacts]) -> str:
    return ", ".join(product.name for product in products.values())


def _shown(exact: Fraction) -> Decimal:
    value = Decimal(exact.numerator) / Decimal(exact.denominator)
    rounded = value.quantize(_SHOWN_PLACES, ROUND_HALF_UP).normalize()
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral_value() else rounded


def _line_issues(place: int, line: Ingredient) -> Iterator[PanelIssue]:
    pointer = f"/ingredients/{place}"
    nutrient = nutrients.find_nutrient(line.name)
    if nutrient is None:
        yield from _unknown_nutrient(pointer, line)
        return
    if line.amount is None:
        message = f"{nutrient.name} has no amount; it can't be hidden in a blend."
        yield PanelIssue(PanelIssueCode.AMOUNT_MISSING, f"{pointer}/amount", message)
        return
    amount = nutrients.in_nutrient_unit(nutrient, line.name, line.amount, line.unit)
    if amount is None:
        message = f"{line.unit or 'no unit'} of {line.name!r} can't be turned into {nutrient.label_unit}."
        yield PanelIssue(PanelIssueCode.UNIT_NOT_COMPARABLE, f"{pointer}/unit", message, nutrient.label_unit)
        return
    if nutrient.qualifier and " " not in (line.unit or "").strip() and (line.unit or "").casefold() != "iu":
        message = f"State {nutrient.name} as {nutrient.label_unit}, not as {line.unit}."
        yield PanelIssue(PanelIssueCode.UNIT_UNQUALIFIED, f"{pointer}/unit", message, nutrient.label_unit)
    yield from _percent_issues(f"{pointer}/dailyValue", nutrient, Fraction(amount), line.daily_value)


def _unknown_nutrient(pointer: str, line: Ingredient) -> Iterator[PanelIssue]:
    if "%" not in (line.daily_value or ""):
        return
    names = {name.casefold(): name for name in nutrients.known_names()}
    close = [names[key] for key in get_close_matches(nutrients.bare_name(line.name), names, n=1, cutoff=0.8)]
    hint = f"; did you mean {close[0]!r}?" if close else "."
    message = f"{line.name!r} declares {line.daily_value}, but no daily value goes by that name{hint}"
    yield PanelIssue(PanelIssueCode.NUTRIENT_UNKNOWN, f"{pointer}/name", message, close[0] if close else None)


def _percent_issues(pointer: str, nutrient: Nutrient, amount: Fraction, declared: str | None) -> Iterator[PanelIssue]:
    if nutrient.daily_value is None:
        if declared is not None and "%" in declared:
            expected = NO_DAILY_VALUE if nutrient.unit else None
            message = f"No daily value is established for {nutrient.name}, but {declared} is declared."
            yield PanelIssue(PanelIssueCode.DAILY_VALUE_WRONG, pointer, message, expected)
        return
    expected = nutrients.percent_text(amount, nutrient.daily_value)
    stated = declared if declared and "%" in declared else None
    if nutrient.quality_corrected and (stated is None or _points(stated) <= _points(expected)):
        return
    if stated is None:
        message = f"{nutrient.name} has a daily value: {expected} is missing."
        yield PanelIssue(PanelIssueCode.DAILY_VALUE_MISSING, pointer, message, expected)
    elif stated.replace(",", "") != expected:
        yield from _wrong_percent(pointer, nutrient, amount, stated, expected)


def _wrong_percent(
    pointer: str, nutrient: Nutrient, amount: Fraction, stated: str, expected: str
) -> Iterator[PanelIssue]:
    former = nutrient.former_daily_value
    if former is not None and stated.replace(",", "") == nutrients.percent_text(amount, former):
        message = f"{nutrient.name} declares {stated}, by the daily values before 2016; now it is {expected}."
        yield PanelIssue(PanelIssueCode.DAILY_VALUE_OUTDATED, pointer, message, expected)
    elif abs(_points(stated) - _points(expected)) > _TOLERATED_POINTS:
        message = f"{nutrient.name} declares {stated}, but the amount is {expected} of the daily value."
        yield PanelIssue(PanelIssueCode.DAILY_VALUE_WRONG, pointer, message, expected)


def _points(percent: str) -> int:
    return 0 if percent.startswith("<") else int(percent.rstrip("%").replace(",", ""))


def _repeated(ingredients: Sequence[Ingredient]) -> Iterator[PanelIssue]:
    seen: set[str] = set()
    for place, line in enumerate(ingredients):
        if line.name.casefold() in seen:
            pointer, message = f"/ingredients/{place}/name", f"{line.name!r} stands on the panel twice."
            yield PanelIssue(PanelIssueCode.INGREDIENT_REPEATED, pointer, message)
        seen.add(line.name.casefold())


def _out_of_order(ingredients: Sequence[Ingredient]) -> Iterator[PanelIssue]:
    highest, before = -1, ""
    for place, line in enumerate(ingredients):
        nutrient = nutrients.find_nutrient(line.name)
        if nutrient is None or nutrient.group is Group.OTHER:
            continue
        position = nutrients.panel_position(nutrient)
        if position < highest:
            message = f"{nutrient.name} belongs before {before} (21 CFR 101.36)."
            yield PanelIssue(PanelIssueCode.NUTRIENTS_OUT_OF_ORDER, f"/ingredients/{place}", message)
        else:
            highest, before = position, nutrient.name


def _panel(raw: object, pointer: str, faults: list[FieldError]) -> FactsPanel | None:
    if not isinstance(raw, dict):
        faults.append(FieldError(pointer, "Must be an object."))
        return None
    body = cast(dict[str, object], raw)
    size = body.get("servingSize")
    if not isinstance(size, int) or isinstance(size, bool) or size not in _SERVINGS:
        faults.append(FieldError(f"{pointer}/servingSize", "Must be a whole number from 1 to 100."))
        size = 1
    others = _list(body.get("otherIngredients", []), f"{pointer}/otherIngredients", faults)
    lines = _list(body.get("ingredients", []), f"{pointer}/ingredients", faults)
    return FactsPanel(
        size,
        _serving_type(body.get("type"), f"{pointer}/type", faults),
        tuple(_text(item, f"{pointer}/otherIngredients/{at}", faults) for at, item in enumerate(others)),
        tuple(_ingredient(item, f"{pointer}/ingredients/{at}", faults) for at, item in enumerate(lines)),
    )


def _ingredient(raw: object, pointer: str, faults: list[FieldError]) -> Ingredient:
    if not isinstance(raw, dict):
        faults.append(FieldError(pointer, "Must be an object."))
        return Ingredient("", None, None, None)
    line = cast(dict[str, object], raw)
    unit, daily = line.get("unit"), line.get("dailyValue")
    if daily is not None and not (isinstance(daily, str) and _DAILY_VALUE.fullmatch(daily)):
        faults.append(FieldError(f"{pointer}/dailyValue", "Must be a percentage like 278% or <1%, ** or null."))
        daily = None
    return Ingredient(
        _text(line.get("name"), f"{pointer}/name", faults),
        _amount(line.get("amount"), f"{pointer}/amount", faults),
        None if unit is None else _text(unit, f"{pointer}/unit", faults),
        daily,
    )


def _amount(raw: object, pointer: str, faults: list[FieldError]) -> Decimal | None:
    if raw is None:
        return None
    if isinstance(raw, str) and _AMOUNT.fullmatch(raw):
        return Decimal(raw)
    faults.append(FieldError(pointer, 'Must be a decimal string like "12.5", with up to six places, or null.'))
    return None


def _serving_type(raw: object, pointer: str, faults: list[FieldError]) -> ServingType | None:
    if raw is None:
        return None
    if isinstance(raw, str) and raw in _SERVING_TYPES:
        return ServingType(raw)
    faults.append(FieldError(pointer, f"Must be one of {', '.join(ServingType)}."))
    return None


def _list(raw: object, pointer: str, faults: list[FieldError]) -> list[object]:
    if isinstance(raw, list):
        return cast(list[object], raw)
    faults.append(FieldError(pointer, "Must be a list."))
    return []


def _text(raw: object, pointer: str, faults: list[FieldError]) -> str:
    if isinstance(raw, str) and raw.strip():
        return raw
    faults.append(FieldError(pointer, "Must be a text that is not empty."))
    return ""
