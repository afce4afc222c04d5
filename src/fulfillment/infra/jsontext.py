"""Reading JSON as strictly as the standard allows: one meaning for each text, or a clear refusal."""

import json
from json.encoder import encode_basestring
from typing import Any, Final, NoReturn

from fulfillment.kernel.errors import FulfillmentError, Kind

_WHOLE: Final = 2.0**63


class MalformedJson(FulfillmentError):
    """The body is not JSON that has one meaning."""

    kind = Kind.MALFORMED
    code = "malformed_json"
    title = "The body is not valid JSON"


def read(body: bytes) -> Any:
    """Return the value of a UTF-8 JSON text.

    Raises:
        MalformedJson: It is empty, not UTF-8, not JSON, nested too deep, names a key twice, or holds NaN, Infinity,
            a lone surrogate or a NUL character.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise MalformedJson("The body is nested too deep.") from None
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise MalformedJson(f"The body is not valid JSON: {reason}{where}.") from None
    # PostgreSQL's text can't hold NUL, and UTF-8 can't hold half a surrogate pair; both can only come by an escape.
    if "\\u" in text and _unstorable(value):
        raise MalformedJson("The body holds a NUL character or half a surrogate pair, which no text can hold.")
    return value


def write(value: object) -> bytes:
    """Return *value* as compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()


def quoted(text: str) -> str:
    """Return *text* as a JSON string."""
    return encode_basestring(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object names a key twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _number(text: str) -> int | float:
    # JSON has one kind of number: 2.0 is 2.
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def _unstorable(value: object) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\x00" in item or any("\ud800" <= character <= "\udfff" for character in item):
                return True
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # `json.dumps` would make one each time
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_number)
