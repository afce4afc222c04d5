"""The client for asyncio and trio."""

from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from .api import DEFAULT_RETRIES, Api
from .calls import AsyncRunner, Call
from .errors import ConnectionFailed
from .exchange import Answer, Authorize, Conversation, Reply, Send, Sleep, Step
from .retries import Retries

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")


class AsyncClient(Api, AsyncRunner):
    """The Order Fulfillment API: one method for each operation, to be awaited.

    Any number of tasks of one event loop may share one client. It fetches and renews its own token.

    Args:
        api_url: With ``/v1``.
        token_url: Where tokens come from.
        client_id, client_secret: Your credentials.
        retries: How patient the client is.
        transport: How requests travel, such as ``httpx2.ASGITransport`` in tests.

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
        transport: "httpx2.AsyncBaseTransport | None" = None,
    ) -> None:
        import anyio

        from . import transport as wire

        super().__init__(api_url, token_url, client_id, client_secret, retries=retries)
        self._sleep = anyio.sleep
        self._renewing = anyio.Lock()
        self._wire = wire
        self._http = wire.httpx2.AsyncClient(transport=transport)

    async def run(self, call: Call[T]) -> T:
        """Carry out one call."""
        return await self._carry_out(self._exchange.conversation(call))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Use the client for a while."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    async def _carry_out(self, conversation: Conversation[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                return end.value
            reply = await self._take(step)

    async def _take(self, step: Step) -> Reply:
        match step:
            case Send():
                return await self._send(step)
            case Sleep():
                await self._sleep(step.seconds)
                return None
            case Authorize():
                async with self._renewing:
                    return await self._carry_out(self._exchange.renewal(step))

    async def _send(self, request: Send) -> Answer | ConnectionFailed:
        try:
            with self._wire.quietly():
                response = await self._http.request(request.method, request.url, **self._wire.options(request))
        except self._wire.httpx2.RequestError as error:
            return self._wire.failure(error, request)
        return self._wire.answer(response)
