"""fulfillment logs: the partner's own requests of the last days, as the API answered them."""

import json as json_module
import time
from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson
from fulfillment.cli.profiles import Profile, connect
from fulfillment.cli.shown import Limit
from fulfillment.sdk import Client
from fulfillment.sdk.calls import get, loose, page_of
from fulfillment.sdk.codec import Json

app = App(name="logs", help="Your requests: tail.")
_PAGE: Final = 100


@app.command
def tail(
    *,
    limit: Limit = 20,
    follow: Annotated[bool, Parameter(negative="", help="Go on with new requests until Ctrl-C.")] = False,
    status: Annotated[str | None, Parameter(help="A status such as 409, or a class such as 4xx.")] = None,
    method: Annotated[str | None, Parameter(help="GET, POST ...")] = None,
    every: Annotated[float, Parameter(help="Seconds between two looks.")] = 1.0,
    json: AsJson = False,
    profile: Profile = None,
) -> None:
    """Show your newest requests, oldest first: method, path, status, code and request id; never any content."""
    with connect(profile) as juniper:
        last = ""
        rows = newest(juniper, limit, status, method)
        while True:
            for row in rows:
                print(json_module.dumps(dict(row)) if json else line(row), flush=True)
                last = row["requestId"]
            if not follow:
                return
            time.sleep(every)
            # Ids sort by time, so what is greater is new. Our own looks at the log are no news.
            rows = [
                row
                for row in newest(juniper, _PAGE, status, method)
                if row["requestId"] > last and row["route"] != "/v1/request-log"
            ]


def newest(juniper: Client, limit: int, status: str | None, method: str | None) -> Sequence[Json]:
    """Return the newest *limit* requests, oldest first."""
    call = get(
        "listRequests",
        "/request-log",
        page_of(loose, "requests"),
        limit=min(max(limit, 1), _PAGE),
        status=status,
        method=method,
    )
    found: list[Json] = []
    for row in juniper.walk(call):
        if len(found) == limit:
            break
        found.append(row)
    return found[::-1]


def line(row: Json) -> str:
    """Return a request as one line."""
    parts = (
        row["createdAt"],
        f"{row['method']:<6}",
        str(row["status"]),
        row["route"],
        row["code"] or "",
        row["requestId"],
    )
    return "  ".join(part for part in parts if part)
