"""What both clients are: all operations, and how a client is set up."""

from os import PathLike
from typing import Final, Self

from .connection import Connection
from .exchange import Exchange
from .operations.catalog import Catalog
from .operations.events import Events
from .operations.orders import Orders
from .operations.protocols import Protocols
from .operations.sandbox import Sandbox
from .operations.settings import Settings
from .retries import Retries

DEFAULT_RETRIES: Final = Retries()


class Api(Orders, Protocols, Catalog, Settings, Events, Sandbox):
    """The Order Fulfillment API: one method for each operation.

    Args:
        api_url: With ``/v1``.
        token_url: Where tokens come from.
        client_id, client_secret: Your credentials.
        retries: How patient the client is.

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
    ) -> None:
        self._connection = Connection(api_url, token_url, client_id, client_secret)
        self._exchange = Exchange(self._connection, retries)

    def __repr__(self) -> str:
        """Show where the client goes, and never its secret."""
        return f"<{type(self).__name__} {self._connection!r}>"

    @classmethod
    def from_env(cls, *, retries: Retries = DEFAULT_RETRIES) -> Self:
        """Return a client set up by JUNIPER_API_URL, _TOKEN_URL, _CLIENT_ID and _CLIENT_SECRET.

        Raises:
            ConfigurationError: Some are not set; all of those are named.
        """
        return cls._of(Connection.from_env(), retries)

    @classmethod
    def from_file(cls, path: str | PathLike[str], *, retries: Retries = DEFAULT_RETRIES) -> Self:
        """Return a client set up by a JSON file, such as the sandbox's ``var/demo.json``.

        Raises:
            ConfigurationError: The file can't be read or lacks a part.
        """
        return cls._of(Connection.from_file(path), retries)

    @classmethod
    def _of(cls, found: Connection, retries: Retries) -> Self:
        return cls(found.api_url, found.token_url, found.client_id, found.client_secret, retries=retries)
