"""A test event, sent at once so that a partner sees what its receiver answers."""

from dataclasses import dataclass
from typing import Final

from fulfillment.infra import jsontext
from fulfillment.infra.env import Env
from fulfillment.infra.http import Answer
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.ids import new_id
from fulfillment.kernel.times import to_wire as moment
from fulfillment.partners import service as partners
from fulfillment.partners.domain import WebhookNotConfigured
from fulfillment.webhooks import sending
from fulfillment.webhooks.domain import WebhookTestRunning
from fulfillment.webhooks.signing import headers_for

TEST_TYPE: Final = "test"
_RUNNING: Final = "webhooks.tests_running"


@dataclass(frozen=True, slots=True)
class TestSent:
    """A test event and the receiver's answer."""

    __test__ = False  # not a test of ours

    webhook_id: str
    event_id: str
    answer: Answer


async def send_test(env: Env, caller: Caller) -> TestSent:
    """Send a signed test event to the partner's receiver and return what it answered. It is in no feed and no log.

    Raises:
        WebhookNotConfigured: The partner has no webhookUrl.
        WebhookTestRunning: Its last test is still under way in this process.
    """
    partner = await partners.get_settings(env, caller)
    target = sending.target_of(env, partner, {})
    if target is None or target.secret is None:
        raise WebhookNotConfigured
    running: set[str] = env.local.setdefault(_RUNNING, set[str]())
    if partner.id in running:
        raise WebhookTestRunning("Your last test is still waiting for its answer.", retry_after_seconds=1)
    running.add(partner.id)
    try:
        at = env.now()
        sent = (new_id(at), new_id(at))
        body = jsontext.write(
            {"type": TEST_TYPE, "id": sent[1], "createdAt": moment(at), "message": "A test event: nothing happened."}
        )
        headers = headers_for(
            target.secret,
            body,
            at,
            webhook_id=sent[0],
            event_id=sent[1],
            event_type=TEST_TYPE,
            sequence=None,
            attempt=1,
        )
        async with sending.make_poster(env) as poster:
            return TestSent(*sent, await poster.post(target.url, body, headers, group=partner.id))
    finally:
        running.discard(partner.id)
