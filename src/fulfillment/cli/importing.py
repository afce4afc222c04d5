"""fulfillment orders import: many orders from a file, with progress, resumable, none twice.

Beside the file a journal is kept, one JSON line for each step: before an order is sent, and when its answer is
there. A run that was stopped is taken up by reading it. What had been sent without an answer is sent again with the
same idempotency key, which the server answers with the order it made; when the key may have been forgotten meanwhile,
the row is left alone and named.
"""

import fcntl
import json as json_module
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

from cyclopts import Parameter

from fulfillment.cli.exits import Exit, explain
from fulfillment.cli.options import AsJson, print_json, print_table
from fulfillment.cli.order_files import Row, read_orders
from fulfillment.cli.profiles import Profile, find
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.sdk import ApiError, AsyncClient, Connection, JuniperError, RateLimited, ServerError

KEYS_LAST: Final = timedelta(hours=23)  # the server keeps a key for 24 hours at least


@dataclass(slots=True)
class Journal:
    """What is known of each row, by key; every change is on the disk before anything else happens."""

    file: BinaryIO
    known: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def write(self, key: str, state: str, **more: object) -> None:
        """Note a row's state."""
        entry = {"key": key, "state": state, "at": datetime.now(UTC).isoformat(timespec="seconds"), **more}
        self.file.write(json_module.dumps(entry).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.known[key] = entry

    def state(self, row: Row, now: datetime) -> str:
        """Return created, refused, unsure (sent long ago, never answered), or due."""
        entry = self.known.get(row.key)
        if entry is None:
            return "due"
        if entry["state"] == "sending":
            return "unsure" if now - datetime.fromisoformat(entry["at"]) > KEYS_LAST else "due"
        return "due" if entry["state"] == "refused" else str(entry["state"])


@contextmanager
def journal(path: Path) -> Generator[Journal]:
    """Open the journal at *path*, for one run at a time.

    Raises:
        ValidationFailed: Another run holds it.
    """
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValidationFailed(f"Another import is at work on {path.name}.") from None
        file.seek(0)
        text = file.read()
        if text and not text.endswith(b"\n"):
            file.write(b"\n")  # a line that was cut off by a crash says nothing
        yield Journal(file, _entries(text))


def _entries(text: bytes) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        try:
            entry: dict[str, Any] = json_module.loads(line)
            found[entry["key"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return found


def import_orders(
    file: Path,
    *,
    concurrency: Annotated[int, Parameter(help="Orders on their way at once.")] = 8,
    resend_unsure: Annotated[
        bool, Parameter(negative="", help="Send rows again that got no answer more than 23 hours ago.")
    ] = False,
    json: AsJson = False,
    profile: Profile = None,
) -> int:
    """Create the orders of FILE, CSV or one JSON object a line. Run it again to go on: no order is made twice.

    The whole file is read first; when a row can't be read, nothing is sent. What became of each row is kept in
    FILE.journal. Exit status 6: some rows were refused or are unsure; correct them and run it again.
    """
    import asyncio

    rows = read_orders(file)
    connection = find(profile)
    with journal(file.with_name(file.name + ".journal")) as kept:
        now = datetime.now(UTC)
        due = [row for row in rows if kept.state(row, now) in ({"due", "unsure"} if resend_unsure else {"due"})]
        stopped = asyncio.run(_send_all(connection, due, kept, max(1, concurrency), quiet=json))
        return _report(rows, kept, len(due), stopped, as_json=json)


async def _send_all(
    connection: Connection, rows: Sequence[Row], kept: Journal, concurrency: int, *, quiet: bool
) -> JuniperError | None:
    """Send *rows* and note what became of each; return what stopped it early, if anything did."""
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    waiting = iter(rows)
    stopped: list[JuniperError] = []
    with Progress(console=Console(stderr=True, quiet=quiet), transient=True) as shown:
        task = shown.add_task("Creating orders", total=len(rows))
        async with AsyncClient(
            connection.api_url, connection.token_url, connection.client_id, connection.client_secret
        ) as juniper:

            async def work() -> None:
                for row in waiting:
                    if stopped:
                        return
                    if (error := await _send(juniper, row, kept)) is not None:
                        stopped.append(error)
                        return
                    shown.advance(task)

            await asyncio.gather(*(work() for _ in range(concurrency)))
    return stopped[0] if stopped else None


async def _send(juniper: AsyncClient, row: Row, kept: Journal) -> JuniperError | None:
    """Create one order. A refusal is the row's; anything else is returned, since it would meet every row."""
    kept.write(row.key, "sending", line=row.line)
    try:
        order = await juniper.create_order(row.body, idempotency_key=row.key)
    except ApiError as error:
        if error.status in {401, 403} or isinstance(error, RateLimited | ServerError):
            return error
        faults = [f"{fault.pointer}: {fault.message}" for fault in error.errors]
        kept.write(row.key, "refused", line=row.line, code=error.code, message="; ".join(faults) or error.detail)
    except JuniperError as error:
        return error
    else:
        kept.write(row.key, "created", line=row.line, orderId=order.id)
    return None


def _report(rows: Sequence[Row], kept: Journal, sent: int, stopped: JuniperError | None, *, as_json: bool) -> int:
    now = datetime.now(UTC)
    of_rows = [(row, kept.known.get(row.key, {})) for row in rows]
    created = sum(entry.get("state") == "created" for _, entry in of_rows)
    refused = [(row, entry) for row, entry in of_rows if entry.get("state") == "refused"]
    unsure = [row for row in rows if kept.state(row, now) == "unsure"]
    left = len(rows) - created - len(refused) - len(unsure)
    if as_json:
        results = [{**entry, "line": row.line} for row, entry in of_rows]
        print_json({"created": created, "refused": len(refused), "unsure": len(unsure), "left": left, "rows": results})
    else:
        print(f"{created} of {len(rows)} orders are created, {len(rows) - sent} rows needed no sending.")
        if refused:
            cells = [(row.line, entry["code"], entry["message"]) for row, entry in refused]
            print_table("Refused; correct them and run it again", ("line", "code", "why"), cells)
        for row in unsure:
            print(f"Line {row.line} was sent more than 23 hours ago and got no answer: look for the order before")
            print("  you send it again with --resend-unsure.")
    if stopped is not None:
        if not as_json:
            print(f"Stopped with {left} rows left; run it again to go on.")
        return explain(stopped)
    return Exit.PARTLY if refused or unsure else Exit.DONE
