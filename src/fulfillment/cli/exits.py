"""Exit statuses, and the sentence for each failure; docs/guides/cli.md lists them."""

import sys
from enum import IntEnum

from fulfillment.kernel.errors import FulfillmentError
from fulfillment.sdk import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    JuniperError,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
)


class Exit(IntEnum):
    """What a command's exit status says."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_LOGGED_IN = 3
    NOT_FOUND = 4
    NO_ANSWER = 5
    PARTLY = 6
    TIME_IS_UP = 7
    INTERRUPTED = 130


def explain(error: FulfillmentError | JuniperError) -> Exit:
    """Print what went wrong on standard error and return the exit status."""
    if isinstance(error, FulfillmentError):
        _say(f"{error.title}: {error.detail}", [(fault.pointer, fault.message) for fault in error.errors])
        return Exit.REFUSED
    if isinstance(error, ApiError):
        faults = [(fault.pointer, fault.message) for fault in error.errors]
        _say(": ".join(filter(None, (error.title, error.detail))), faults)
        _say(f"({error.status} {error.code}, request id {error.request_id or 'unknown'})", [])
    else:
        text = str(error)
        _say(text[:1].upper() + text[1:], [])
    return status_of(error)


def status_of(error: JuniperError) -> Exit:
    """Return the exit status that stands for *error*."""
    if isinstance(error, ConfigurationError | AuthenticationError | PermissionDenied):
        return Exit.NOT_LOGGED_IN
    if isinstance(error, NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, ConnectionFailed | RateLimited | ServerError):
        return Exit.NO_ANSWER
    return Exit.REFUSED


def _say(text: str, faults: list[tuple[str, str]]) -> None:
    print(text, file=sys.stderr)
    for place, message in faults:
        print(f"  {place}: {message}", file=sys.stderr)
