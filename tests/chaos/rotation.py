"""Webhook secrets are rotated every few seconds under load: each delivery bears the one in force, and no other.

The contract has the old secret end at once. So a delivery that is on the wire at that moment may bear the old one, and
nothing that arrives a moment later may.
"""

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import stripe

from tests.chaos.checker import Arrival, Verdict, read_arrivals
from tests.chaos.sockets import Traffic
from tests.chaos.stage import Stage

SECONDS: Final = 60.0
_ROTATIONS: Final = 12
_RATE: Final = 50.0  # events a second
_ON_THE_WIRE: Final = 0.25  # seconds
_PRODUCT: Final = 88_500_000_000
_TOLERANCE_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Reign:
    """When a secret was in force, for sure and at most: Unix seconds."""

    secret: str
    asked_at: float  # the rotation that made it was asked for
    known_at: float  # and answered


def play(seed: int, seconds: float = SECONDS) -> list[Verdict]:
    """Rotate under load, and return the verdicts."""
    folder = Path(tempfile.mkdtemp(prefix="rotation-"))
    folder.chmod(0o711)
    stage = Stage(folder, seed=seed, share=0.0, processes=2, workers=2)
    try:
        stage.start(partner_count=1)
        partner = stage.partners[0]
        stage.office.product(_PRODUCT, [2_000_000_000])
        reigns = [Reign(partner.webhook_secret, 0.0, 0.0)]
        headers = {"Authorization": f"Bearer {stage.token(partner)}"}
        with (
            Traffic(stage, partner, _PRODUCT, seconds, rate=_RATE) as traffic,
            httpx2.Client(base_url=stage.server.url, headers=headers, timeout=30) as client,
        ):
            for _ in range(_ROTATIONS):
                time.sleep(seconds / (_ROTATIONS + 1))
                asked = time.time()
                answer = client.post("/v1/partners/settings/rotate-webhook-secret")
                answer.raise_for_status()
                reigns.append(Reign(answer.json()["webhookSecret"], asked, time.time()))
        events = traffic.summary["statuses"].get("201", 0)
        _settle(stage)
        arrivals = read_arrivals(stage.arrivals)
    finally:
        stage.stop()
    shutil.rmtree(folder, ignore_errors=True)
    return _verdicts(reigns, arrivals, events, seconds)


def _settle(stage: Stage) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if stage.sql("SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'") == [(0,)]:
            return
        time.sleep(0.2)


def _verdicts(reigns: list[Reign], arrivals: list[Arrival], events: int, seconds: float) -> list[Verdict]:
    wrong: list[str] = []
    by_place: Counter[int] = Counter()
    late = 0.0
    for arrival in arrivals:
        fitting = [place for place, reign in enumerate(reigns) if _fits(arrival, reign.secret)]
        if len(fitting) != 1:
            wrong.append(f"{arrival.event_id} fits {len(fitting)} secrets")
            continue
        place = fitting[0]
        by_place[place] += 1
        if arrival.at < reigns[place].asked_at:
            wrong.append(f"{arrival.event_id} bears a secret that nobody had asked for yet")
        if place + 1 < len(reigns):
            late = max(late, arrival.at - reigns[place + 1].known_at)
    if late > _ON_THE_WIRE:
        wrong.append(f"an old secret arrived {late:.2f} s after its end was answered")
    if set(by_place) != set(range(len(reigns))):
        wrong.append(f"{len(reigns) - len(by_place)} secrets signed nothing: too little load")
    missing = events - len({arrival.event_id for arrival in arrivals})
    checked = (
        f"{len(reigns) - 1} rotations in {seconds:.0f} s, {len(arrivals)} deliveries of {events} events; "
        f"the latest old one {max(late, 0) * 1000:.0f} ms after its end"
    )
    return [
        Verdict("S-14", "each delivery bears the secret of its moment alone, by Stripe's verifier", checked, wrong),
        Verdict("S-14", "every event arrives", f"{missing} missing", [f"{missing} missing"] if missing else []),
    ]


def _fits(arrival: Arrival, secret: str) -> bool:
    text = arrival.body.decode()
    try:
        stripe.WebhookSignature.verify_header(text, arrival.signature, secret, _TOLERANCE_SECONDS)
    except stripe.SignatureVerificationError:
        return False
    return True
