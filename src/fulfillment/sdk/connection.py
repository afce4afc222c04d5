"""Where the API is, and who asks."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, cast
from urllib.parse import urlsplit

from .errors import ConfigurationError

ENVIRONMENT: Final[Mapping[str, str]] = {
    "api_url": "JUNIPER_API_URL",
    "token_url": "JUNIPER_TOKEN_URL",
    "client_id": "JUNIPER_CLIENT_ID",
    "client_secret": "JUNIPER_CLIENT_SECRET",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """The two addresses and the client's credentials.

    Raises:
        ConfigurationError: A part is empty, or an address is not http(s).
    """

    api_url: str  # with /v1
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)

    def __post_init__(self) -> None:
        for name in ENVIRONMENT:
            if not getattr(self, name):
                raise ConfigurationError(f"{name} is empty")
        for name in ("api_url", "token_url"):
            parts = urlsplit(str(getattr(self, name)))
            if parts.scheme not in {"http", "https"} or not parts.netloc:
                raise ConfigurationError(f"{name} is not an http or https address")
        object.__setattr__(self, "api_url", self.api_url.rstrip("/"))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read JUNIPER_API_URL, JUNIPER_TOKEN_URL, JUNIPER_CLIENT_ID and JUNIPER_CLIENT_SECRET.

        Raises:
            ConfigurationError: Some are not set; all of those are named.
        """
        found = os.environ if environ is None else environ
        missing = [variable for variable in ENVIRONMENT.values() if not found.get(variable)]
        if missing:
            raise ConfigurationError(f"set {', '.join(missing)}")
        return cls(**{name: found[variable] for name, variable in ENVIRONMENT.items()})

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a JSON file with api_url, token_url, client_id and client_secret, as the sandbox writes it.

        Raises:
            ConfigurationError: The file can't be read or lacks some of them; all of those are named.
        """
        try:
            found: object = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{os.fspath(path)} can't be read: {error.strerror}") from None
        except ValueError:
            raise ConfigurationError(f"{os.fspath(path)} is not JSON") from None
        members = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        given = {name: value for name in ENVIRONMENT if isinstance(value := members.get(name), str) and value}
        missing = [name for name in ENVIRONMENT if name not in given]
        if missing:
            raise ConfigurationError(f"{os.fspath(path)} lacks {', '.join(missing)}")
        return cls(**given)
