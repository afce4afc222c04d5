"""A TCP proxy between clients and the API that cuts connections in the middle of requests."""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import Final

from tests.chaos.listening import Listener, end_with_first

_CHUNK: Final = 65536


@dataclass(slots=True)
class Cuts:
    """How many connections were cut, by when."""

    before: int = 0  # the request never reached the server
    within: int = 0  # half of it did
    after: int = 0  # all of it did, and the answer was lost
    answer: int = 0  # half of the answer came through


class Proxy(Listener):
    """Passes bytes on, and cuts a share of the connections while *share* is above none.

    Args:
        target: Host and port of the server.
        seed: The same seed draws the same chances.
    """

    def __init__(self, target: tuple[str, int], seed: int) -> None:
        super().__init__()
        self.target = target
        self.share = 0.0  # of the requests
        self.cuts = Cuts()
        self._chance = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, or cut it."""
        try:
            there, away = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.create_task(self._pass_requests(reader, away, writer)),
            asyncio.create_task(self._pass_answers(there, writer, away)),
        ]
        await end_with_first(*ways)
        for end in (writer, away):
            with contextlib.suppress(Exception):
                end.close()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, away: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self._chance.random() >= self.share:
                away.write(data)
                await away.drain()
                continue
            place = self._chance.randrange(3)
            if place == 0:
                self.cuts.before += 1
            elif place == 1:
                self.cuts.within += 1
                away.write(data[: len(data) // 2])
                await away.drain()
            else:
                self.cuts.after += 1
                away.write(data)
                await away.drain()
                await asyncio.sleep(self._chance.random() * 0.02)  # the server works on it, or has answered
            _reset(writer)
            return

    async def _pass_answers(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, away: asyncio.StreamWriter
    ) -> None:
        while data := await there.read(_CHUNK):
            if self._chance.random() < self.share / 3:
                self.cuts.answer += 1
                writer.write(data[: len(data) // 2])
                with contextlib.suppress(OSError):
                    await writer.drain()
                _reset(writer)
                return
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
