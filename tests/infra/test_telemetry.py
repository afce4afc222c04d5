"""Traces: off they cost nothing, on they tell of requests and deliveries what the log tells, and no more."""

import io
import json
import sys
from collections.abc import Generator

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fulfillment.app import create_app
from fulfillment.infra import telemetry
from fulfillment.infra.env import Env
from fulfillment.infra.logs import AccessLog
from fulfillment.partners import service as partners
from fulfillment.webhooks.delivering import deliver_due
from tests.receivers import Receiver, answering
from tests.world import World

pytestmark = pytest.mark.anyio

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"  # the W3C's example
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture
def spans() -> Generator[InMemorySpanExporter]:
    """Traces on, kept in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.use(provider)
    yield exporter
    telemetry.use(None)


async def test_off_by_default(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint the application is handed on as it is, and nothing of OpenTelemetry is imported for it."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    front = create_app(env)

    assert telemetry.configure("test") is False
    assert telemetry.traced(front) is front
    with telemetry.outgoing("anything") as headers:
        assert headers == {}


def test_asked_for_and_not_installed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint without the extra is said in the log, and the service runs."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    assert telemetry.configure("test") is False
    assert "telemetry.not_installed" in caplog.text


async def test_a_request_is_a_span_of_its_callers_trace(env: Env, world: World, spans: InMemorySpanExporter) -> None:
    """The span goes on with the caller's trace, is named by the template, and its id is in the log line."""
    stream = io.StringIO()
    log = AccessLog(stream)
    transport = httpx2.ASGITransport(app=telemetry.traced(create_app(env, access_log=log)))
    caller = await world.partner()
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        headers = await world.headers(caller) | {"traceparent": PARENT}
        answer = await client.get("/v1/orders/0ujsswThIGTUYm2K8FjOOfXtY1K?secret=canary", headers=headers)
    log.flush()

    [span] = spans.get_finished_spans()
    assert span.name == "GET /v1/orders/{orderId}"
    assert format(span.context.trace_id, "032x") == TRACE_ID
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/orders/{orderId}",
        "http.response.status_code": answer.status_code,
        "fulfillment.request_id": answer.headers["x-request-id"],
        "fulfillment.partner_id": caller.partner_id,
    }
    assert json.loads(stream.getvalue())["trace_id"] == TRACE_ID
    assert "canary" not in span.to_json()


async def test_a_delivery_carries_its_trace(env: Env, world: World, spans: InMemorySpanExporter) -> None:
    """A webhook has a traceparent header that names the span of its delivery; without traces it has none."""
    caller = await world.partner()
    with Receiver(answering(200)) as receiver:
        await partners.update_settings(env, caller, {"webhook_url": receiver.url})
        await world.order(caller)
        await deliver_due(env, caller.partner_id)
        telemetry.use(None)
        await world.order(caller)
        await deliver_due(env, caller.partner_id)

    [span] = [each for each in spans.get_finished_spans() if each.name == "webhook.delivery"]
    sent = [{name.lower(): value for name, value in each.headers.items()} for each in receiver.requests]
    assert sent[0]["traceparent"].split("-")[1] == format(span.context.trace_id, "032x")
    assert "traceparent" not in sent[1]
