"""What one logical call is, and how a method declared once serves both the sync and the async client.

A method of `operations` only describes its call. `operation` and `paged` turn that description into a method
that answers directly on `Client` and gives an awaitable on `AsyncClient`, with the same parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload
from urllib.parse import quote
from uuid import uuid4

from .codec import Json, Model, WireMismatch, encode
from .models import Page

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One logical call: it stays the same over all its attempts.

    Args:
        operation: The contract's operationId, or ours where the contract is silent.
        read: Turns the parsed answer (None when empty) into the method's result; raises WireMismatch.
        repeatable: Doing it twice has the effect of doing it once, so that it may be sent again.
        key: The Idempotency-Key; it makes any call repeatable.
    """

    operation: str
    method: str
    path: str = field(repr=False)
    read: Callable[[Any], T] = field(repr=False)
    params: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    body: object = field(default=None, repr=False)
    key: str | None = None
    repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether the call can be sent again when nobody knows if the first attempt had its effect."""
        return self.repeatable or self.key is not None

    def query(self) -> dict[str, Any]:
        """Return the query parameters that were given, as text."""
        given = {name: encode(value) for name, value in self.params.items() if value is not None}
        return {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}

    def at(self, cursor: str) -> Self:
        """Return the call for the page that starts at *cursor*."""
        return replace(self, params={**self.params, "cursor": cursor})


def get(operation: str, path: str, read: Callable[[Any], T], **params: object) -> Call[T]:
    """Describe a call that changes nothing."""
    return Call(operation, "GET", path, read, params, repeatable=True)


def create(
    operation: str, path: str, read: Callable[[Any], T], body: object, key: str | None, **params: object
) -> Call[T]:
    """Describe a POST that the server makes repeatable by its Idempotency-Key; without one, make one.

    Raises:
        ValueError: The key is empty or longer than 255 characters.
    """
    if key is not None and not 1 <= len(key) <= 255:
        raise ValueError("an idempotency key has 1 to 255 characters")
    return Call(operation, "POST", path, read, params, body, key=key or str(uuid4()))


def segment(value: str | int) -> str:
    """Return an id as one segment of a path.

    Raises:
        ValueError: It is empty, or would change which path is meant.
    """
    text = str(value)
    if text in {"", ".", ".."}:
        raise ValueError("an id is missing")
    return quote(text, safe="")


def nothing(answer: Any) -> None:
    """Read an answer without content."""
    del answer


def loose(answer: Any) -> Json:
    """Read an object whose shape may still grow. An empty answer is an empty object."""
    if answer is None:
        return {}
    if not isinstance(answer, Mapping):
        raise WireMismatch("the answer is not an object")
    return cast("Json", answer)


def page_of(read: Callable[[Any], T], member: str) -> Callable[[Any], Page[T]]:
    """Read a page whose rows are in *member*, or are the bare answer."""

    def read_page(answer: Any) -> Page[T]:
        if isinstance(answer, list):
            return Page(_rows(cast("list[object]", answer), read))
        envelope = loose(answer)
        rows = envelope.get(member)
        if not isinstance(rows, list):
            raise WireMismatch(f"{member} is not an array")
        cursor = envelope.get("cursor")
        return Page(_rows(cast("list[object]", rows), read), cursor if isinstance(cursor, str) else None, envelope)

    return read_page


def list_of(read: Callable[[Any], T], member: str) -> Callable[[Any], tuple[T, ...]]:
    """Read all rows of an answer that has no pages."""
    read_page = page_of(read, member)
    return lambda answer: read_page(answer).items


def _rows(rows: list[object], read: Callable[[Any], T]) -> tuple[T, ...]:
    return tuple(read(row) for row in rows)


class SyncRunner(ABC):
    """Carries out calls and blocks until the answer is there."""

    @abstractmethod
    def run(self, call: Call[T]) -> T:
        """Carry out one call."""

    def walk(self, call: Call[Page[T]]) -> Iterator[T]:
        """Go through the items of all pages, fetching each page when it is reached."""
        while True:
            page = self.run(call)
            yield from page
            if page.cursor is None or not page.items:  # a feed's last cursor leads to an empty page
                return
            call = call.at(page.cursor)


class AsyncRunner(ABC):
    """Carries out calls and lets other tasks run meanwhile."""

    @abstractmethod
    async def run(self, call: Call[T]) -> T:
        """Carry out one call."""

    async def walk(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """Go through the items of all pages, fetching each page when it is reached."""
        while True:
            page = await self.run(call)
            for item in page:
                yield item
            if page.cursor is None or not page.items:  # a feed's last cursor leads to an empty page
                return
            call = call.at(page.cursor)


class operation(Generic[P, T]):  # noqa: N801 - a decorator
    """Make a method that describes a call into one that carries it out."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncRunner, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncRunner, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: SyncRunner | AsyncRunner | None, owner: type) -> Any:
        """Bind the operation to a client."""
        return self if client is None else _bound(self._describe, client, client.run)


class paged(Generic[P, T]):  # noqa: N801 - a decorator
    """Make a method that describes the call for a first page into one that goes through all pages."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[Page[T]]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncRunner, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncRunner, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: SyncRunner | AsyncRunner | None, owner: type) -> Any:
        """Bind the iterator to a client."""
        return self if client is None else _bound(self._describe, client, client.walk)


def _bound(describe: Callable[..., Any], client: object, carry_out: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return carry_out(describe(client, *args, **kwargs))

    # Bound, so that help() and inspect show the parameters without self.
    return update_wrapper(method, MethodType(describe, client))
