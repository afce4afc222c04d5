"""How dates, names, numbers and times of day are written on paper for readers in the United States."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from fulfillment.documents.model import Address

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SLOT_NAMES = {"morning": "Morning", "afternoon": "Afternoon", "evening": "Evening", "sleep": "Bedtime"}


def us_date(day: date) -> str:
    """Return a date as "Mar 14, 2027", whatever the machine's locale."""
    return f"{_MONTHS[day.month - 1]} {day.day}, {day.year}"


def slot_name(slot: str) -> str:
    """Return the contract's time of day as a reader knows it: "sleep" is "Bedtime"."""
    return _SLOT_NAMES.get(slot, slot.capitalize())


def short_name(full: str) -> str:
    """Return the first name and the initial of the last: a pouch lies around where others read it."""
    words = full.split()
    if len(words) < 2:
        return full.strip()
    return f"{words[0]} {words[-1][0]}."


def number(amount: Decimal | int) -> str:
    """Return a number with thousands set apart and no idle zeros: "1,000", "2.4"."""
    text = f"{Decimal(amount):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: Decimal) -> str:
    """Return a percent of the Daily Value in whole percents, "<1%" below one (21 CFR 101.36(b)(2)(iii))."""
    if 0 < share < 1:
        return "<1%"
    return f"{share.quantize(Decimal(1), ROUND_HALF_UP):,f}%"


def street_lines(address: Address) -> tuple[str, ...]:
    """Return the lines between the name and the city."""
    return tuple(line for line in (address.line1, address.line2) if line and line.strip())


def region(address: Address) -> str:
    """Return what follows the city: "CA 94103", and the country where it is another."""
    country = "" if address.country in ("US", "USA") else address.country
    return " ".join(part for part in (address.state, address.postal_code, country) if part)


def address_lines(address: Address) -> tuple[str, ...]:
    """Return the lines below the name, as the postal service reads them."""
    return (*street_lines(address), f"{address.city}, {region(address)}")


def count(quantity: int, unit: str) -> str:
    """Return "1 pill", "60 pills": *unit* is given in the plural."""
    return f"{number(quantity)} {unit.removesuffix('s') if quantity == 1 else unit}"
