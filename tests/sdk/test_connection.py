"""How a client learns where the API is."""

import json
from pathlib import Path

import pytest

from fulfillment.sdk import AsyncClient, Client, ConfigurationError, Connection

PARTS = {
    "api_url": "http://127.0.0.1:8000/v1",
    "token_url": "http://127.0.0.1:8000/oauth2/token",
    "client_id": "client-1",
    "client_secret": "secret-1",
}
ENVIRON = {f"JUNIPER_{name.upper()}": value for name, value in PARTS.items()}


def test_from_env():
    """The four variables make a connection."""
    assert Connection.from_env(ENVIRON) == Connection(**PARTS)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_clients_from_env(kind: type[Client | AsyncClient], monkeypatch: pytest.MonkeyPatch):
    """Both clients read the process's environment."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)

    assert "127.0.0.1:8000/v1" in repr(kind.from_env())


def test_what_is_missing_is_named():
    """All variables that are missing are named at once."""
    with pytest.raises(ConfigurationError) as caught:
        Connection.from_env({"JUNIPER_API_URL": "http://a", "JUNIPER_CLIENT_ID": ""})

    assert str(caught.value) == "set JUNIPER_TOKEN_URL, JUNIPER_CLIENT_ID, JUNIPER_CLIENT_SECRET"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_from_file(kind: type[Client | AsyncClient], tmp_path: Path):
    """The sandbox's demo.json makes a client; what else is in it does not matter."""
    file = tmp_path / "demo.json"
    file.write_text(json.dumps({**PARTS, "partner_id": "p1"}))

    assert "client-1" in repr(kind.from_file(file))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "lacks api_url, token_url, client_id, client_secret"),
        (json.dumps({**PARTS, "client_secret": None}), "lacks client_secret"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: str, why: str):
    """A file that lacks something says what, and shows none of its content."""
    file = tmp_path / "demo.json"
    file.write_text(content)

    with pytest.raises(ConfigurationError) as caught:
        Connection.from_file(file)

    assert str(caught.value) == f"{file} {why}"


def test_no_file(tmp_path: Path):
    """A file that is not there says so."""
    with pytest.raises(ConfigurationError, match="can't be read: No such file"):
        Connection.from_file(tmp_path / "none.json")


@pytest.mark.parametrize(
    "changes",
    [{"api_url": ""}, {"api_url": "localhost:8000/v1"}, {"token_url": "ftp://a/b"}, {"client_secret": ""}],
)
def test_malformed_parts(changes: dict[str, str]):
    """An empty part or an address that is not http is refused when the connection is described."""
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        Connection(**{**PARTS, **changes})


def test_a_trailing_slash_does_not_matter():
    """/v1/ and /v1 are the same address."""
    assert Connection(**{**PARTS, "api_url": "http://a/v1/"}).api_url == "http://a/v1"
