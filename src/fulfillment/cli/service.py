"""Commands that run the service: serve, api, worker, openapi."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from fulfillment.infra import settings as settings_module


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on (8000); 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, Parameter(help="Folder of the embedded database (./var).")] = None,
    processes: Annotated[int | None, Parameter(help="API processes (1).")] = None,
    worker: Annotated[bool | None, Parameter(help="Run the background worker (yes).")] = None,
) -> int:
    """Start the database, migrate it, start API and worker, and stop all of it on Ctrl-C or SIGTERM."""
    from fulfillment.cli.serve import serve as serve_all

    return serve_all(settings_module.load(host=host, port=port, data_dir=data_dir, processes=processes, worker=worker))


def api() -> None:
    """Start one API process on FULFILLMENT_DATABASE_URL, already migrated."""
    os.execv(sys.executable, [sys.executable, "-m", "fulfillment.app"])


def worker() -> None:
    """Start one worker process on FULFILLMENT_DATABASE_URL, already migrated."""
    os.execv(sys.executable, [sys.executable, "-m", "fulfillment.worker"])


def openapi(*, form: Annotated[Literal["yaml", "json"], Parameter(name="--format")] = "yaml") -> None:
    """Print the API's OpenAPI document."""
    from pydantic import SecretStr

    from fulfillment.app import create_app
    from fulfillment.contract import document
    from fulfillment.infra.composing import make_env

    settings = settings_module.load().model_copy(update={"database_url": SecretStr("postgresql:///unused")})
    served = dict(create_app(make_env(settings)).document)
    sys.stdout.buffer.write(document.as_yaml(served) if form == "yaml" else document.as_json(served))
