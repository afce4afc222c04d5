"""Where the partner's commands find the API and its credentials: profiles that only their owner can read."""

import json
import os
import re
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from fulfillment.sdk import Client, ConfigurationError, Connection
from fulfillment.sdk.connection import ENVIRONMENT

Profile = Annotated[
    str | None, Parameter(help="The login to use (JUNIPER_PROFILE, else default); see `fulfillment login`.")
]
DEFAULT: Final = "default"
_DEMO: Final = Path("var/demo.json")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DATABASE_SETTINGS: Final = ("FULFILLMENT_DATABASE_URL", "FULFILLMENT_DATA_DIR")


def connect(profile: str | None) -> Client:
    """Return a client of the API.

    Raises:
        ConfigurationError: Nobody is logged in.
    """
    found = find(profile)
    return Client(found.api_url, found.token_url, found.client_id, found.client_secret)


def find(profile: str | None) -> Connection:
    """Return where the API is: the profile named here, JUNIPER_API_URL and the like, or the profile of the login.

    Without any of them, in the folder of a sandbox, it is the demo partner of that sandbox.

    Raises:
        ConfigurationError: There is no such profile, or nobody is logged in.
    """
    if profile is None and os.environ.get(ENVIRONMENT["api_url"]):
        return Connection.from_env()
    name = profile or os.environ.get("JUNIPER_PROFILE") or DEFAULT
    path = place(name)
    if not path.exists() and name == DEFAULT and profile is None and _DEMO.exists():
        return Connection.from_file(_DEMO)
    if not path.exists():
        raise ConfigurationError(
            f"there is no login {name!r}: run `fulfillment login"
            + (f" --profile {name}`" if name != DEFAULT else "`, or give --profile")
        )
    return Connection.from_file(path)


def over_api(profile: str | None, data_dir: Path | None, database_url: str | None) -> bool:
    """Return whether a command that knows both ways is to ask the API and not the database.

    A database that is named, by option or setting, is asked. Else whoever is logged in is a partner; and only without
    a login the database of this folder is meant.
    """
    if profile is not None:
        return True
    if data_dir is not None or database_url is not None or any(map(os.environ.get, _DATABASE_SETTINGS)):
        return False
    named = os.environ.get("JUNIPER_PROFILE") or os.environ.get(ENVIRONMENT["api_url"])
    return bool(named) or place(DEFAULT).exists()


def place(name: str) -> Path:
    """Return the file of a profile.

    Raises:
        ConfigurationError: The name can't be a file's.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError("a profile's name has letters, digits, dots, dashes and underscores, 64 at most")
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "juniper" / f"{name}.json"


def save(name: str, connection: Connection) -> Path:
    """Write a profile, readable by its owner only, and return its file."""
    path = place(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A new file that takes the old one's place: never half written, never for a moment readable by others.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(asdict(connection), indent=2) + "\n")
    temporary.replace(path)
    return path


def forget(name: str) -> bool:
    """Delete a profile and return whether there was one."""
    path = place(name)
    if not path.exists():
        return False
    path.unlink()
    return True
