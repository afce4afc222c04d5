"""Who walks over schemathesis' links from operation to operation, with good requests and with generated ones."""

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import hypothesis
import schemathesis
from hypothesis import strategies
from schemathesis.config import SchemathesisConfig
from schemathesis.core import NOT_SET
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import CONTAINER_TO_LOCATION, ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.core.transforms import UNRESOLVABLE
from schemathesis.engine.observations import Observations
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation.case import Case
from schemathesis.generation.modes import GenerationMode
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput, Transition
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.expressions import MultiMatch
from schemathesis.specs.openapi.schemas import OpenApiSchema
from schemathesis.specs.openapi.stateful import collect_transitions, into_step_input
from schemathesis.specs.openapi.stateful.links import OpenApiLink

from tests.contract.test_schemathesis import CONFIG, ELSEWHERE
from tests.judges.hands import NEEDS, STATES, Hands, a_body, a_path, a_query

# Whose operations are not the client's: an "include" would be undone by what CONFIG says of one operation.
_OTHERS: Final = {"partner": "^/operator", "operator": "^(?!/operator)"}
_SETTINGS: Final = """
base-url = "{url}/v1"

[generation]
allow-x00 = false
"""
_DEEPEST: Final = 8  # steps of one walk
_Operation = APIOperation[Any, Any, Any, Any]
_Case = Case[Any]
_MODES: Final = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@dataclass(slots=True)
class Followed:
    """What came of one link."""

    link: OpenApiLink
    good: Counter[int] = field(default_factory=Counter[int])  # answers to good requests, by status
    wild: Counter[int] = field(default_factory=Counter[int])  # answers to generated ones
    from_state: str = "CREATED"  # of the order that the last good request began with
    why_not: str = "there was no time"

    @property
    def times(self) -> int:
        """Return how often it was followed."""
        return self.good.total() + self.wild.total()

    @property
    def succeeded(self) -> bool:
        """Say whether what it leads to was done."""
        return any(status < 300 for status in self.good)


class Walker:
    """Walks one client's links."""

    def __init__(self, document: dict[str, Any], url: str, role: str, hands: Hands, seed: int) -> None:
        self.role = role
        self.findings: list[str] = []
        self.steps = 0
        self._hands = hands
        self._random = random.Random(seed)
        self._call: dict[str, Any] = {
            "headers": {"Authorization": hands.tokens[role]},
            "timeout": 40,
        }
        self._seen: set[str] = set()
        self._barren: set[tuple[str, str, str]] = set()  # sources that from a state don't answer with a status
        self._observed = Observations()
        config = SchemathesisConfig.from_str(_SETTINGS.format(url=url) + CONFIG)
        schema = schemathesis.openapi.from_dict(document, config=config)
        own = schema.exclude(path_regex=_OTHERS[role]).exclude(path_regex=ELSEWHERE)
        self._schema = cast("OpenApiSchema", own)
        self._schema.apply_stateful_inference(None)
        self._look_around(self._operations())
        self._schema.apply_stateful_inference(self._observed)
        self.all = self._links()

    def _operations(self) -> dict[str, _Operation]:
        return {found.ok().label: found.ok() for found in self._schema.get_all_operations() if isinstance(found, Ok)}

    def _links(self) -> dict[str, Followed]:
        transitions = collect_transitions(list(self._operations().values()))
        return {link.full_name: Followed(link) for each in transitions.operations.values() for link in each.outgoing}

    def _look_around(self, operations: Mapping[str, _Operation]) -> None:
        """Ask everything once: from the addresses in the answers schemathesis draws more links."""
        for operation in operations.values():
            recorder = ScenarioRecorder(label="look around", config=self._schema.config.output)
            self._send(recorder, StepInput.initial(self._good_case(operation, NEEDS.get(operation.label, "CREATED"))))
            if operation.label != "GET /request-log":  # its paths are what was asked just now, other ones each time
                self._observed.extract_observations_from(recorder)

    def follow_all(self, until: float) -> None:
        """Follow each link with a good request, from what its target wants, until one succeeds or nothing is left."""
        for followed in self.all.values():
            source, target = followed.link.source.label, followed.link.target.label
            states = [NEEDS.get(target), NEEDS.get(source), "CREATED", *STATES]
            for state in dict.fromkeys(one for one in states if one is not None):
                if followed.succeeded or time.monotonic() > until:
                    break
                self._follow_once(followed, state)

    def _follow_once(self, followed: Followed, state: str) -> None:
        link = followed.link
        start = (link.source.label, link.status_code, state)
        if start in self._barren:
            return
        recorder = ScenarioRecorder(label="a link", config=self._schema.config.output)
        case = self._good_case(link.source, state, partly=link.status_code == "207")
        output = self._send(recorder, StepInput.initial(case))
        if not _is_source(link, output):
            self._barren.add(start)
            followed.why_not = f"its source answers {output.response.status_code}"
            return
        step = self._good_step(link, output, state)
        if step is None:
            followed.why_not = "its source's answer has no such value"
            return
        answer = self._send(recorder, step)
        followed.good[answer.response.status_code] += 1
        followed.from_state = state

    def wander(self, until: float) -> None:
        """Walk with generated requests, always over a link that was followed least, until the time is up."""
        outgoing: defaultdict[str, list[Followed]] = defaultdict(list)
        for followed in self.all.values():
            outgoing[followed.link.source.label].append(followed)
        while time.monotonic() < until:
            least = min(one.wild.total() for one in self.all.values() if one.good)
            first = self._random.choice([one for one in self.all.values() if one.good and one.wild.total() == least])
            self._walk(first, outgoing, until)

    def _walk(self, first: Followed, outgoing: Mapping[str, Sequence[Followed]], until: float) -> None:
        recorder = ScenarioRecorder(label="a walk", config=self._schema.config.output)
        case = self._good_case(first.link.source, first.from_state, partly=first.link.status_code == "207")
        output = self._send(recorder, StepInput.initial(case))
        tried: set[str] = set()
        for _ in range(_DEEPEST):
            if time.monotonic() > until:
                return
            ready = [
                one
                for one in outgoing[output.case.operation.label]
                if one.link.full_name not in tried
                and _is_source(one.link, output)
                and _values(one.link.extract(output), self._random)
            ]
            if not ready:
                return
            chosen = min(ready, key=lambda one: (one is not first, one.wild.total(), self._random.random()))
            tried.add(chosen.link.full_name)
            answer = self._wild_step(recorder, chosen, output)
            if answer.response.status_code < 300:
                output = answer

    def _wild_step(self, recorder: ScenarioRecorder, followed: Followed, output: StepOutput) -> StepOutput:
        inputs = into_step_input(target=followed.link.target, link=followed.link, modes=_MODES)
        step = _draw(inputs(output), self._random.randrange(2**32))
        if isinstance(step.case.query.get("wait"), int):
            step.case.query["wait"] = 0  # a feed that waits as it is asked to would take all the time
        answer = self._send(recorder, step)
        if step.is_applied:
            followed.wild[answer.response.status_code] += 1
        return answer

    def _good_case(self, operation: _Operation, state: str, *, partly: bool = False) -> _Case:
        path = a_path(self._hands, self.role, operation.label, state, {})
        query = a_query(self._hands, self.role, operation.label, state)
        return _case(operation, path, query, a_body(operation.label, state, path.get("orderId"), partly=partly))

    def _good_step(self, link: OpenApiLink, output: StepOutput, state: str) -> StepInput | None:
        transition = link.extract(output)
        values = _values(transition, self._random)
        if values is None:
            return None
        label = link.target.label
        path = a_path(self._hands, self.role, label, state, values["path_parameters"])
        query = values["query"] or a_query(self._hands, self.role, label, state)
        body = a_body(label, state, path.get("orderId"))
        if "body" in values:
            body = _merged(body, values["body"])
        applied = [
            (CONTAINER_TO_LOCATION[container], name)
            for container, parameters in transition.parameters.items()
            for name in parameters
        ]
        whole: list[tuple[ParameterLocation, str | None]] = [(ParameterLocation.BODY, None)] if "body" in values else []
        return StepInput(_case(link.target, path, query, body), transition, [*applied, *whole])

    def _send(self, recorder: ScenarioRecorder, step: StepInput) -> StepOutput:
        """Send a step's request and let schemathesis check the answer."""
        case, transition = step.case, step.transition
        recorder.record_case(
            case=case,
            parent_id=transition.parent_id if transition else None,
            transition=transition,
            is_transition_applied=step.is_applied,
        )
        self.steps += 1
        response = case.call(**self._call)
        recorder.record_response(case_id=case.id, response=response)
        try:
            case.validate_response(response, transport_kwargs=self._call, recorder=recorder)
        except FailureGroup as failed:
            self._note(case, transition, failed)
        return StepOutput(response, case)

    def _note(self, case: _Case, transition: Transition | None, failed: FailureGroup) -> None:
        for failure in failed.exceptions:
            said = f"{case.operation.label}: {failure.title}: {failure.message}"
            if said not in self._seen:
                self._seen.add(said)
                way = f" by {transition.id}" if transition else ""
                self.findings.append(f"{said}{way}\n{_without_secrets(str(failed))[:1500]}")


def _is_source(link: OpenApiLink, output: StepOutput) -> bool:
    return link.status_code == str(output.response.status_code)


def _values(transition: Transition, chance: random.Random) -> dict[str, Any] | None:
    """Return what a link takes from an answer; None when it is not there."""
    values: dict[str, Any] = {"path_parameters": {}, "query": {}}
    for container, parameters in transition.parameters.items():
        for name, extracted in parameters.items():
            value = extracted.value.ok() if isinstance(extracted.value, Ok) else UNRESOLVABLE
            if isinstance(value, MultiMatch):
                there = [one for one in value.values if one is not None]
                value = chance.choice(there) if there else None
            if value is None or value is UNRESOLVABLE:
                return None
            values.setdefault(container, {})[name] = value
    if transition.request_body is not None:
        value = transition.request_body.value.ok() if isinstance(transition.request_body.value, Ok) else UNRESOLVABLE
        if value is UNRESOLVABLE:
            return None
        values["body"] = _one(value, chance)
    return values


def _one(value: Any, chance: random.Random) -> Any:
    """Return one of those a link found, where it found several."""
    if isinstance(value, MultiMatch):
        return chance.choice(value.values)
    if isinstance(value, dict):
        return {key: _one(item, chance) for key, item in value.items()}
    return [_one(item, chance) for item in value] if isinstance(value, list) else value


def _merged(body: Any, linked: Any) -> Any:
    """Return a good body with a link's values put over it."""
    if isinstance(body, dict) and isinstance(linked, dict):
        return body | {key: _merged(body.get(key), value) for key, value in linked.items() if value is not UNRESOLVABLE}
    if isinstance(body, list) and isinstance(linked, list):
        return [_merged(mine, value) for mine, value in zip(body, linked, strict=False)] + linked[len(body) :]
    return linked


def _case(operation: _Operation, path: Mapping[str, Any], query: Mapping[str, Any], body: Any) -> _Case:
    return operation.Case(
        path_parameters=dict(path),
        query=dict(query),
        body=NOT_SET if body is ... else body,
        media_type=None if body is ... else "application/json",
    )


def _draw(strategy: strategies.SearchStrategy[StepInput], seed: int) -> StepInput:
    found: list[StepInput] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=2,  # the first one is the simplest there is
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=cast("list[hypothesis.HealthCheck]", list(hypothesis.HealthCheck)),
    )
    @hypothesis.given(strategy)
    def collect(step: StepInput) -> None:
        found.append(step)

    collect()
    return found[-1]


def _without_secrets(text: str) -> str:
    return re.sub(r"(Bearer )[\w.-]+", r"\1...", text)
