"""What only the sandbox has: orders that move on request, and a clock of your own. NotFound in production."""

from datetime import datetime

from ..calls import Call, get, list_of, loose, operation, segment
from ..codec import Json
from ..models import OrderStatus


class Sandbox:
    """Operations that drive the sandbox."""

    @operation
    def advance_order(
        self,
        order_id: str,
        *,
        to: OrderStatus | str | None = None,
        steps: int | None = None,
        scenario: str | None = None,
    ) -> Call[Json]:
        """Move an order: to a status, by some steps, or through a scenario.

        Raises:
            ValueError: Not exactly one of the three was given.
        """
        given = {
            name: value for name, value in {"to": to, "steps": steps, "scenario": scenario}.items() if value is not None
        }
        if len(given) != 1:
            raise ValueError("give exactly one of to, steps and scenario")
        return Call("advanceOrder", "POST", f"/sandbox/orders/{segment(order_id)}/advance", loose, body=given)

    @operation
    def list_scenarios(self) -> Call[tuple[Json, ...]]:
        """Return the scenarios an order can be sent through, each with what it does."""
        return get("listScenarios", "/sandbox/scenarios", list_of(loose, "scenarios"))

    @operation
    def set_clock(self, frozen_at: datetime | str | None) -> Call[Json]:
        """Stop your account's clock at a moment; None lets it run with the world's again."""
        body = {"frozenAt": frozen_at}
        return Call("setClock", "POST", "/sandbox/clock", loose, body=body, repeatable=True)

    @operation
    def advance_clock(self, to: datetime | str) -> Call[Json]:
        """Move your account's clock forward; everything that falls due on the way happens."""
        return Call("advanceClock", "POST", "/sandbox/clock/advance", loose, body={"to": to})

    @operation
    def set_auto_advance(self, stage_seconds: float | None) -> Call[Json]:
        """Let your orders move by themselves, one stage every *stage_seconds*; None stops them."""
        body = {"stageSeconds": stage_seconds}
        return Call("setAutoAdvance", "PUT", "/sandbox/auto-advance", loose, body=body, repeatable=True)
