"""Traces, where an operator wants them: spans of requests and deliveries, over OpenTelemetry.

On when OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `otel` is installed; otherwise the application is handed on as
it is and a delivery costs one comparison. A span holds what the access log holds: the route's template, never a path, a
query or a body.
"""

import logging
import os
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRACE: Final = "fulfillment.trace"  # in an ASGI scope: the id of the request's trace
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_NOTHING: Final = nullcontext[Mapping[str, str]]({})
_log = logging.getLogger(__name__)


class _State:
    tracer: Any = None  # opentelemetry.trace.Tracer, once it is on


def configure(service: str) -> bool:
    """Switch traces on where the environment asks for them, and return whether they are.

    Args:
        service: What this process is called in them.
    """
    if not os.environ.get(_ENDPOINT):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning("telemetry.not_installed", extra={"install": "juniper-fulfillment[otel]"})
        return False
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)
    return True


def use(provider: Any) -> None:
    """Trace with *provider* (an OpenTelemetry TracerProvider); None switches traces off."""
    _State.tracer = None if provider is None else provider.get_tracer("fulfillment")


def traced(app: ASGIApp) -> ASGIApp:
    """Return *app* with a span around each request; *app* itself while traces are off."""
    tracer = _State.tracer
    if tracer is None:
        return app
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id

    async def traced_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        given = {name: value.decode("latin-1") for name, value in _trace_headers(scope)}
        method = scope["method"]
        # An exception's text can quote a row: it is not recorded, and the front answers it anyway.
        with tracer.start_as_current_span(
            method, context=extract(given), kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            scope[TRACE] = format_trace_id(span.get_span_context().trace_id)
            await app(scope, receive, watched)
            call = scope["fulfillment.call"]
            span.update_name(f"{method} {call.template}")
            span.set_attributes(
                {
                    "http.request.method": method,
                    "http.route": call.template,
                    "http.response.status_code": status,
                    "fulfillment.request_id": call.request_id,
                    "fulfillment.partner_id": call.caller.partner_id if call.caller else "",
                }
            )
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))

    return traced_app


def outgoing(name: str, **attributes: str) -> AbstractContextManager[Mapping[str, str]]:
    """Return a block that is a span, and gives the headers that tell the other side of it; {} while traces are off."""
    if _State.tracer is None:
        return _NOTHING
    return _outgoing(_State.tracer, name, attributes)


@contextmanager
def _outgoing(tracer: Any, name: str, attributes: Mapping[str, str]) -> Generator[Mapping[str, str]]:
    from opentelemetry.propagate import inject
    from opentelemetry.trace import SpanKind

    with tracer.start_as_current_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ):
        headers: dict[str, str] = {}
        inject(headers)
        yield headers


def _trace_headers(scope: Scope) -> Generator[tuple[str, bytes]]:
    for name, value in scope["headers"]:
        if name in (b"traceparent", b"tracestate"):
            yield name.decode(), value
