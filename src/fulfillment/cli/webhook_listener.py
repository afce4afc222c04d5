"""Following the feed over the public API: forwarding events to a laptop, and watching a replay."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx2

from fulfillment.kernel.ids import new_id
from fulfillment.sdk import Client, ConnectionFailed, NotFound, ServerError
from fulfillment.sdk.calls import get, loose, segment
from fulfillment.webhooks.signing import headers_for, new_secret

_WAIT_SECONDS: Final = 20  # of a long poll; the client's own time-out is thirty
_AGAIN_SECONDS: Final = 2.0
_FORWARD_SECONDS: Final = 15.0


def follow(juniper: Client, url: str, *, secret: str | None, since: datetime | None, most: int | None) -> None:
    """Forward events to *url* until interrupted, or until *most* were forwarded, and print each with the answer."""
    key = secret or _secret_of(juniper)
    print(f"Forwarding your events to {url}. Ctrl-C stops.", flush=True)
    with httpx2.Client(timeout=_FORWARD_SECONDS, follow_redirects=False) as http:
        for count, event in enumerate(_events(juniper, since), 1):
            _forward(http, url, key, event)
            if count == most:
                return


def replay_progress(juniper: Client, job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how far a replay is."""
    return juniper.run(get("getWebhookReplay", f"/webhooks/replays/{segment(job['id'])}", loose))


def watch_replay(juniper: Client, job: Mapping[str, Any], *, quiet: bool) -> Mapping[str, Any]:
    """Wait until a replay is done, with a progress bar unless *quiet*."""
    from rich.progress import Progress

    with Progress(disable=quiet) as progress:
        bar = progress.add_task("Replaying", total=max(1, int(job["total"])))
        while job["status"] != "DONE":
            time.sleep(0.5)
            job = replay_progress(juniper, job)
            progress.update(bar, completed=int(job["done"]))
    return job


def _secret_of(juniper: Client) -> str:
    try:
        return juniper.get_webhook_secret().webhook_secret
    except NotFound:  # no webhookUrl: the laptop is the only receiver there is
        secret = new_secret()
        print(f"Your webhook secret for this session: {secret}", flush=True)
        return secret


def _events(juniper: Client, since: datetime | None) -> Iterator[Mapping[str, Any]]:
    cursor: str | None = None
    while True:
        start = {"cursor": cursor} if cursor else {"start": "oldest" if since else "newest"}
        try:
            page = juniper.run(get("listEvents", "/events", loose, limit=100, wait=_WAIT_SECONDS, **start))
        except (ConnectionFailed, ServerError) as error:
            print(f"{_clock()}  the API does not answer ({error}); trying again", flush=True)
            time.sleep(_AGAIN_SECONDS)
            continue
        cursor = str(page["cursor"])
        for event in page["events"]:
            if since is None or datetime.fromisoformat(event["createdAt"]) >= since.astimezone(UTC):
                yield event


def _forward(http: httpx2.Client, url: str, secret: str, event: Mapping[str, Any]) -> None:
    at = datetime.now(UTC)
    body = json.dumps(event["data"], ensure_ascii=False, separators=(",", ":")).encode()
    headers = headers_for(
        secret,
        body,
        at,
        webhook_id=new_id(at),
        event_id=event["id"],
        event_type=event["type"],
        sequence=event["orderSequence"],
        attempt=1,
    )
    began = time.monotonic()
    try:
        response = http.post(url, content=body, headers=headers)
        answer = f"{response.status_code} {response.reason_phrase}".strip()
    except httpx2.HTTPError as error:
        answer = f"no answer ({type(error).__name__})"
    took = round((time.monotonic() - began) * 1000)
    place = f"{event['orderId']} #{event['orderSequence']}" if event["orderId"] else ""
    print(f"{_clock()}  {event['type']:<24} {place:<32} -> {answer} ({took} ms)", flush=True)


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
