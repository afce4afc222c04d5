"""What one process keeps in memory to give and check tokens: keys, tokens it knows, failed attempts."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fulfillment.infra.caches import Snapshot
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import Secrets
from fulfillment.infra.settings import Settings
from fulfillment.kernel.callers import Caller
from fulfillment.oauth.domain import Client
from fulfillment.oauth.throttle import SharedThrottle
from fulfillment.oauth.tokens import Tokens

CLIENTS: Final = "clients"  # the name of the cache
CLOCKS: Final = "clocks"  # and of the sandbox's test clocks
_NAME: Final = "oauth.authority"
_KNOWN_TOKENS: Final = 10_000

ClientsSnapshot = Snapshot[Mapping[str, Client]]


@dataclass(slots=True)
class KnownToken:
    """A token whose signature and claims were found good."""

    caller: Caller
    not_before: float  # Unix seconds, leeway included
    good_until: float
    clients: ClientsSnapshot | None = None  # by which its client was last judged
    live: bool = False  # and what came of it


@dataclass(slots=True)
class Authority:
    """The memory of one process."""

    settings: Settings
    secrets: Secrets
    tokens: Tokens
    throttle: SharedThrottle
    known: OrderedDict[bytes, KnownToken] = field(default_factory=OrderedDict[bytes, KnownToken])

    def remember(self, credentials: bytes, token: KnownToken) -> None:
        """Keep *token* under the header value it came in; the longest unused is forgotten first."""
        self.known[credentials] = token
        if len(self.known) > _KNOWN_TOKENS:
            self.known.popitem(last=False)


def authority_of(env: Env) -> Authority:
    """Return the authority of *env*, the same for the life of the process."""
    authority: Authority | None = env.local.get(_NAME)
    if authority is None or authority.settings is not env.settings or authority.secrets is not env.secrets:
        authority = env.local[_NAME] = _made(env)
    return authority


def _made(env: Env) -> Authority:
    base_url = env.settings.base_url
    return Authority(
        env.settings,
        env.secrets,
        Tokens(
            env.secrets.token_keys,
            issuer=base_url,
            audience=base_url + "/v1",
            ttl_seconds=env.settings.token_ttl_seconds,
        ),
        SharedThrottle(env),
    )
