"""The sandbox's shapes."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)

from fulfillment.infra import jsontext
from fulfillment.kernel.times import to_wire as moment
from fulfillment.orders.domain import OrderStatus
from fulfillment.orders.wire import Whole, order_json
from fulfillment.partners.domain import Partner
from fulfillment.sandbox import domain
from fulfillment.sandbox.domain import Advanced, Made, Scenario, State
from fulfillment.sandbox.service import Moved


def _text_only(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("Input should be a moment such as 2026-01-01T00:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_text_only)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AutoAdvanceIn(_In):
    """How fast orders move by themselves."""

    stageSeconds: Annotated[Whole, Field(ge=1, le=domain.LONGEST_STAGE_SECONDS)] | None = Field(
        description="Between two steps; null stops them"
    )


class ClockIn(_In):
    """Where the clock is to stand."""

    frozenAt: Moment | None = Field(description="null: time runs with the world's again")
    seed: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="Of everything that is left to chance; default: your partner id and the moment"
    )


class ClockAdvanceIn(_In):
    """Where the clock is to go."""

    to: Moment


class AdvanceIn(_In):
    """How an order is to move: exactly one of the three."""

    to: OrderStatus | None = None
    steps: Annotated[Whole, Field(ge=1, le=domain.MOST_STEPS)] | None = None
    scenario: Scenario | None = None

    @model_validator(mode="after")
    def one_of_three(self) -> Self:
        """Refuse none or several."""
        if [getattr(self, name) is None for name in self.model_fields_set] != [False]:
            raise ValueError("Give exactly one of: to, steps, scenario")
        return self


class FaultsIn(_In):
    """What is to go wrong with deliveries."""

    drop: Annotated[float, Strict(), Field(ge=0, le=1, description="The share of attempts that never arrive")] = 0.0
    duplicate: Annotated[float, Strict(), Field(ge=0, le=1, description="The share of attempts that arrive twice")] = (
        0.0
    )
    delaySeconds: Annotated[
        float, Strict(), Field(ge=0, le=86_400, description="How late deliveries leave; in real time 20 at most")
    ] = 0.0
    reorder: Annotated[bool, Strict(), Field(description="Later events of an order may overtake earlier ones")] = False
    seed: Annotated[Whole, Field(ge=0, le=2**31 - 1)] = 0


def clock_json(partner: Partner, state: State | None, now: datetime) -> dict[str, Any]:
    """Return a partner's clock."""
    return {
        "frozenAt": moment(partner.clock_frozen_at) if partner.clock_frozen_at else None,
        "now": moment(partner.clock_frozen_at or now),
        "seed": state.seed if state and partner.clock_frozen_at else None,
        "stageSeconds": partner.auto_advance_seconds,
    }


def advanced_json(advanced: Advanced) -> dict[str, Any]:
    """Return what an advance of the clock led to."""
    return {
        "frozenAt": moment(advanced.frozen_at),
        "completed": advanced.completed,
        "steps": advanced.steps,
        "deliveries": advanced.deliveries,
    }


def moved_json(moved: Moved) -> bytes:
    """Return an order after a request moved it."""
    rest = jsontext.write(
        {
            "scenario": moved.scenario.value,
            "made": [made_json(made) for made in moved.made],
            "next": moved.next.value if moved.next else None,
        }
    )
    return b'{"order":' + order_json(moved.order).encode() + b"," + rest[1:]


def made_json(made: Made) -> dict[str, Any]:
    """Return a step that was made."""
    return {
        "step": made.step.value,
        "outcome": made.outcome,
        "at": moment(made.at),
        **({"code": made.code} if made.code else {}),
    }
