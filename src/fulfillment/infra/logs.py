"""Logs: one JSON line an event, one a request, never a word of personal data."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fulfillment.infra.web import Call

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_FLUSH_SECONDS: Final = 0.25
_MOST_LINES: Final = 500


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, event, and the record's extra values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            # The text of an exception can quote a row or a request: its type says enough here.
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Formats a record for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*."""
        extra = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return f"{moment} {record.levelname.lower():7} {record.getMessage()} {extra}".rstrip()


def configure(level: str, form: str, stream: IO[str] | None = None) -> None:
    """Send every logger's lines to *stream* (default standard error) in *form*: json or text."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "aiohttp.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))


class AccessLog:
    """Writes one line a request; lines wait up to a quarter of a second to be written together.

    What a line holds is listed here and nowhere else, so that no path, query or body, which may hold personal
    data, can slip in: the route's template stands for the path.
    """

    def __init__(self, stream: IO[str] | None, *, text: bool = False) -> None:
        self._stream = stream
        self._text = text
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, call: "Call", status: int, seconds: float) -> None:
        """Add the line of one request."""
        if self._stream is None:
            return
        caller = call.caller
        code = call.context.get("code")
        partner = caller.partner_id if caller else ""
        client = caller.client_id if caller else ""
        extra = self._extra(call.context) if call.context else ""
        now = time.time()
        method = call.scope["method"]
        self._lines.append(
            f'{{"time":"{_moment(now)}","level":"info","event":"request.served","request_id":"{call.request_id}",'
            f'"method":{json.dumps(method)},"route":"{call.template}","status":{status},"ms":{seconds * 1000:.2f},'
            f'"partner_id":"{partner}","client_id":"{client}"{extra}}}\n'
            if not self._text
            else f"{_moment(now)[11:19]} {method:6} {call.template} {status} {seconds * 1000:.1f} ms "
            f"{code or ''} {call.request_id}\n"
        )
        if len(self._lines) > _MOST_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._stream is not None and self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("".join(lines))
            self._stream.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @staticmethod
    def _extra(context: Mapping[str, object]) -> str:
        return "".join(f",{json.dumps(key)}:{json.dumps(value, default=str)}" for key, value in context.items())


def _moment(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03}+00:00"


@lru_cache(4)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
