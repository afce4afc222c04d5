"""What a day's packs hold, whether a line may be ordered so, and how many pills that takes: pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fulfillment.catalog.domain import Orderable
from fulfillment.kernel.errors import FieldError
from fulfillment.orders.domain import Administration, Draft, DraftLine


class Line(NamedTuple):
    """A line that may be made: its product is orderable, its pills are placed in the day."""

    product: Orderable
    quantity: int  # pills a day, or units
    pack_description: str | None
    administration: Administration | None

    def amount(self, days_supply: int) -> int:
        """Return the pills (pack) or units (external) the whole order takes."""
        return self.quantity if self.product.external else self.quantity * days_supply


def check_lines(
    lines: Sequence[tuple[int, DraftLine]], catalog: Mapping[int, Orderable]
) -> tuple[list[Line], list[FieldError]]:
    """Return the lines that may be made, and every fault of those that may not.

    Args:
        lines: With their places in the request.
        catalog: Every product by id.
    """
    made: list[Line] = []
    faults: list[FieldError] = []
    for place, line in lines:
        product = catalog.get(line.product_id)
        found = _product_faults(place, product, line.product_id)
        if product is not None:
            administration, placing = _placed(place, line, product)
            found.extend(placing)
            if not found:
                made.append(Line(product, line.quantity, line.pack_description, administration))
        faults.extend(found)
    return made, faults


def demand(lines: Sequence[Line], draft: Draft) -> dict[int, int]:
    """Return the pills or units of each product, summed over all lines."""
    needed: dict[int, int] = {}
    for line in lines:
        needed[line.product.id] = needed.get(line.product.id, 0) + line.amount(draft.days_supply)
    return needed


def _product_faults(place: int, product: Orderable | None, product_id: int) -> list[FieldError]:
    at = f"/lineItems/{place}/productId"
    if product is None:
        return [FieldError(at, f"There is no product {product_id}.", "unknown_product")]
    if product.status != "ACTIVE":
        return [
            FieldError(
                at, f"The product is {product.status}; only ACTIVE ones can be ordered.", "product_not_orderable"
            )
        ]
    return []


def _placed(place: int, line: DraftLine, product: Orderable) -> tuple[Administration | None, list[FieldError]]:
    at = f"/lineItems/{place}"
    given = line.administration
    if product.external:
        if given is not None and given.total != 0:
            return None, [
                FieldError(f"{at}/administration", "An external item is not part of the packs: leave it out.")
            ]
        return given, []
    faults: list[FieldError] = []
    if not line.pack_description:
        faults.append(FieldError(f"{at}/packDescription", "A pack item needs a packDescription."))
    if given is not None:
        if given.total != line.quantity:
            faults.append(
                FieldError(
                    f"{at}/administration",
                    f"Its four numbers must add up to the quantity {line.quantity}; they add up to {given.total}.",
                )
            )
        return given, faults
    usage = Administration(*product.recommended_usage) if product.recommended_usage else Administration()
    if usage.total != line.quantity:
        faults.append(
            FieldError(
                f"{at}/administration",
                f"It is needed here: the recommended usage is {usage.total} pills a day, the quantity {line.quantity}.",
            )
        )
    return usage, faults
