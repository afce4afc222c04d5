"""Where webhooks may go: the rules for a receiver's URL and for every address its name resolves to."""

import asyncio
import functools
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

from yarl import URL

from fulfillment.kernel.errors import FulfillmentError, Kind

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Lookup = Callable[[str], Awaitable[Sequence[str]]]  # a name -> its addresses as text; raises OSError

HTTPS_PORTS: Final = frozenset({443, 8443})
HTTP_PORT: Final = 80
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_LONGEST_URL: Final = 2048
_LOOKUP_SECONDS: Final = 3.0
_LOOKUP_THREADS: Final = 32

# `ip_address.is_global` is no guard: it lets 192.0.0.8, multicast, 2002::/16 and the NAT64 form of the
# metadata address through. This is the union of what IANA reserves and what Svix and Smokescreen deny.
_V4_DENIED: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only global unicast is considered at all. That one rule ends ::, ::1, ::a.b.c.d, NAT64 (64:ff9b::/96 and
# 64:ff9b:1::/48), 100::/64, fc00::/7, fe80::/10, fec0::/10, ff00::/8 and 5f00::/16.
_V6_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_V6_DENIED: Final = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
_NAME: Final = re.compile(
    r"(?!.{254})(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class ForbiddenUrl(FulfillmentError):
    """The URL names a place that webhooks are not sent to."""

    kind = Kind.INVALID
    code = "webhook_url_forbidden"
    title = "Webhooks can't be sent to this URL"


class AddressRefused(OSError):
    """A connection was about to be made to an address that the policy denies."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What an operator lets webhooks reach. The default is production's: https to public addresses."""

    allow_http: bool = False
    allowed_networks: tuple[Network, ...] = ()  # reachable although the address rules deny them
    allowed_ports: frozenset[int] | None = HTTPS_PORTS  # None: any

    @classmethod
    def of(
        cls,
        *,
        sandbox: bool,
        allow_http: bool = False,
        networks: Iterable[str] = (),
        ports: Iterable[int] = (),
    ) -> Self:
        """Return the policy of an environment.

        The sandbox adds plain http, loopback and every port; production has 443 and 8443 (and 80, with http).

        Args:
            networks: CIDR texts of further networks.
            ports: Further ports.

        Raises:
            ValueError: A network is no CIDR.
        """
        cidrs = (*networks, *(_LOOPBACK if sandbox else ()))
        http = allow_http or sandbox
        allowed = HTTPS_PORTS | frozenset(ports) | frozenset[int]({HTTP_PORT} if http else ())
        return cls(
            http,
            tuple(ipaddress.ip_network(cidr, strict=False) for cidr in cidrs),
            None if sandbox else allowed,
        )


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that passed `check_url`. Requests are made with `url` itself: no second parser reads it."""

    url: URL
    host: str  # lower case, punycode, no brackets, no trailing dot
    port: int
    address: Address | None  # set where the host is an address


def is_allowed(address: str, policy: AddressPolicy) -> bool:
    """Return whether a connection to *address*, as the resolver or the connector writes it, may be made."""
    if "%" in address:  # a scope id: link-local by nature, and ip_address() would ignore it
        return False
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return _passes(found, policy)


def _passes(found: Address, policy: AddressPolicy) -> bool:
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found.version == network.version and found in network for network in policy.allowed_networks):
        return True
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in _V4_DENIED)
    return found in _V6_UNICAST and not any(found in network for network in _V6_DENIED)


def check_url(url: str, policy: AddressPolicy) -> CheckedUrl:
    """Check all of a receiver's URL that can be judged without asking the name's server.

    Raises:
        ForbiddenUrl: It is refused; the detail says why and repeats nothing of the URL.
    """
    parsed = _parse(url)
    if parsed.scheme not in ("https", "http") or (parsed.scheme == "http" and not policy.allow_http):
        raise ForbiddenUrl("The URL must start with https://.")
    if "@" in re.split(r"[/?#]", url.split("//", 1)[-1], maxsplit=1)[0]:
        raise ForbiddenUrl("The URL must not carry a user name or a password.")
    if "#" in url:
        raise ForbiddenUrl("The URL must not have a fragment (#...).")
    host, address = _host_of(parsed)
    if address is not None and not _passes(address, policy):
        raise _not_public()
    port = parsed.port or 0
    if not port or (policy.allowed_ports is not None and port not in policy.allowed_ports):
        raise ForbiddenUrl("Webhooks are not sent to this port; use 443 or 8443.")
    return CheckedUrl(parsed, host, port, address)


async def resolve_and_check(url: str, policy: AddressPolicy, *, lookup: Lookup | None = None) -> CheckedUrl:
    """Check a receiver's URL with every address that its name has at the moment.

    A name that does not resolve (yet) passes: nothing is connected to here, and every delivery checks anew.

    Raises:
        ForbiddenUrl: The URL, or any one of the addresses, is refused.
    """
    checked = check_url(url, policy)
    if checked.address is not None:
        return checked
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            addresses = await (lookup or system_lookup)(checked.host)
    except OSError:  # TimeoutError is one
        return checked
    if not all(is_allowed(address, policy) for address in addresses):
        raise _not_public()
    return checked


async def system_lookup(host: str) -> Sequence[str]:
    """Return all IPv4 and IPv6 addresses of *host*, as the system resolves it.

    Raises:
        OSError: The name does not resolve.
    """
    # Threads of our own: one name whose server hangs must not fill the loop's few, where the others' wait.
    found = await asyncio.get_running_loop().run_in_executor(
        _threads(os.getpid()), functools.partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    )
    return tuple(str(entry[4][0]) for entry in found)


@functools.cache
def _threads(_pid: int) -> ThreadPoolExecutor:
    """Return the process's own look-up threads; a forked child must not inherit its parent's."""
    return ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")


def _not_public() -> ForbiddenUrl:
    return ForbiddenUrl("The URL leads to an address that is not public; webhooks are not sent there.")


def _parse(url: str) -> URL:
    if len(url) > _LONGEST_URL:
        raise ForbiddenUrl(f"The URL is longer than {_LONGEST_URL} characters.")
    if _UNSAFE.search(url):
        raise ForbiddenUrl("The URL must not contain blanks, control characters or backslashes.")
    try:
        return URL(url)
    except (ValueError, IndexError):  # IndexError: brackets before an @ and nothing behind it
        raise ForbiddenUrl("The URL can't be read.") from None


def _host_of(parsed: URL) -> tuple[str, Address | None]:
    """Return the host and, where it is one, its address. yarl has mapped full-width digits and IDNs."""
    host = (parsed.raw_host or "").removesuffix(".")
    if not host:
        raise ForbiddenUrl("The URL has no host.")
    if "%" in host:
        raise ForbiddenUrl("The URL's host must not contain a per cent sign.")
    try:
        return host, ipaddress.ip_address(host)
    except ValueError:
        pass
    # What is left and ends in a number (0x7f.1, 127.1, 2130706433, 0177.0.0.1) is an address in disguise:
    # getaddrinfo would turn it into one.
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise ForbiddenUrl("An address in the URL must be written as four decimal numbers, without leading zeros.")
    if not _NAME.fullmatch(host):
        raise ForbiddenUrl("The URL's host is not a valid name.")
    return host, None
