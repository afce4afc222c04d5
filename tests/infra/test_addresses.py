"""Where webhooks may go."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.infra.addresses import (
    AddressPolicy,
    ForbiddenUrl,
    Lookup,
    check_url,
    is_allowed,
    resolve_and_check,
)

pytestmark = pytest.mark.anyio

PRODUCTION = AddressPolicy()
SANDBOX = AddressPolicy.of(sandbox=True)

BAD = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.254",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "233.252.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c:0:0:5601:5601",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
]
GOOD = [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
    "::ffff:8.8.8.8",
]


def answers(*addresses: str) -> Lookup:
    """A resolver that knows one answer."""

    async def lookup(_: str) -> Sequence[str]:
        return addresses

    return lookup


@pytest.mark.parametrize("address", BAD)
def test_refused_address(address: str) -> None:
    """No private, reserved, translated or scoped address may be connected to."""
    assert not is_allowed(address, PRODUCTION)


@pytest.mark.parametrize("address", GOOD)
def test_public_address(address: str) -> None:
    """A public address may be connected to."""
    assert is_allowed(address, PRODUCTION)


@given(st.integers(0, 2**32 - 1))
def test_agrees_with_the_standard_library_on_ipv4(number: int) -> None:
    """What the standard library calls not global is never allowed."""
    address = IPv4Address(number)
    assert address.is_global or not is_allowed(str(address), PRODUCTION)


@given(st.integers(0, 2**128 - 1) | st.integers(0x2000 << 112, (0x2003 << 112) - 1))
def test_agrees_with_the_standard_library_on_ipv6(number: int) -> None:
    """What the standard library calls not global is never allowed."""
    address = IPv6Address(number)
    assert address.is_global or not is_allowed(str(address), PRODUCTION)


def test_what_is_no_address_is_refused() -> None:
    """A text that is no address is not allowed."""
    assert not is_allowed("example.com", PRODUCTION)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0X7F.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://0/",
        "https://10.1/",
        "https://127.0.0.01/",
        "https://127.0.0.1.0x/",
        "https://１２７.0.0.1/",
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://%31%32%37.0.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:ffff:127.0.0.1]/",
        "https://[64:ff9b::127.0.0.1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://8.8.8/",
    ],
)
def test_refused_literal(url: str) -> None:
    """An address of ours is refused in every spelling, and an odd spelling of any address is refused."""
    with pytest.raises(ForbiddenUrl):
        check_url(url, PRODUCTION)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "//example.com/hook",
        "http://example.com/hook",
        "ftp://example.com/hook",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https:example.com",
        "https:///hook",
        "https://",
        "https://./hook",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://:@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1\\@example.com/",
        "https://example.com\\.evil.com/",
        "https://example.com/#fragment",
        "https://example.com/#",
        "https://example.com/a b",
        "https://example.com/\r\nHost: x",
        "https://exa\tmple.com/",
        "https://a..b/",
        "https://-a.com/",
        "https://exa%6dple.com/",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 127 + "com/",
        "https://example.com/" + "a" * 2048,
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:25/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:443x/",
        "https://[1.2.3.4]/",
        "https://[::1",
        "https://e\u200bxample.com/",
    ],
)
def test_refused_url(url: str) -> None:
    """A URL that is not plain https to a named host and port is refused."""
    with pytest.raises(ForbiddenUrl):
        check_url(url, PRODUCTION)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com", "example.com", 443),
        ("HTTPS://Example.COM./hook?a=b", "example.com", 443),
        ("https://example.com:8443/hook", "example.com", 8443),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ("https://hooks_in.example.com/", "hooks_in.example.com", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443),
        ("https://1.example.com/@home", "1.example.com", 443),
    ],
)
def test_accepted_url(url: str, host: str, port: int) -> None:
    """An ordinary https URL passes, with its host in lower case and punycode."""
    checked = check_url(url, PRODUCTION)

    assert (checked.host, checked.port) == (host, port)


def test_a_refusal_repeats_nothing() -> None:
    """The detail of a refusal says why and shows no part of the URL, which may hold a secret."""
    with pytest.raises(ForbiddenUrl, match="user name or a password") as refused:
        check_url("https://user:hunter2@example.com/", PRODUCTION)

    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3000/hook", "http://[::1]:9/", "http://localhost:3000/", "http://example.com/"]
)
def test_sandbox_allows_the_own_machine(url: str) -> None:
    """The sandbox sends to http, to loopback and to any port."""
    check_url(url, SANDBOX)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/", "http://[fd00::1]/", "http://127.1/"])
def test_sandbox_allows_no_more_than_that(url: str) -> None:
    """The sandbox does not send to other private addresses, nor to odd spellings."""
    with pytest.raises(ForbiddenUrl):
        check_url(url, SANDBOX)


def test_an_operator_opens_a_network_and_a_port() -> None:
    """A self-hoster's networks and ports are reachable, and nothing beside them."""
    policy = AddressPolicy.of(sandbox=False, networks=("10.1.0.0/16",), ports=(9443,))

    assert check_url("https://10.1.2.3:9443/", policy).address == IPv4Address("10.1.2.3")
    assert check_url("https://[::ffff:10.1.2.3]/", policy).port == 443
    for url in ("https://10.2.0.1/", "https://10.1.2.3:9444/", "http://10.1.2.3/"):
        with pytest.raises(ForbiddenUrl):
            check_url(url, policy)


def test_http_brings_port_80() -> None:
    """Where http is allowed, its own port is."""
    policy = AddressPolicy.of(sandbox=False, allow_http=True)

    assert check_url("http://example.com/", policy).port == 80
    assert policy.allowed_networks == ()


def test_a_bad_network_stops_the_start() -> None:
    """A network that is no CIDR is an error."""
    with pytest.raises(ValueError, match="nonsense"):
        AddressPolicy.of(sandbox=False, networks=("nonsense",))


@pytest.mark.parametrize("address", BAD)
async def test_refused_by_its_name(address: str) -> None:
    """A name that leads to a refused address is refused on save, with the same code as a literal."""
    with pytest.raises(ForbiddenUrl) as refused:
        await resolve_and_check("https://hooks.example.com/", PRODUCTION, lookup=answers(address))

    assert refused.value.code == "webhook_url_forbidden"


async def test_one_bad_answer_spoils_all() -> None:
    """A name with a public and a private address is refused."""
    with pytest.raises(ForbiddenUrl):
        await resolve_and_check("https://a.example/", PRODUCTION, lookup=answers("8.8.8.8", "10.0.0.1"))


async def test_accepted_by_its_name() -> None:
    """A name whose addresses are all public passes."""
    checked = await resolve_and_check("https://a.example/", PRODUCTION, lookup=answers(*GOOD))

    assert checked.host == "a.example"


async def test_a_name_that_does_not_resolve_yet() -> None:
    """A name without an address passes on save: every delivery checks it anew."""

    async def lookup(_: str) -> Sequence[str]:
        raise OSError("no such name")

    assert (await resolve_and_check("https://a.example/", PRODUCTION, lookup=lookup)).host == "a.example"


async def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that takes too long does not hold up the one who saves."""
    monkeypatch.setattr("fulfillment.infra.addresses._LOOKUP_SECONDS", 0.01)

    async def lookup(_: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return ()

    assert (await resolve_and_check("https://a.example/", PRODUCTION, lookup=lookup)).port == 443


async def test_a_literal_is_not_looked_up() -> None:
    """An address in the URL is judged as it is."""

    async def lookup(_: str) -> Sequence[str]:
        raise AssertionError("looked up")

    assert (await resolve_and_check("https://8.8.8.8/", PRODUCTION, lookup=lookup)).host == "8.8.8.8"


async def test_the_system_resolver() -> None:
    """localhost is looked up by the system, and refused in production."""
    with pytest.raises(ForbiddenUrl):
        await resolve_and_check("https://localhost/", PRODUCTION)

    assert (await resolve_and_check("https://localhost/", SANDBOX)).host == "localhost"


def test_networks_of_the_sandbox() -> None:
    """The sandbox opens both families of loopback and nothing else."""
    assert set(SANDBOX.allowed_networks) == {ip_network("127.0.0.0/8"), ip_network("::1/128")}
