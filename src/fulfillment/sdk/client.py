"""The client for programs that block."""

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from .api import DEFAULT_RETRIES, Api
from .calls import Call, SyncRunner
from .errors import ConnectionFailed
from .exchange import Answer, Authorize, Conversation, Reply, Send, Sleep, Step
from .retries import Retries

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")


class Client(Api, SyncRunner):
    """The Order Fulfillment API: one method for each operation, which blocks until the answer is there.

    Any number of threads may share one client. It fetches and renews its own token.

    Args:
        api_url: With ``/v1``.
        token_url: Where tokens come from.
        client_id, client_secret: Your credentials.
        retries: How patient the client is.
        transport: How requests travel, such as ``httpx2.WSGITransport`` in tests.

    Raises:
        ConfigurationError: A part is empty or malformed.
    """

    def __init__(
        self,
        api_url: str,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        retries: Retries = DEFAULT_RETRIES,
        transport: "httpx2.BaseTransport | None" = None,
    ) -> None:
        from . import transport as wire

        super().__init__(api_url, token_url, client_id, client_secret, retries=retries)
        self._renewing = threading.Lock()
        self._wire = wire
        self._http = wire.httpx2.Client(transport=transport)

    def run(self, call: Call[T]) -> T:
        """Carry out one call."""
        return self._carry_out(self._exchange.conversation(call))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Use the client for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def _carry_out(self, conversation: Conversation[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                return end.value
            reply = self._take(step)

    def _take(self, step: Step) -> Reply:
        match step:
            case Send():
                return self._send(step)
            case Sleep():
                time.sleep(step.seconds)
                return None
            case Authorize():
                with self._renewing:
                    return self._carry_out(self._exchange.renewal(step))

    def _send(self, request: Send) -> Answer | ConnectionFailed:
        try:
            with self._wire.quietly():
                response = self._http.request(request.method, request.url, **self._wire.options(request))
        except self._wire.httpx2.RequestError as error:
            return self._wire.failure(error, request)
        return self._wire.answer(response)
