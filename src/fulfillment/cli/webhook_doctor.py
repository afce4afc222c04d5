"""The doctor: sends a partner's receiver what it will meet one day, and says how it did."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2

from fulfillment.kernel.ids import new_id
from fulfillment.kernel.times import to_wire
from fulfillment.webhooks.signing import headers_for

_PATIENCE_SECONDS: Final = 15.0  # what a delivery has
_PROMPT_SECONDS: Final = 5.0
_SIGNATURES: Final = ("X-Juniper-Signature", "webhook-signature")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to."""

    check: str
    passed: bool
    points: int
    found: str  # what was seen
    advice: str  # what to do about it; empty when there is nothing to do


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one receiver."""

    url: str
    findings: Sequence[Finding]

    @property
    def score(self) -> int:
        """Return the points reached."""
        return sum(finding.points for finding in self.findings if finding.passed)

    @property
    def best(self) -> int:
        """Return the points there were."""
        return sum(finding.points for finding in self.findings)

    @property
    def healthy(self) -> bool:
        """Return whether every check passed."""
        return all(finding.passed for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "url": self.url,
            "score": self.score,
            "best": self.best,
            "healthy": self.healthy,
            "checks": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """How the receiver answered."""

    status: int | None  # None: it did not
    seconds: float
    fault: str = ""

    @property
    def taken(self) -> bool:
        """Return whether it said 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Return whether it said 4xx: no, and not "something broke"."""
        return self.status is not None and 400 <= self.status < 500

    def __str__(self) -> str:
        """Return what was seen, for people."""
        return f"answered {self.status}" if self.status is not None else f"no answer ({self.fault})"


class _Patient:
    """A receiver under examination."""

    def __init__(self, http: httpx2.Client, url: str, secret: str) -> None:
        self._http = http
        self._url = url
        self._secret = secret

    def send(self, message: "_Message", **headers: str | None) -> Reply:
        """Send *message*, with headers replaced, or left out where None."""
        given = {**self.headers(message), **headers}
        began = time.monotonic()
        try:
            response = self._http.post(
                self._url,
                content=message.sent or message.body,
                headers={name: value for name, value in given.items() if value is not None},
            )
        except httpx2.HTTPError as error:
            return Reply(None, time.monotonic() - began, type(error).__name__)
        return Reply(response.status_code, time.monotonic() - began)

    def headers(self, message: "_Message", secret: str | None = None) -> dict[str, str]:
        """Return the headers of *message*, as they should be or signed with another secret."""
        return message.headers(secret or self._secret)


class _Message:
    """A webhook to send."""

    def __init__(
        self,
        status: str = "CREATED",
        *,
        order_id: str | None = None,
        sequence: int = 1,
        late_seconds: int = 0,
        extra: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        type_: str | None = None,
        sent: bytes | None = None,
    ) -> None:
        now = datetime.now(UTC)
        self.at = now - timedelta(seconds=late_seconds)
        self.order_id = order_id or new_id(now)
        order = {
            "orderId": self.order_id,
            "status": status,
            "fulfillmentInfo": None,
            "createdAt": to_wire(now),
            "updatedAt": to_wire(now),
        }
        whole = body if body is not None else {"order": order | dict(extra or {})}
        self.body = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
        self.sent = sent  # other bytes than those that are signed
        self._facts: dict[str, Any] = {
            "webhook_id": new_id(now),
            "event_id": new_id(now),
            "event_type": type_ or f"order.{status.lower()}",
            "sequence": sequence,
            "attempt": 1,
        }

    def headers(self, secret: str) -> dict[str, str]:
        """Return the headers, the same ones every time."""
        return headers_for(secret, self.body, self.at, **self._facts)


def examine(url: str, secret: str) -> Report:
    """Put the receiver at *url*, which verifies with *secret*, to every check."""
    with httpx2.Client(timeout=_PATIENCE_SECONDS, follow_redirects=False) as http:
        patient = _Patient(http, url, secret)
        first = patient.send(_Message())
        findings = [_reachable(first), _takes_a_good_one(first), _in_time(first), _no_redirect(first)]
        refusals = [_refusal(patient, check, first) for check in _REFUSALS]
        survivals = [_survival(patient, *check) for check in _SURVIVALS]
    return Report(url, [*findings, *refusals, *survivals])


def print_report(report: Report) -> None:
    """Print the findings as a table, the score below, and what to do."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Receiver {report.url}", title_justify="left")
    for column in ("", "check", "points", "found"):
        table.add_column(column)
    for finding in report.findings:
        mark = "[green]pass[/green]" if finding.passed else "[red]FAIL[/red]"
        points = f"{finding.points if finding.passed else 0}/{finding.points}"
        table.add_row(mark, finding.check, points, finding.found)
    console = Console()
    console.print(table)
    console.print(f"Score {report.score} of {report.best}.")
    for finding in report.findings:
        if not finding.passed and finding.advice:
            console.print(f"- {finding.check}: {finding.advice}")


def _reachable(first: Reply) -> Finding:
    return Finding(
        "answers at all", first.status is not None, 5, str(first), "Start it, and check URL, port and certificate."
    )


def _takes_a_good_one(first: Reply) -> Finding:
    return Finding(
        "accepts a good signature",
        first.taken,
        15,
        str(first),
        "Verify over the raw bytes of the body, with the secret's 64 characters as text; answer 2xx.",
    )


def _in_time(first: Reply) -> Finding:
    return Finding(
        "answers in time",
        first.status is not None and first.seconds < _PROMPT_SECONDS,
        5,
        f"{first.seconds:.2f} s",
        "Store the event, answer at once, and do the work afterwards: after 15 s it is sent again.",
    )


def _no_redirect(first: Reply) -> Finding:
    redirected = first.status is not None and 300 <= first.status < 400
    return Finding(
        "does not redirect",
        first.status is not None and not redirected,
        3,
        str(first),
        "Register the final URL: redirects are not followed.",
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    check: str
    points: int
    message: Callable[[], _Message]
    spoil: Callable[[str], str | None]  # a signature header's value -> another; None: without it
    advice: str
    secret: str | None = None  # sign with this one


def _keep(value: str) -> str:
    return value


_REFUSALS: Final = (
    _Refusal(
        "refuses a wrong signature",
        15,
        _Message,
        _keep,
        "Anybody can send you orders' news: compare the signature, in constant time, and answer 400 or 401.",
        "0" * 64,
    ),
    _Refusal(
        "refuses a changed body",
        10,
        lambda: _Message(sent=json.dumps({"order": {"orderId": "x", "status": "SHIPPED"}}).encode()),
        _keep,
        "Sign what you received, not what you parsed.",
    ),
    _Refusal(
        "refuses a missing signature",
        10,
        _Message,
        lambda value: None,
        "A request without X-Juniper-Signature is not from Juniper.",
    ),
    _Refusal(
        "refuses a malformed signature",
        5,
        _Message,
        lambda value: "t=,v1=",
        "A header you can't read is a wrong one: answer 400, don't break.",
    ),
    _Refusal(
        "refuses another scheme",
        3,
        _Message,
        lambda value: value.replace("v1", "v0"),
        "Only v1 counts: ignore what you don't know.",
    ),
    _Refusal(
        "refuses an old timestamp",
        10,
        lambda: _Message(late_seconds=600),
        _keep,
        "Refuse what was signed more than five minutes ago: somebody may be sending an old request again.",
    ),
    _Refusal(
        "refuses a timestamp of the future",
        3,
        lambda: _Message(late_seconds=-600),
        _keep,
        "Refuse what is more than five minutes ahead.",
    ),
)


def _refusal(patient: _Patient, check: _Refusal, first: Reply) -> Finding:
    message = check.message()
    headers = patient.headers(message, check.secret)
    # Both schemes are spoiled alike: a receiver verifies one of them, and we don't know which.
    reply = patient.send(message, **{name: check.spoil(headers[name]) for name in _SIGNATURES})
    if not first.taken:
        # A receiver that refuses everything proves nothing by refusing this.
        return Finding(check.check, False, check.points, "not judged: it refuses the good one, too", "")
    return Finding(check.check, reply.refused, check.points, str(reply), check.advice)


def _both(patient: _Patient, messages: Sequence[_Message]) -> Sequence[Reply]:
    return [patient.send(message) for message in messages]


def _duplicates(patient: _Patient) -> Sequence[Reply]:
    message = _Message()
    return _both(patient, [message, message])


def _reordering(patient: _Patient) -> Sequence[Reply]:
    order_id = new_id(datetime.now(UTC))
    return _both(
        patient,
        [
            _Message("PROCESSING", order_id=order_id, sequence=2),
            _Message("CREATED", order_id=order_id, sequence=1),
        ],
    )


def _unknown_field(patient: _Patient) -> Sequence[Reply]:
    return _both(patient, [_Message(extra={"somethingNew": {"nested": [1, 2, 3]}})])


def _unknown_type(patient: _Patient) -> Sequence[Reply]:
    return _both(patient, [_Message(body={"type": "order.teleported", "data": {}}, type_="order.teleported")])


def _unknown_status(patient: _Patient) -> Sequence[Reply]:
    return _both(patient, [_Message("TELEPORTED")])


def _unicode(patient: _Patient) -> Sequence[Reply]:
    return _both(patient, [_Message(extra={"note": "Zoë 💊 " * 2000})])


def _two_at_once(patient: _Patient) -> Sequence[Reply]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(patient.send, [_Message(), _Message()]))


_SURVIVALS: Final[Sequence[tuple[str, int, Callable[[_Patient], Sequence[Reply]], str]]] = (
    (
        "survives a duplicate",
        5,
        _duplicates,
        "The same X-Juniper-Webhook-Id may come twice: note it, and answer 2xx again.",
    ),
    (
        "survives reordering",
        5,
        _reordering,
        "A replay may bring an older event: compare X-Juniper-Sequence, ignore what is older, answer 2xx.",
    ),
    ("accepts an unknown field", 5, _unknown_field, "New fields are added without notice: ignore them."),
    ("accepts an unknown type", 5, _unknown_type, "New types are added: answer 2xx to those you don't know."),
    ("accepts an unknown status", 3, _unknown_status, "Don't fail on a status that you don't know."),
    ("accepts 20 KB of Unicode", 3, _unicode, "Bodies are UTF-8 and may be 20 KB."),
    ("takes two at once", 5, _two_at_once, "Different orders' events come at the same time."),
)


def _survival(
    patient: _Patient, check: str, points: int, send: Callable[[_Patient], Sequence[Reply]], advice: str
) -> Finding:
    replies = send(patient)
    found = ", ".join(str(reply) for reply in replies)
    return Finding(check, all(reply.taken for reply in replies), points, found, advice)
