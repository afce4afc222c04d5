"""fulfillment login and logout: which partner the commands speak for."""

import os
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulfillment.cli import profiles
from fulfillment.sdk import Client, ConfigurationError, Connection


def login(
    *,
    profile: profiles.Profile = None,
    from_: Annotated[
        Path | None, Parameter(name="--from", help="Take all from a JSON file, such as the sandbox's var/demo.json.")
    ] = None,
    api_url: Annotated[str | None, Parameter(help="The API's address, with /v1.")] = None,
    token_url: Annotated[str | None, Parameter(help="Where tokens come from; default beside the API.")] = None,
    client_id: str | None = None,
) -> None:
    """Check credentials and keep them for the other commands, in ~/.config/juniper, readable by you only.

    What isn't given is asked for. The secret is never an option, since other users could see it: it is asked for,
    or read from the first line of standard input.
    """
    connection = Connection.from_file(from_) if from_ else _asked(api_url, token_url, client_id)
    with Client(connection.api_url, connection.token_url, connection.client_id, connection.client_secret) as juniper:
        settings = juniper.get_partner_settings()
    name = profile or os.environ.get("JUNIPER_PROFILE") or profiles.DEFAULT
    path = profiles.save(name, connection)
    print(f"You are {settings.name} at {connection.api_url}. Kept as {name!r} in {path}.")


def logout(*, profile: profiles.Profile = None) -> None:
    """Forget a login."""
    name = profile or os.environ.get("JUNIPER_PROFILE") or profiles.DEFAULT
    print(f"{name!r} is forgotten." if profiles.forget(name) else f"There is no login {name!r}.")


def _asked(api_url: str | None, token_url: str | None, client_id: str | None) -> Connection:
    at_terminal = sys.stdin.isatty()
    if not at_terminal and not (api_url and client_id):
        raise ConfigurationError("give --from FILE, or --api-url, --client-id and the secret on standard input")
    where = (api_url or input("API address, with /v1: ")).strip().rstrip("/")
    who = (client_id or input("Client id: ")).strip()
    secret = getpass("Client secret: ") if at_terminal else sys.stdin.readline().strip()
    return Connection(where, token_url or where.removesuffix("/v1") + "/oauth2/token", who, secret)
