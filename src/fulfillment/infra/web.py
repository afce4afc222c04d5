"""HTTP around the rooms: problems, request ids, limits, and the two ways an operation is mounted."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fulfillment.infra import jsontext
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.infra.metrics import Metrics
from fulfillment.infra.patterns import EXPLAINED
from fulfillment.infra.protocol import WHOLE, write_whole
from fulfillment.infra.telemetry import TRACE
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind, ValidationFailed
from fulfillment.kernel.ids import new_id

M = TypeVar("M", bound=BaseModel)

STATUS_OF: Final[Mapping[Kind, int]] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ALLOWED: 405,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.INVALID: 422,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
_BODY_SECONDS: Final = 20.0  # a whole body must have arrived by then
_PATIENT_SECONDS: Final = 1.0  # so long a body is waited for even where others need the room
_AWAITED: Final = "fulfillment.awaited"  # in a scope: the bodies that the process waits for, oldest first
_MAX_HEADER_BYTES: Final = 32 * 1024
_MAX_HEADERS: Final = 100
_MAX_FAULTS: Final = (
    100  # named in one answer: a body of nothing but faults must not be answered with ten times its size
)
_log = logging.getLogger(__name__)


class PathNotFound(FulfillmentError):
    """Nothing is at this path."""

    kind = Kind.NOT_FOUND
    code = "path_not_found"
    title = "No such path"


class MethodNotAllowed(FulfillmentError):
    """The path is served, the method is not."""

    kind = Kind.NOT_ALLOWED
    code = "method_not_allowed"
    title = "Method not allowed"


class UnsupportedMediaType(FulfillmentError):
    """The body is of a type that this operation does not read."""

    kind = Kind.UNSUPPORTED
    code = "unsupported_media_type"
    title = "Unsupported media type"


class BodyTooLarge(FulfillmentError):
    """The body has more bytes than we read."""

    kind = Kind.TOO_LARGE
    code = "body_too_large"
    title = "The body is too large"


class BodyTooSlow(FulfillmentError):
    """The body did not arrive in time."""

    kind = Kind.MALFORMED
    code = "body_too_slow"
    title = "The body did not arrive in time"


class HeadersTooLarge(FulfillmentError):
    """The headers are more or larger than we read."""

    kind = Kind.MALFORMED
    code = "headers_too_large"
    title = "The headers are too large"


class HostUnknown(FulfillmentError):
    """The Host header is not one of ours, or there are two."""

    kind = Kind.MALFORMED
    code = "host_unknown"
    title = "Unknown host"


class Overloaded(FulfillmentError):
    """More requests are under way than this process takes on."""

    kind = Kind.UNAVAILABLE
    code = "overloaded"
    title = "Too many requests at once"


class InternalError(FulfillmentError):
    """A fault of ours. The request id finds it in our log."""

    kind = Kind.UNAVAILABLE
    code = "internal_error"
    title = "Internal error"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hot operation gives back: bytes, as they go out."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(slots=True)
class Call:
    """One request, as a hot operation sees it."""

    scope: Scope
    receive: Receive
    env: Env
    request_id: str
    path_id: str = ""  # what stands behind the route's prefix
    caller: Caller | None = None
    template: str = "unmatched"
    context: dict[str, object] = field(default_factory=dict[str, object])
    answer_headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    last: bool = False  # the connection ends after the answer: this process is stopping
    answered: bool = False  # the answer is on its way

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a header (lower-case *name*), or None."""
        for key, value in self.scope["headers"]:
            if key == name:
                return value
        return None

    def headers(self, name: bytes) -> list[bytes]:
        """Return every value of a header (lower-case *name*)."""
        return [value for key, value in self.scope["headers"] if key == name]

    async def json(self) -> Any:
        """Return the body's JSON value.

        Raises:
            UnsupportedMediaType: It is not application/json.
            BodyTooLarge: It is over the limit.
            MalformedJson: It is not JSON.
        """
        check_content_type(self.header(b"content-type"))
        return jsontext.read(await read_body(self.scope, self.receive, self.env.settings.max_body_bytes))

    def query(self, known: Iterable[str]) -> dict[str, str]:
        """Return the query parameters; each at most once, none unknown.

        Raises:
            ValidationFailed: A parameter is unknown or repeated.
        """
        return read_query(self.scope["query_string"], known)


HotHandler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class HotRoute:
    """An operation served around the framework, because a measurement showed that it pays (docs/decisions/0005)."""

    method: str
    path: str  # as in the contract; at most one {parameter}, at the end
    handler: HotHandler
    suffix: str = ""  # what follows the parameter: /v1/orders/{orderId}/cancel


def check_content_type(value: bytes | None) -> None:
    """Accept application/json, in UTF-8.

    Raises:
        UnsupportedMediaType: It is anything else.
    """
    if value == b"application/json":
        return
    kind, _, parameters = (value or b"").decode("latin-1").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"') if "charset=" in parameters else "utf-8"
    if kind.strip() != "application/json" or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType("Send the body as application/json in UTF-8.")


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        BodyTooLarge: It has more than *limit* bytes; reading stops there.
        BodyTooSlow: It took longer than 20 seconds, or the room was needed.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise _too_large(limit)
    if WHOLE in scope:
        return await _collect(receive, limit)
    awaited: dict[asyncio.Timeout, None] = scope.get(_AWAITED, {})
    try:
        async with asyncio.timeout(_BODY_SECONDS) as patience:
            awaited[patience] = None
            try:
                return await _collect(receive, limit)
            finally:
                awaited.pop(patience, None)
    except TimeoutError:
        raise BodyTooSlow("The body did not arrive in time: send it at once.") from None


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body may have {limit} bytes at most.")


async def _collect(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class ClientGone(Exception):
    """The client closed the connection before its request was whole; nobody is there to answer."""


def read_query(query_string: bytes, known: Iterable[str]) -> dict[str, str]:
    """Return the query's parameters by name.

    Raises:
        ValidationFailed: A parameter is unknown, repeated or not UTF-8; all are named.
    """
    if not query_string:
        return {}
    names = set(known)
    found: dict[str, str] = {}
    faults: list[FieldError] = []
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise ValidationFailed("The query string is not readable.") from None
    for name, value in pairs:
        if name not in names:
            faults.append(FieldError(name, "This operation has no such parameter."))
        elif name in found:
            faults.append(FieldError(name, "Give this parameter once."))
        elif "\x00" in value:
            faults.append(FieldError(name, "It holds a NUL character."))
        else:
            found[name] = value
    if faults:
        raise ValidationFailed("The query has unknown or unreadable parameters.", errors=faults)
    return found


def read_model(model: type[M], value: object) -> M:
    """Return *value* as *model*.

    Raises:
        ValidationFailed: Every field that is wrong, with its JSON Pointer.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ValidationFailed(
            "The request is not valid.", errors=faults_of(error.errors(include_input=False, include_url=False))
        ) from None


def faults_of(errors: Iterable[Any]) -> list[FieldError]:
    """Return Pydantic's findings as ours: pointers into the body, or the parameter's name."""
    faults: list[FieldError] = []
    for error in errors:
        location = list(error["loc"])
        place = location.pop(0) if location and location[0] in {"body", "query", "path", "header"} else "body"
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "string_pattern_mismatch":
            message = EXPLAINED.get(error["ctx"]["pattern"], message)
        faults.append(FieldError(pointer(location) if place == "body" else str(location[-1]), message))
    return faults


def pointer(location: Iterable[object]) -> str:
    """Return a JSON Pointer (RFC 6901) of *location*."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def problem(error: FulfillmentError, request_id: str, status: int | None = None) -> Answer:
    """Return the RFC 9457 document of *error*."""
    code = STATUS_OF[error.kind] if status is None else status
    body: dict[str, object] = {
        "type": f"/docs/errors#{error.code}",
        "title": error.title,
        "status": code,
        "code": error.code,
        "detail": error.detail,
        "requestId": request_id,
    }
    if error.errors:
        body["errors"] = [
            {"pointer": fault.pointer, "message": fault.message} | ({"code": fault.code} if fault.code else {})
            for fault in error.errors[:_MAX_FAULTS]
        ]
    body.update(error.extra)
    headers: list[tuple[bytes, bytes]] = list(cast("Sequence[tuple[bytes, bytes]]", error.context.get("headers", ())))
    if isinstance(error, BodyTooSlow | HeadersTooLarge):
        headers.append(_CLOSE)
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    challenge = error.context.get("challenge")
    if isinstance(challenge, str):
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    return Answer(code, jsontext.write(body), b"application/problem+json", headers)


class StrictRequest(Request):
    """A request whose JSON is read strictly and whose body is bounded."""

    async def body(self) -> bytes:
        """Return the body, within the limits."""
        if not hasattr(self, "_body"):
            env: Env = self.app.state.env
            self._body = await read_body(self.scope, self.receive, env.settings.max_body_bytes)
        return self._body

    async def json(self) -> Any:
        """Return the body's JSON value."""
        if not hasattr(self, "_json"):
            self._json = jsontext.read(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A FastAPI route that refuses what it does not know: parameters, types of body, ambiguous JSON."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the handler around FastAPI's own."""
        handle = super().get_route_handler()
        known = frozenset(_parameters(self.dependant))
        reads_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            request.scope["fulfillment.template"] = _template(request.scope["path"], self.path_format)
            read_query(request.scope["query_string"], known)
            asked = StrictRequest(request.scope, request.receive)
            if reads_json:
                content_type = request.headers.get("content-type")
                has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
                if content_type is not None or has_body:
                    check_content_type(content_type.encode("latin-1") if content_type else None)
                if has_body:
                    await (
                        asked.json()
                    )  # here, since the framework turns whatever reading raises into an error of its own
            return await handle(asked)

        return strict


def _parameters(asked: Dependant) -> Iterator[str]:
    """Yield the names of the query's parameters, those of dependencies too."""
    yield from (parameter.alias for parameter in asked.query_params)
    for dependency in asked.dependencies:
        yield from _parameters(dependency)


def _template(path: str, route: str) -> str:
    # A route knows its path below the routers it is included in: what stands before it in the request is their prefix.
    return (path.rsplit("/", route.count("/"))[0] if route else path) + route


class Front:
    """The outermost ASGI application: ids, limits, hot routes, problems, headers, one log line a request.

    Args:
        inner: The framework's application, for everything that is not hot.
        env: The outside world.
        hot: The operations served around the framework.
        allowed: Gives the methods of a path, for 405; empty when nothing is there.
    """

    def __init__(
        self,
        inner: ASGIApp,
        env: Env,
        hot: Sequence[HotRoute],
        allowed: Callable[[str], Sequence[str]],
        *,
        access_log: AccessLog,
        metrics: Metrics,
        observe: Callable[[Call, int, float], None] | None = None,
    ) -> None:
        self._inner = inner
        self._env = env
        self._exact = {(route.method, route.path): route for route in hot if "{" not in route.path}
        self._prefixed = [
            (route.method, route.path[: route.path.index("{")], route.suffix, route)
            for route in hot
            if "{" in route.path
        ]
        self._allowed = allowed
        self._access_log = access_log
        self._metrics = metrics
        self._observe = observe
        self._hosts = _hosts(env)
        self.in_flight = 0
        self.draining = False
        self._awaited: dict[asyncio.Timeout, None] = {}
        self.document: Mapping[str, Any] = {}  # the served OpenAPI document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter()
        call = Call(scope, receive, self._env, new_id(self._env.now()))
        scope["fulfillment.call"] = call
        scope[_AWAITED] = self._awaited
        if TRACE in scope:
            call.context["trace_id"] = scope[TRACE]
        status = 500
        self.in_flight += 1
        try:
            status = await self._serve(call, send)
        finally:
            self._leave(call)
            seconds = time.perf_counter() - began
            self._access_log.write(call, status, seconds)
            self._metrics.observe_request(call.template, scope["method"], status, seconds)
            if self._observe is not None:
                self._observe(call, status, seconds)

    async def _serve(self, call: Call, send: Send) -> int:
        try:
            self._refuse_the_unreadable(call)
            route = self._find(call)
            if route is None:
                return await self._framework(call, send)
            call.template = route.path + route.suffix
            answer = await route.handler(call)
        except FulfillmentError as error:
            call.context["code"] = error.code
            call.context.update(_logged(error))
            answer = problem(error, call.request_id)
        except ClientGone:
            return _CLIENT_GONE
        except Exception as error:
            answer = self.unexpected(call, error)
        call.last = self.draining
        self._leave(call)
        await _send_answer(answer, call, send)
        return answer.status

    def _leave(self, call: Call) -> None:
        # An answer that only waits to be read takes nobody's place: who asks and reads nothing would keep others out.
        if not call.answered:
            call.answered = True
            self.in_flight -= 1

    def _find(self, call: Call) -> HotRoute | None:
        method, path = call.scope["method"], call.scope["path"]
        if method == "HEAD":
            method = "GET"
        route = self._exact.get((method, path))
        if route is not None:
            return route
        for wanted, prefix, suffix, candidate in self._prefixed:
            if wanted == method and path.startswith(prefix) and path.endswith(suffix):
                parameter = path[len(prefix) : len(path) - len(suffix)]
                if parameter and "/" not in parameter and not (suffix == "" and parameter in _RESERVED):
                    call.path_id = parameter
                    return candidate
        return None

    def _refuse_the_unreadable(self, call: Call) -> None:
        headers = call.scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(headers) > _MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > _MAX_HEADER_BYTES:
            raise HeadersTooLarge("Send at most 100 headers of 32 KiB in all.")
        if len(hosts) != 1 or (self._hosts and _name_of(hosts[0]) not in self._hosts):
            raise HostUnknown("Send exactly one Host header that names this service.")
        crowded = self.in_flight > self._env.settings.max_in_flight and call.scope["path"] not in _ALWAYS
        if crowded and not self._makes_room():
            self._metrics.count("fulfillment_requests_shed_total")
            raise Overloaded("The service is busy. Try again.", retry_after_seconds=1)

    def _makes_room(self) -> bool:
        """Give up the body that is waited for longest, and say whether there was one.

        Nobody has to prove who they are before they send a body by the byte to the token endpoint: some hundreds of
        those would otherwise be all that a process does.
        """
        oldest = next(iter(self._awaited), None)
        now = asyncio.get_running_loop().time()
        until = oldest.when() if oldest is not None else None
        if oldest is None or until is None or until - now > _BODY_SECONDS - _PATIENT_SECONDS:
            return False
        del self._awaited[oldest]
        oldest.reschedule(now)
        return True

    async def _framework(self, call: Call, send: Send) -> int:
        status, started = 500, False
        scope, head = call.scope, call.scope["method"] == "HEAD"
        if head:
            scope = dict(scope, method="GET")

        async def relay(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                self._leave(call)
                headers = [*message["headers"], *_standing_headers(call)]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_NOT_KEPT)
                if self.draining or (status >= 400 and _may_go_on(call)):
                    headers.append(_CLOSE)
                message = dict(message, headers=headers)
            elif head:
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        try:
            await self._inner(scope, call.receive, relay)
        except Exception:
            # The framework answers what it did not expect, by `framework_error`, and raises it all the same.
            if not started:
                raise
        call.template = scope.get("fulfillment.template", call.template)
        return status

    def unexpected(self, call: Call, error: Exception) -> Answer:
        """Return the bare 500 of a fault of ours, and log where it was raised."""
        # The exception's text may hold personal data: its type and where it was raised are enough to find the fault.
        _log.error(
            "request.failed",
            extra={"request_id": call.request_id, "error": type(error).__name__, "trace": _frames(error)},
        )
        call.context["code"] = InternalError.code
        fault = InternalError("Something went wrong on our side. Tell us the request id.")
        return problem(fault, call.request_id, 500)

    def refuse_path(self, path: str, served: Sequence[str] = ()) -> FulfillmentError:
        """Return why nothing answered at *path*: no such path, or not this method; *served* are those of a page."""
        methods = self._allowed(path) or served
        if not methods:
            return PathNotFound("Nothing is at this path. See /docs for what is.")
        return MethodNotAllowed(f"This path answers {', '.join(methods)}.", allow=", ".join(methods))


_ANSWERED: Final = frozenset({"challenge", "allow", "headers"})  # of an error's context: what the answer says
_ALWAYS: Final = frozenset({"/livez", "/readyz"})
_RESERVED: Final = frozenset({"preview", "bulk"})  # paths beside /orders/{orderId}
_CLIENT_GONE: Final = 499  # for the log: nobody is there to read it
_PROBLEM: Final = "application/problem+json"
_CLOSE: Final = (b"connection", b"close")
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_DIGITS_OF_A_SMALL_BODY: Final = 5  # up to 99,999 bytes the server reads what is left and goes on
_STANDING: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


def _hosts(env: Env) -> frozenset[bytes]:
    names = set(env.settings.allowed_hosts)
    if not names and not env.settings.sandbox and env.settings.public_url:
        names = {re.sub(r"^https?://", "", env.settings.public_url).split("/")[0].split(":")[0]}
    return frozenset(name.lower().encode() for name in names)


def _name_of(host: bytes) -> bytes:
    name, colon, port = host.lower().rpartition(b":")
    return name if colon and not port.endswith(b"]") else host.lower()  # [::1] has colons and no port


def _standing_headers(call: Call) -> list[tuple[bytes, bytes]]:
    return [(b"x-request-id", call.request_id.encode()), *_STANDING, *call.answer_headers]


def _may_go_on(call: Call) -> bool:
    # A refusal may leave before the body has arrived. Where that can take long or never end, the connection is closed.
    for name, value in call.scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and len(value) > _DIGITS_OF_A_SMALL_BODY):
            return True
    return False


def _logged(error: FulfillmentError) -> dict[str, object]:
    return {key: value for key, value in error.context.items() if key not in _ANSWERED}


def _frames(error: BaseException) -> list[str]:
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/src/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames[-12:]


async def _send_answer(answer: Answer, call: Call, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        _NOT_KEPT,
        (b"x-request-id", call.request_id.encode()),
        *_STANDING,
        *answer.headers,
        *call.answer_headers,
    ]
    if call.last or (answer.status >= 400 and _may_go_on(call)):
        headers.append(_CLOSE)
    if write_whole(send, answer.status, headers, answer.body):
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if call.scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


def framework_error(request: Request, error: Exception) -> Response:
    """Return the problem of whatever left a FastAPI route as an exception."""
    call: Call = request.scope["fulfillment.call"]
    if isinstance(error, RequestValidationError):
        error = ValidationFailed("The request is not valid.", errors=faults_of(error.errors()))
    elif isinstance(error, HTTPException):
        front: Front = request.app.state.front
        # The pages of the site are not in the document: of them the framework knows which methods there are.
        pages = (error.headers or {}).get("Allow", "") if error.status_code == STATUS_OF[Kind.NOT_ALLOWED] else ""
        error = front.refuse_path(request.scope["path"], sorted(filter(None, pages.split(", "))))
    if isinstance(error, ClientGone):
        return Response(status_code=_CLIENT_GONE)
    if not isinstance(error, FulfillmentError):
        answer = request.app.state.front.unexpected(call, error)
        return Response(answer.body, answer.status, {"cache-control": "no-store"}, media_type=_PROBLEM)
    call.context["code"] = error.code
    call.context.update(_logged(error))
    answer = problem(error, call.request_id)
    headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
    if isinstance(error.context.get("allow"), str):
        headers["allow"] = str(error.context["allow"])
    headers["cache-control"] = "no-store"
    return Response(answer.body, answer.status, headers, media_type=_PROBLEM)
