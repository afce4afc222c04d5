"""The conversation behind a call, without any I/O: what to send, when to wait, when a token is needed.

Each conversation is a generator. It yields steps, and a client carries them out, blocking or not; so the two
clients can't differ in what they do, only in how they wait.
"""

import json
import logging
import platform
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote_plus, urlencode

from . import errors
from .calls import Call
from .codec import WireMismatch, encode
from .connection import Connection
from .errors import ApiError, ConnectionFailed, Timeout
from .retries import Retries, asked_seconds, transient
from .version import __version__

T = TypeVar("T")

LOG: Final = logging.getLogger("juniper_fulfillment")
USER_AGENT: Final = f"juniper-fulfillment-sdk/{__version__} python/{platform.python_version()}"
RENEW_SECONDS: Final = 60.0  # a token is renewed this long before it expires
RENEW_SHARE: Final = 0.1  # or in the last tenth of its life, for tokens that live only minutes


@dataclass(frozen=True, slots=True)
class Send:
    """Step: send this request. The reply is an Answer, or the ConnectionFailed that came instead."""

    operation: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    timeout_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Sleep:
    """Step: wait. No reply."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Authorize:
    """Step: carry out `Exchange.renewal` of this step, one at a time. The reply is its token."""

    rejected: str | None = field(repr=False)  # a token the server has refused
    deadline: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # by lower-case names
    content: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The id support asks for."""
        return self.headers.get("x-request-id")


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and when it should be renewed on the clock of the exchange."""

    text: str = field(repr=False)
    renew_at: float


Step = Send | Sleep | Authorize
Reply = Answer | ConnectionFailed | str | None
Conversation = Generator[Step, Reply, T]


class Exchange:
    """The conversations of one client, and the token they share."""

    def __init__(self, connection: Connection, retries: Retries, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._retries = retries
        self._clock = clock
        self._token: Token | None = None

    def conversation(self, call: Call[T]) -> Conversation[T]:
        """Carry out a call.

        Raises:
            ApiError: The server refused, or kept failing.
            ConnectionFailed: No answer came.
        """
        deadline = self._clock() + self._retries.deadline_seconds
        request = self._request(call)
        token = yield from self._authorized(None, deadline)
        outcome = yield from self._attempts(_signed(request, token), deadline, call.may_repeat)
        if isinstance(outcome, Answer) and outcome.status == 401:
            # The token was revoked, or a clock differs. A 401 did nothing, so any call may be sent again.
            token = yield from self._authorized(token, deadline)
            outcome = yield from self._attempts(_signed(request, token), deadline, call.may_repeat)
        return _result(call, outcome)

    def renewal(self, step: Authorize) -> Conversation[str]:
        """Return a token other than the rejected one, fetching it unless another call already has.

        Only one renewal may be under way at a time.

        Raises:
            AuthenticationError: The credentials are not accepted.
        """
        known = self._fresh(step.rejected)
        if known is not None:
            return known
        if self._clock() >= step.deadline:
            raise Timeout("no token in time")
        asked_at = self._clock()
        outcome = yield from self._attempts(self._token_request(), step.deadline, may_repeat=True)
        self._token = _token(outcome, asked_at)
        return self._token.text

    def _authorized(self, rejected: str | None, deadline: float) -> Conversation[str]:
        known = self._fresh(rejected)
        if known is not None:
            return known
        token = yield Authorize(rejected, deadline)
        assert isinstance(token, str)  # the reply to Authorize
        return token

    def _fresh(self, rejected: str | None) -> str | None:
        token = self._token  # read once: another thread may replace it
        if token is None or token.text == rejected or self._clock() >= token.renew_at:
            return None
        return token.text

    def _attempts(self, request: Send, deadline: float, may_repeat: bool) -> Conversation[Answer | ConnectionFailed]:
        """Send a request until its outcome is final: an answer that stands, or the last failure."""
        retry = 0
        while True:
            left = max(deadline - self._clock(), 0.001)
            outcome = yield replace(request, timeout_seconds=min(self._retries.timeout_seconds, left))
            assert isinstance(outcome, Answer | ConnectionFailed)  # the reply to Send
            if not may_repeat or retry >= self._retries.max_retries or not _may_pass(outcome):
                return outcome
            wait = self._retries.wait_seconds(retry, _asked(outcome))
            if self._clock() + wait >= deadline:
                return outcome
            _log_retry(request.operation, outcome, wait)
            yield Sleep(wait)
            retry += 1

    def _request(self, call: Call[Any]) -> Send:
        query = urlencode(call.query(), doseq=True)
        headers = {"accept": "application/json", "user-agent": USER_AGENT}
        if call.key is not None:
            headers["idempotency-key"] = call.key
        content = None
        if call.body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(encode(call.body), separators=(",", ":"), ensure_ascii=False).encode()
        url = f"{self._connection.api_url}{call.path}{'?' if query else ''}{query}"
        return Send(call.operation, call.method, url, headers, content)

    def _token_request(self) -> Send:
        """Ask for a token by client credentials. Source: RFC 6749, sections 2.3.1 and 4.4."""
        pair = ":".join(map(quote_plus, (self._connection.client_id, self._connection.client_secret)))
        headers = {
            "accept": "application/json",
            "user-agent": USER_AGENT,
            "authorization": f"Basic {b64encode(pair.encode()).decode()}",
            "content-type": "application/x-www-form-urlencoded",
        }
        return Send("token", "POST", self._connection.token_url, headers, b"grant_type=client_credentials")


def _signed(request: Send, token: str) -> Send:
    return replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})


def _may_pass(outcome: Answer | ConnectionFailed) -> bool:
    if isinstance(outcome, ConnectionFailed):
        return True
    return transient(outcome.status, _error(outcome).code if outcome.status == 409 else "")


def _asked(outcome: Answer | ConnectionFailed) -> float | None:
    return asked_seconds(outcome.headers, datetime.now(UTC)) if isinstance(outcome, Answer) else None


def _log_retry(operation: str, outcome: Answer | ConnectionFailed, wait_seconds: float) -> None:
    what = outcome.status if isinstance(outcome, Answer) else type(outcome).__name__
    request_id = outcome.request_id if isinstance(outcome, Answer) else None
    LOG.info("%s: %s (request id %s), again in %.2f s", operation, what, request_id or "unknown", wait_seconds)


def _error(answer: Answer) -> ApiError:
    return errors.from_answer(
        answer.status, answer.content, request_id=answer.request_id, retry_after_seconds=_asked(answer)
    )


def _result(call: Call[T], outcome: Answer | ConnectionFailed) -> T:
    if isinstance(outcome, ConnectionFailed):
        raise outcome
    if not 200 <= outcome.status < 300:
        raise _error(outcome)
    try:
        return call.read(json.loads(outcome.content) if outcome.content else None)
    except WireMismatch as error:
        raise _unexpected(outcome, str(error)) from None
    except ValueError:
        raise _unexpected(outcome, "the answer is not JSON") from None


def _token(outcome: Answer | ConnectionFailed, asked_at: float) -> Token:
    """Read a token; its life is counted from the asking, so that a slow answer can't make it seem younger."""
    if isinstance(outcome, ConnectionFailed):
        raise outcome
    if outcome.status != 200:
        raise errors.from_token_answer(outcome.status, outcome.content, request_id=outcome.request_id)
    try:
        found = json.loads(outcome.content)
        text, lives_seconds = str(found["access_token"]), float(found.get("expires_in", 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _unexpected(outcome, "the token endpoint's answer holds no token") from None
    return Token(text, asked_at + lives_seconds - min(RENEW_SECONDS, lives_seconds * RENEW_SHARE))


def _unexpected(answer: Answer, why: str) -> errors.UnexpectedAnswer:
    return errors.UnexpectedAnswer(
        answer.status,
        "unexpected_answer",
        "The answer is not what the contract promises",
        detail=why,
        request_id=answer.request_id,
    )
