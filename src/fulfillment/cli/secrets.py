"""fulfillment secrets: the system's own keys."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fulfillment.cli.options import DatabaseUrl, DataDir, run
from fulfillment.infra.env import Env

app = App(name="secrets", help="The system's own keys: generate, rotate.")

Name = Literal["token_keys", "data_keys", "pepper", "cursor_key"]


@app.command
def generate(
    *,
    only: Annotated[Name | None, Parameter(help="Make this one alone, such as one more data key.")] = None,
    directory: Annotated[Path | None, Parameter(help="Write files for FULFILLMENT_SECRETS_DIR instead.")] = None,
) -> None:
    """Print new secrets as environment variables. They are made here and stored nowhere."""
    from fulfillment.infra import secrets

    made = {name: value for name, value in secrets.generate().items() if only in (None, name)}
    if directory is None:
        for name, value in made.items():
            print(f"FULFILLMENT_{name.upper()}={value}")
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = [name for name in made if (directory / f"fulfillment_{name}").exists()]
    if taken:
        print(f"{directory} has {', '.join(taken)} already: nothing was written.", file=sys.stderr)
        sys.exit(1)
    for name, value in made.items():
        path = directory / f"fulfillment_{name}"
        path.touch(mode=0o600)
        path.write_text(value + "\n")
    print(f"{len(made)} files written to {directory}.")


@app.command
def rotate(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> int:
    """Seal every webhook secret with the first of the data keys, while everything runs.

    First add the new key behind the others and restart the processes (SIGHUP), so that all know it; then move it to the
    front and restart; then run this; then remove the old key.
    """
    from fulfillment.partners import service

    async def work(env: Env) -> tuple[int, int]:
        return await service.reseal_webhook_secrets(env)

    resealed, unreadable = run(work, data_dir, database_url)
    print(f"{resealed} webhook secrets sealed with the current key.")
    if unreadable:
        print(f"{unreadable} can't be read: their key is not among the data keys. Add it again.", file=sys.stderr)
    return 1 if unreadable else 0
