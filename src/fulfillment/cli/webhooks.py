"""fulfillment webhooks: a partner's deliveries over the public API, and its receiver put to the test."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, print_fields, print_json, print_table
from fulfillment.cli.profiles import Profile, find
from fulfillment.sdk import Client, ConfigurationError

app = App(name="webhooks", help="Partner: deliveries, redelivery, replay; listen on a laptop; a receiver's doctor.")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the API is and who asks."""

    profile: Profile = None
    api_url: Annotated[str | None, Parameter(help="The API, with /v1.")] = None
    client_id: Annotated[str | None, Parameter(help="Your client id.")] = None
    client_secret: Annotated[str | None, Parameter(help="Your client secret.")] = None
    data_dir: Annotated[Path, Parameter(help="Folder whose demo.json is used without a login.")] = Path("var")


Access = Annotated[Credentials, Parameter(name="*")]
_NONE_GIVEN: Final = Credentials()


def connect(access: Credentials) -> Client:
    """Return a client: of the options, of JUNIPER_*, of the login, or of the sandbox's demo partner.

    Raises:
        ConfigurationError: There are no credentials.
    """
    given = (access.api_url, access.client_id, access.client_secret)
    if access.api_url and access.client_id and access.client_secret:
        token_url = access.api_url.rstrip("/").removesuffix("/v1") + "/oauth2/token"
        return Client(access.api_url, token_url, access.client_id, access.client_secret)
    if any(given):
        raise ConfigurationError("give --api-url, --client-id and --client-secret together")
    try:
        found = find(access.profile)
    except ConfigurationError:
        if access.profile is None and (access.data_dir / "demo.json").exists():
            return Client.from_file(access.data_dir / "demo.json")
        raise
    return Client(found.api_url, found.token_url, found.client_id, found.client_secret)


@app.command(name="list")
def list_(
    *,
    order: Annotated[str | None, Parameter(help="Of one order.")] = None,
    status: Annotated[Literal["PENDING", "DELIVERED", "FAILED", "DISCARDED"] | None, Parameter()] = None,
    limit: Annotated[int, Parameter(help="Rows at most, up to 100.")] = 20,
    json: AsJson = False,
    access: Access = _NONE_GIVEN,
) -> None:
    """List deliveries, newest first."""
    with connect(access) as juniper:
        found = [dict(one) for one in juniper.list_webhook_deliveries(order_id=order, status=status, limit=limit)]
    if json:
        print_json(found)
        return
    columns = ("delivery", "type", "order", "#", "status", "attempts", "next attempt", "created")
    names = ("id", "type", "orderId", "orderSequence", "status", "attemptCount", "nextAttemptAt", "createdAt")
    print_table("Deliveries", columns, [tuple(one.get(name) for name in names) for one in found])


@app.command
def show(
    delivery_id: str,
    *,
    json: AsJson = False,
    access: Access = _NONE_GIVEN,
) -> None:
    """Show a delivery with its attempts."""
    with connect(access) as juniper:
        found = juniper.get_webhook_delivery(delivery_id)
    if json:
        print_json(found)
        return
    print_fields({name: value for name, value in found.items() if name not in {"attempts", "event"}})
    columns = ("#", "at", "status", "ms", "fault", "answer")
    names = ("number", "at", "statusCode", "durationMs", "error", "answer")
    print_table("Attempts", columns, [tuple(one.get(name) for name in names) for one in found["attempts"]])


@app.command
def redeliver(
    delivery_id: str,
    *,
    json: AsJson = False,
    access: Access = _NONE_GIVEN,
) -> None:
    """Send a finished delivery again."""
    with connect(access) as juniper:
        _show(juniper.redeliver_webhook(delivery_id), as_json=json)


@app.command
def replay(
    *,
    since: Annotated[str, Parameter(help="Date and time with its zone, such as 2023-10-01T12:00:00Z.")],
    until: Annotated[str | None, Parameter(help="The same; now, when left out.")] = None,
    type_: Annotated[list[str] | None, Parameter(name="--type", help="A type wanted; may be repeated.")] = None,
    only_failed: Annotated[bool, Parameter(help="Leave out what was delivered.")] = False,
    wait: Annotated[bool, Parameter(help="Wait until everything was sent.")] = False,
    json: AsJson = False,
    access: Access = _NONE_GIVEN,
) -> None:
    """Send a span of events again, in order for each order."""
    from fulfillment.cli.webhook_listener import replay_progress, watch_replay

    with connect(access) as juniper:
        job = juniper.replay_webhooks(since, until, types=type_, only_failed=only_failed)
        job = watch_replay(juniper, job, quiet=json) if wait else replay_progress(juniper, job)
    _show(job, as_json=json)


@app.command(name="test")
def send_test(
    *,
    json: AsJson = False,
    access: Access = _NONE_GIVEN,
) -> int:
    """Let the server send a signed test event to your webhookUrl, and show what it answered."""
    with connect(access) as juniper:
        answer = juniper.send_test_webhook()
    _show(answer, as_json=json)
    return 0 if answer.get("delivered") else 1


@app.command
def listen(
    *,
    forward_to: Annotated[str, Parameter(help="Where to send them, such as http://localhost:3000/hook.")],
    secret: Annotated[str | None, Parameter(help="What to sign with; else your webhook secret, or a new one.")] = None,
    since: Annotated[datetime | None, Parameter(help="Begin with events of this moment; else with new ones.")] = None,
    events: Annotated[int | None, Parameter(help="Stop after so many events.")] = None,
    access: Access = _NONE_GIVEN,
) -> None:
    """Follow your events and forward each, signed, to a receiver on this machine. Opens no port."""
    from fulfillment.cli.webhook_listener import follow

    with connect(access) as juniper:
        follow(juniper, forward_to, secret=secret, since=since, most=events)


@app.command
def doctor(
    *,
    url: Annotated[str, Parameter(help="The receiver to examine.")],
    secret: Annotated[str, Parameter(help="The webhook secret it verifies with.", env_var="JUNIPER_WEBHOOK_SECRET")],
    json: AsJson = False,
) -> int:
    """Examine a receiver: what it must accept, what it must refuse, what it must survive."""
    from fulfillment.cli.webhook_doctor import examine, print_report

    report = examine(url, secret)
    if json:
        print_json(report.as_json())
    else:
        print_report(report)
    return 0 if report.healthy else 1


def _show(fields: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)
    sys.stdout.flush()
