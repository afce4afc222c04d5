"""What an expected failure is: a kind, a stable code, a title, and what the caller may be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What went wrong, from the caller's side. `infra.web` turns each kind into one HTTP status."""

    MALFORMED = "malformed"  # not even readable: broken JSON, a header out of shape
    INVALID = "invalid"  # the request is wrong: change it, then send it again
    UNAUTHENTICATED = "unauthenticated"  # we do not know who asks
    FORBIDDEN = "forbidden"  # we know who asks, and may say that the thing exists
    NOT_FOUND = "not_found"  # it does not exist, or not for this caller
    NOT_ALLOWED = "not_allowed"  # the path exists, the method does not
    CONFLICT = "conflict"  # a right request at a wrong moment: read the state, then decide
    TOO_LARGE = "too_large"  # more bytes than we read
    UNSUPPORTED = "unsupported"  # a content type we do not read
    LIMITED = "limited"  # too many requests: wait
    UNAVAILABLE = "unavailable"  # our side: send it again, later


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of a request."""

    pointer: str  # JSON Pointer into the body ("/lineItems/0/quantity"), or a parameter's name
    message: str  # one sentence for the caller
    code: str | None = None  # set where one request can carry faults of several codes


class FulfillmentError(Exception):
    """An expected failure. Anything else that is raised is a bug and becomes a bare 500.

    Args:
        detail: One sentence for the caller: what is wrong here and what to do about it. No personal data.
        errors: Every fault found, not just the first.
        extra: Further members of the problem document (JSON values), such as the allowed moves.
        retry_after_seconds: When it makes sense to try again.
        context: What only we may see. Logged beside the error, never sent.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]  # stable, snake_case: programs branch on it
    title: ClassVar[str]  # the same for every error of this class

    def __init_subclass__(cls) -> None:
        for name in ("kind", "code", "title"):
            if not hasattr(cls, name):
                raise TypeError(f"{cls.__name__} must set {name!r}")

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        retry_after_seconds: int | None = None,
        **context: object,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.extra: Mapping[str, object] = extra or {}
        self.retry_after_seconds = retry_after_seconds
        self.context = context


class ValidationFailed(FulfillmentError):
    """The request is readable but wrong in one or more places; all of them are named."""

    kind = Kind.INVALID
    code = "validation_failed"
    title = "The request is not valid"


class Unavailable(FulfillmentError):
    """Our side can't answer at the moment; nothing was done."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"
    title = "Temporarily unavailable"
