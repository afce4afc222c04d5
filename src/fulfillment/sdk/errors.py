"""Everything the SDK raises on purpose.

``str()`` and ``repr()`` of an error name codes, JSON Pointers and the request id, and never what the server
wrote in free text: a traceback that ends in a log then holds no customer's data. The text is in ``detail``
and ``errors``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast


class JuniperError(Exception):
    """Any failure this SDK reports."""


class ConfigurationError(JuniperError, ValueError):
    """The client was set up with something missing or malformed."""


class ConnectionFailed(JuniperError):
    """No answer came: the server can't be reached, or it went away before it answered."""


class Timeout(ConnectionFailed):
    """No answer came in time. The call may or may not have had its effect."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of a request."""

    pointer: str  # JSON Pointer into the request body ("/lineItems/0/quantity"), or a parameter's name
    message: str
    code: str | None = None

    def __repr__(self) -> str:
        """Leave out the message: it may quote what was sent."""
        return f"FieldError(pointer={self.pointer!r}, code={self.code!r})"


class ApiError(JuniperError):
    """The server answered, and refused.

    Args:
        status: The HTTP status.
        code: Stable and machine-readable; programs branch on it.
        title: The same for every error of the code.
        detail: One sentence about this failure.
        request_id: What support asks for.
        errors: Every fault of the request, each with its place.
        raw: The whole problem document.
        retry_after_seconds: When the server said it makes sense to try again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str = "",
        request_id: str | None = None,
        errors: tuple[FieldError, ...] = (),
        raw: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(status, code, title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.errors = errors
        self.raw: Mapping[str, Any] = raw or {}
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        """Name status, code, the places of the faults, and the request id."""
        places = f" at {', '.join(error.pointer for error in self.errors)}" if self.errors else ""
        return f"{self.status} {self.code}: {self.title}{places} (request id {self.request_id or 'unknown'})"

    def __repr__(self) -> str:
        """Show what ``str`` shows."""
        return f"<{type(self).__name__} {self}>"

    def explain(self) -> str:
        """Return the error with all the server said, one fault a line. For a person's eyes, not for a log."""
        faults = [f"  {error.pointer}: {error.message}" for error in self.errors]
        return "\n".join([str(self), *([self.detail] if self.detail else []), *faults])


class ValidationError(ApiError):
    """The request is wrong (400, 413, 415, 422): change it, then send it. ``errors`` has every fault."""


class UnknownProduct(ValidationError):
    """The catalogue has no such product."""


class ProductNotOrderable(ValidationError):
    """The product is not ACTIVE."""


class InvalidCursor(ValidationError):
    """The cursor is not one of this list with these filters. Start the list again."""


class IdempotencyKeyReused(ValidationError):
    """The idempotency key was used before with another body."""


class AuthenticationError(ApiError):
    """The credentials or the token are not accepted (401, or a refusal by the token endpoint)."""


class PermissionDenied(ApiError):
    """These credentials may not do this (403)."""


class NotFound(ApiError):
    """It does not exist, or it is not yours (404)."""


class WebhookNotConfigured(NotFound):
    """The partner's settings have no webhookUrl."""


class Conflict(ApiError):
    """A right request at a wrong moment (409): read the state, then decide."""


class InsufficientStock(Conflict):
    """Too little is left of a product; nothing was taken."""


class OrderNotCancellable(Conflict):
    """The order has entered processing, or is cancelled already."""


class IdempotencyInProgress(Conflict):
    """The first call with this idempotency key is still running."""


class RateLimited(ApiError):
    """Too many requests (429): wait ``retry_after_seconds``."""


class ServerError(ApiError):
    """The server's side failed (5xx): try again later."""


class UnexpectedAnswer(ApiError):
    """The answer is not what the contract promises, such as a proxy's page instead of JSON."""


BY_CODE: Final[Mapping[str, type[ApiError]]] = {
    "unknown_product": UnknownProduct,
    "product_not_orderable": ProductNotOrderable,
    "invalid_cursor": InvalidCursor,
    "idempotency_key_reused": IdempotencyKeyReused,
    "webhook_not_configured": WebhookNotConfigured,
    "insufficient_stock": InsufficientStock,
    "order_not_cancellable": OrderNotCancellable,
    "idempotency_in_progress": IdempotencyInProgress,
}
BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: ValidationError,
    415: ValidationError,
    422: ValidationError,
    429: RateLimited,
}


def from_answer(
    status: int, content: bytes, *, request_id: str | None, retry_after_seconds: float | None = None
) -> ApiError:
    """Return the error an answer stands for, whatever its body is."""
    raw = _document(content)
    code = _text(raw.get("code"))
    return _class_of(status, code)(
        status,
        code or f"http_{status}",
        _text(raw.get("title")) or _phrase(status),
        detail=_text(raw.get("detail")),
        request_id=_text(raw.get("requestId")) or request_id,
        errors=_field_errors(raw.get("errors")),
        raw=raw,
        retry_after_seconds=retry_after_seconds,
    )


def from_token_answer(status: int, content: bytes, *, request_id: str | None) -> ApiError:
    """Return the error a refusal by the token endpoint stands for.

    Source:
        RFC 6749, section 5.2: the code is in ``error``, the text in ``error_description``.
    """
    raw = _document(content)
    code = _text(raw.get("error")) or _text(raw.get("code"))
    refused = status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}
    error = AuthenticationError if refused else _class_of(status, code)
    return error(
        status,
        code or f"http_{status}",
        "The token endpoint refused the credentials" if refused else "The token endpoint gave no token",
        detail=_text(raw.get("error_description")) or _text(raw.get("detail")),
        request_id=_text(raw.get("requestId")) or request_id,
        raw=raw,
    )


def _class_of(status: int, code: str) -> type[ApiError]:
    by_status = BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    by_code = BY_CODE.get(code)
    # A known code under a foreign status is still what its status says: callers catch by family.
    return by_code if by_code and by_status in by_code.__mro__ else by_status


def _document(content: bytes) -> Mapping[str, Any]:
    try:
        found: object = json.loads(content)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


def _field_errors(found: object) -> tuple[FieldError, ...]:
    if not isinstance(found, list):
        return ()
    rows = cast("list[object]", found)
    return tuple(_field_error(cast("dict[str, object]", row)) for row in rows if isinstance(row, dict))


def _field_error(row: Mapping[str, object]) -> FieldError:
    return FieldError(_text(row.get("pointer")), _text(row.get("message")), _text(row.get("code")) or None)
