"""The contract's shape of a product, going out as text around two holes, coming in as rows of an import."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from fulfillment.catalog.domain import SLOTS, Form, Frozen, NewProduct, Offer, Product, ProductStatus
from fulfillment.infra.jsontext import write
from fulfillment.kernel.money import to_wire as money
from fulfillment.kernel.times import to_wire as moment

_LINE: Final = ("name", "amount", "unit", "dailyValue")
_MOST_ID: Final = 2**63 - 1
_MOST: Final = 2**31 - 1
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def freeze(product: Product) -> Frozen:
    """Return the product's JSON without price and stock, which differ by partner and moment."""
    usage = product.recommended_usage
    named: dict[str, object] = {
        "id": product.id,
        "name": product.name,
        "description": product.description,
        "packDescription": product.pack_description,
    }
    facts: dict[str, object] = {
        "external": product.external,
        "productImage": product.product_image,
        **({"recommendedUsage": dict(zip(SLOTS, usage, strict=True))} if usage else {}),
        "form": product.form,
        "certifications": product.certifications,
        "allergens": product.allergens,
        "containsAllergens": product.contains_allergens,
        "supplementFactsPanel": _panel(product.supplement_facts),
        "status": product.status,
    }
    return Frozen(
        f'{write(named).decode()[:-1]},"price":"',
        f'",{write(facts).decode()[1:-1]},"inventory":{{"available":',
        f',"unit":"{"unit" if product.external else "pill"}"}},"updatedAt":"{moment(product.updated_at)}"}}',
    )


def product_json(offer: Offer) -> str:
    """Return the contract's Product."""
    (head, middle, tail), price, available = offer
    return f"{head}{money(price)}{middle}{available}{tail}"


def products_json(offers: Sequence[Offer], cursor: str | None) -> str:
    """Return the contract's page of products."""
    shown = f'"{cursor}"' if cursor else "null"
    return f'{{"products":[{",".join(map(product_json, offers))}],"cursor":{shown}}}'


def ingredients_of(panel: Mapping[str, object] | None) -> list[str]:
    """Return the names of everything a facts panel lists."""
    if panel is None:
        return []
    lines = cast("Iterable[Mapping[str, str]]", panel.get("ingredients", ()))
    others = cast("Iterable[str]", panel.get("otherIngredients", ()))
    return [*(line["name"] for line in lines), *others]


def _panel(stored: Mapping[str, object] | None) -> dict[str, object] | None:
    # PostgreSQL's jsonb keeps its own order of members: put back the one that people read.
    if stored is None:
        return None
    lines = cast("Iterable[Mapping[str, object]]", stored.get("ingredients", ()))
    return {
        "servingSize": stored.get("servingSize"),
        **({"type": stored["type"]} if stored.get("type") else {}),
        "otherIngredients": stored.get("otherIngredients", []),
        "ingredients": [{name: line.get(name) for name in _LINE} for line in lines],
    }


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("It holds a control character.")
    return text


def _web_address(text: str) -> str:
    if re.fullmatch(r"https?://[^\s/]+(/\S*)?", text) is None:
        raise ValueError("It must be an http or https address.")
    return text


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("It names a value twice.")
    return values


_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_printable)
]
_Long = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), AfterValidator(_printable)]
_Tag = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Tags = Annotated[list[_Tag], Field(max_length=50), AfterValidator(_unique)]
_Terms = Annotated[list[_Text], Field(max_length=100)]
_Address = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)]
_Price = Annotated[str, StringConstraints(pattern=r"^\d{1,8}(\.\d{1,4})?$")]
_Pills = Annotated[int, Field(ge=0, le=100)]


class UsageIn(BaseModel):
    """Pills at each time of day."""

    model_config = ConfigDict(extra="forbid", strict=True)

    morning: _Pills
    afternoon: _Pills
    evening: _Pills
    sleep: _Pills


class ProductIn(BaseModel):
    """A row of an import: the contract's Product with its list price, and what only the catalogue knows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[int, Field(ge=1, le=_MOST_ID)]
    name: _Text
    listPrice: _Price  # dollars, a pill or a unit
    external: bool
    status: Annotated[ProductStatus, Field(strict=False)]
    description: _Long = ""
    packDescription: _Text | None = None
    productImage: _Address | None = None
    recommendedUsage: UsageIn | None = None
    form: Annotated[Form, Field(strict=False)] | None = None
    certifications: _Tags = []
    allergens: _Tags = []
    containsAllergens: _Tags = []
    stimulant: bool = False
    supplementFactsPanel: dict[str, Any] | None = None
    searchTerms: _Terms = []
    pillsPerDayLimit: Annotated[int, Field(ge=1, le=1000)] | None = None
    stock: Annotated[int, Field(ge=0, le=_MOST)] = 0  # pills or units; the demonstration's lots are made from it

    def to_new_product(self) -> NewProduct:
        """Return the product that the row describes."""
        usage = self.recommendedUsage
        return NewProduct(
            id=self.id,
            name=self.name,
            list_price=Decimal(self.listPrice),
            external=self.external,
            status=self.status,
            description=self.description,
            pack_description=self.packDescription,
            product_image=self.productImage,
            recommended_usage=(usage.morning, usage.afternoon, usage.evening, usage.sleep) if usage else None,
            form=self.form,
            certifications=tuple(self.certifications),
            allergens=tuple(self.allergens),
            contains_allergens=tuple(self.containsAllergens),
            stimulant=self.stimulant,
            supplement_facts=self.supplementFactsPanel,
            search_terms=tuple(self.searchTerms),
            pills_per_day_limit=self.pillsPerDayLimit,
        )
