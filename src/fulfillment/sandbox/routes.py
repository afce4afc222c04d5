"""HTTP for the sandbox; mounted in the sandbox environment only."""

from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import Response

from fulfillment.infra import jsontext
from fulfillment.infra.web import StrictRoute, read_model
from fulfillment.oauth.http import CallDep, CallerDep, EnvDep
from fulfillment.orders.routes import read_order_id
from fulfillment.sandbox import clocks, domain, service, wire

router: Final = APIRouter(prefix="/sandbox", tags=["Sandbox"], route_class=StrictRoute)


def _answer(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": sorted(properties), "properties": properties}
    return {"200": {"description": description, "content": {"application/json": {"schema": schema}}}}


def _body(model: Any) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


_MOMENT: Final = {"type": "string", "format": "date-time"}
_MAYBE_MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}
_CLOCK: Final = {
    "frozenAt": _MAYBE_MOMENT,
    "now": _MOMENT,
    "seed": {"type": ["string", "null"]},
    "stageSeconds": {"type": ["integer", "null"]},
}
_STEP: Final = {"type": "string", "enum": [step.value for step in domain.StepName]}
_SCENARIO_NAME: Final = {"type": "string", "enum": [scenario.value for scenario in domain.Scenario]}
_MADE: Final = {
    "type": "object",
    "required": ["step", "outcome", "at"],
    "properties": {
        "step": _STEP,
        "outcome": {"type": "string", "description": "done, unchanged, held or refused"},
        "at": _MOMENT,
        "code": {"type": "string", "description": "Of the refusal that the scenario is about"},
    },
}
_MAGIC: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("field", "value", "effect")},
}
_SCENARIO: Final = {
    "type": "object",
    "required": ["name", "description", "steps", "magicValues"],
    "properties": {
        "name": _SCENARIO_NAME,
        "description": {"type": "string"},
        "steps": {"type": "array", "items": _STEP},
        "magicValues": {"type": "array", "items": _MAGIC},
    },
}
_ADVANCE: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "to": {"type": "string", "enum": ["PROCESSING", "FULFILLED", "AWAITING_SHIPMENT", "SHIPPED"]},
        "steps": {"type": "integer", "minimum": 1, "maximum": domain.MOST_STEPS},
        "scenario": _SCENARIO_NAME,
    },
    "minProperties": 1,
    "maxProperties": 1,
}


@router.get(
    "/scenarios",
    operation_id="listScenarios",
    response_class=Response,
    openapi_extra={"responses": _answer("The scenarios", {"scenarios": {"type": "array", "items": _SCENARIO}})},
)
async def list_scenarios(caller: CallerDep) -> Response:
    """Return the scenarios an order can be sent through, their steps, and the values that trigger them."""
    return _json({"scenarios": [domain.as_json(scenario) for scenario in domain.Scenario]})


@router.post(
    "/orders/{orderId}/advance",
    operation_id="advanceOrder",
    response_class=Response,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ADVANCE}}},
        "responses": _answer(
            "The order, and what was done",
            {
                "order": {"$ref": "#/components/schemas/Order"},
                "scenario": _SCENARIO_NAME,
                "made": {"type": "array", "items": _MADE},
                "next": {"type": ["string", "null"], "description": "The step that comes next"},
            },
        ),
    },
)
async def advance_order(call: CallDep, caller: CallerDep, orderId: str) -> Response:  # noqa: N803
    """Move an order now: to a status, by some steps of its scenario, or through a scenario to its end."""
    asked = read_model(wire.AdvanceIn, await call.json())
    moved = await service.advance_order(
        call.env, caller, read_order_id(orderId), to=asked.to, steps=asked.steps, scenario=asked.scenario
    )
    return _raw(wire.moved_json(moved))


@router.put(
    "/auto-advance",
    operation_id="setAutoAdvance",
    response_class=Response,
    openapi_extra={
        "requestBody": _body(wire.AutoAdvanceIn),
        "responses": _answer("As it is now", {"stageSeconds": {"type": ["integer", "null"]}}),
    },
)
async def set_auto_advance(call: CallDep, caller: CallerDep) -> Response:
    """Let your orders move by themselves, one step every stageSeconds; null stops them."""
    asked = read_model(wire.AutoAdvanceIn, await call.json())
    partner = await service.set_auto_advance(call.env, caller, asked.stageSeconds)
    return _json({"stageSeconds": partner.auto_advance_seconds})


@router.get(
    "/clock",
    operation_id="getClock",
    response_class=Response,
    openapi_extra={"responses": _answer("Your clock", _CLOCK)},
)
async def get_clock(env: EnvDep, caller: CallerDep) -> Response:
    """Return where your clock stands."""
    partner, state = await clocks.get_clock(env, caller)
    return _json(wire.clock_json(partner, state, env.now()))


@router.post(
    "/clock",
    operation_id="setClock",
    response_class=Response,
    openapi_extra={"requestBody": _body(wire.ClockIn), "responses": _answer("Your clock", _CLOCK)},
)
async def set_clock(call: CallDep, caller: CallerDep) -> Response:
    """Stop your time at a moment; null lets it run with the world's again."""
    asked = read_model(wire.ClockIn, await call.json())
    partner, state = await clocks.set_clock(call.env, caller, asked.frozenAt, asked.seed)
    return _json(wire.clock_json(partner, state, call.env.now()))


@router.post(
    "/clock/advance",
    operation_id="advanceClock",
    response_class=Response,
    openapi_extra={
        "requestBody": _body(wire.ClockAdvanceIn),
        "responses": _answer(
            "What happened on the way",
            {
                "frozenAt": _MOMENT,
                "completed": {"type": "boolean", "description": "false: send the same request again to go on"},
                "steps": {"type": "integer"},
                "deliveries": {"type": "integer", "description": "Attempts to deliver webhooks"},
            },
        ),
    },
)
async def advance_clock(call: CallDep, caller: CallerDep) -> Response:
    """Move your clock forward; everything that falls due on the way happens, in the order of time."""
    asked = read_model(wire.ClockAdvanceIn, await call.json())
    return _json(wire.advanced_json(await clocks.advance_clock(call.env, caller, asked.to)))


@router.put(
    "/webhook-faults",
    operation_id="setWebhookFaults",
    response_class=Response,
    openapi_extra={
        "requestBody": _body(wire.FaultsIn),
        "responses": _answer(
            "The faults from now on",
            {
                "drop": {"type": "number"},
                "duplicate": {"type": "number"},
                "delaySeconds": {"type": "number"},
                "reorder": {"type": "boolean"},
                "seed": {"type": "integer"},
            },
        ),
    },
)
async def set_webhook_faults(call: CallDep, caller: CallerDep) -> Response:
    """Let your webhooks go wrong on the way: lost, late, twice, or out of order."""
    faults = read_model(wire.FaultsIn, await call.json()).model_dump()
    await service.set_webhook_faults(call.env, caller, faults)
    return _json(faults)


@router.delete("/webhook-faults", operation_id="clearWebhookFaults", status_code=204)
async def clear_webhook_faults(env: EnvDep, caller: CallerDep) -> None:
    """Let your webhooks arrive as they should again."""
    await service.set_webhook_faults(env, caller, None)


def _json(value: object) -> Response:
    return _raw(jsontext.write(value))


def _raw(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})
