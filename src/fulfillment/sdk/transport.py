"""What both clients need of httpx2. Imported when a client is made: it takes longer than all the rest."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypedDict

import httpx2

from .errors import ConnectionFailed, Timeout
from .exchange import Answer, Send

_OURS: Final[ContextVar[bool]] = ContextVar("juniper_fulfillment_request", default=False)


class _QuietUrls(logging.Filter):
    """Drop httpx2's request lines of our own calls: their URLs carry searches, and so customers' names."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everybody else's lines pass."""
        return not _OURS.get()


logging.getLogger("httpx2").addFilter(_QuietUrls())


@contextmanager
def quietly() -> Generator[None]:
    """Keep the URLs of requests made inside out of the log."""
    mark = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(mark)


class Options(TypedDict):
    """How one attempt is sent."""

    headers: dict[str, str]
    content: bytes | None
    timeout: httpx2.Timeout
    follow_redirects: bool


def options(request: Send) -> Options:
    """Return how an attempt is sent. No redirect is followed: it could carry credentials elsewhere."""
    seconds = request.timeout_seconds  # a connection that takes more than five will not come
    return {
        "headers": dict(request.headers),
        "content": request.content,
        "timeout": httpx2.Timeout(seconds, connect=min(5.0, seconds)),
        "follow_redirects": False,
    }


def answer(response: httpx2.Response) -> Answer:
    """Return a response as the exchange reads it."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


def failure(error: httpx2.RequestError, request: Send) -> ConnectionFailed:
    """Return the failure an error of httpx2 stands for. Names the operation, not the URL."""
    kind = type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        return Timeout(f"{request.operation}: no answer within {request.timeout_seconds:.1f} s ({kind})")
    return ConnectionFailed(f"{request.operation}: no answer ({kind})")
