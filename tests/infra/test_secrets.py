"""Sealing, hashing, and keeping the keys."""

import json
import multiprocessing
import re
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from fulfillment.infra.secrets import (
    KeyRing,
    NamedKey,
    Secrets,
    SecretsInvalid,
    SecretUnreadable,
    generate,
    hash_secret,
    load_or_create,
    new_client_id,
    new_client_secret,
    parse_keys,
    secret_matches,
)

OLD, NEW = NamedKey("old", b"o" * 32), NamedKey("new", b"n" * 32)
HERE = "partners/1/webhook_secret"
SECRET = "0123456789abcdef" * 4
GOOD = {
    "token_keys": "t1:" + b64encode(b"t" * 32).decode(),
    "data_keys": f"new:{b64encode(NEW.key).decode()}, old:{b64encode(OLD.key).decode()}",
    "pepper": b64encode(b"p" * 32).decode(),
    "cursor_key": b64encode(b"c" * 32).decode(),
}


def test_what_was_sealed_opens() -> None:
    """A sealed text opens where it was sealed for, whatever its characters."""
    ring = KeyRing([NEW])

    for text in (SECRET, "", "Zoë 😀", "x" * 10_000):
        assert ring.open(ring.seal(text, identity=HERE), identity=HERE) == text


def test_the_seal_hides() -> None:
    """The sealed text names its key, shows nothing of the plaintext, and differs every time."""
    ring = KeyRing([NEW])
    sealed = {ring.seal(SECRET, identity=HERE) for _ in range(50)}

    assert len(sealed) == 50
    # 12 bytes of nonce, 64 of text and 16 of tag are 123 characters of base64.
    assert all(re.fullmatch(r"v1\.new\.[A-Za-z0-9_-]{123}", text) for text in sealed)
    assert not any(SECRET[:8] in text for text in sealed)


def test_a_copied_row_does_not_open() -> None:
    """What was sealed for one partner does not open for another."""
    ring = KeyRing([NEW])
    sealed = ring.seal(SECRET, identity=HERE)

    with pytest.raises(SecretUnreadable):
        ring.open(sealed, identity="partners/2/webhook_secret")


@pytest.mark.parametrize("place", range(7, 130, 12))
def test_a_changed_seal_does_not_open(place: int) -> None:
    """A change anywhere is noticed."""
    ring = KeyRing([NEW])
    sealed = ring.seal(SECRET, identity=HERE)
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]

    with pytest.raises(SecretUnreadable):
        ring.open(changed, identity=HERE)


@pytest.mark.parametrize(
    "sealed", ["", "v1", SECRET, "v2.new.AAAA", "v1.new.", "v1.new.AAAA", "v1.new.é", "v1..A", "v1.a b.A"]
)
def test_what_is_no_seal_does_not_open(sealed: str) -> None:
    """A text that was never sealed is an error of its own kind."""
    with pytest.raises(SecretUnreadable):
        KeyRing([NEW]).open(sealed, identity=HERE)


def test_the_same_key_under_another_name_does_not_open() -> None:
    """The key's id is part of the seal."""
    sealed = KeyRing([NEW]).seal(SECRET, identity=HERE)

    with pytest.raises(SecretUnreadable):
        KeyRing([NamedKey("other", NEW.key)]).open(sealed.replace("v1.new.", "v1.other."), identity=HERE)


def test_rotation() -> None:
    """After a rotation old seals open and are known as old, until all are renewed and the old key goes."""
    sealed = KeyRing([OLD]).seal(SECRET, identity=HERE)
    ring = KeyRing([NEW, OLD])

    assert ring.open(sealed, identity=HERE) == SECRET
    assert ring.needs_rotation(sealed)
    renewed = ring.seal(SECRET, identity=HERE)
    assert not ring.needs_rotation(renewed)
    assert KeyRing([NEW]).open(renewed, identity=HERE) == SECRET
    with pytest.raises(SecretUnreadable, match="'old' is not in the ring"):
        KeyRing([NEW]).open(sealed, identity=HERE)


def test_the_hash_is_what_openssl_computes() -> None:
    """A client secret is stored as HMAC-SHA256 under the pepper."""
    pepper = bytes(range(32))
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{pepper.hex()}", "-r"]
    run = subprocess.run(command, input=b"jun_sk_live_x", capture_output=True, check=True)

    assert hash_secret("jun_sk_live_x", pepper) == run.stdout.split()[0].decode()


def test_only_the_secret_itself_matches() -> None:
    """Another secret, another pepper and a damaged hash do not match."""
    stored = hash_secret("secret", b"p" * 32)

    assert secret_matches("secret", stored, b"p" * 32)
    assert not secret_matches("Secret", stored, b"p" * 32)
    assert not secret_matches("secret", stored, b"q" * 32)
    assert not secret_matches("secret", stored[:-1], b"p" * 32)
    assert not secret_matches("sécret", "é", b"p" * 32)


def test_client_credentials_show_what_they_are() -> None:
    """Ids and secrets name their kind and environment, and are never the same twice."""
    assert re.fullmatch(r"jun_sk_sandbox_[A-Za-z0-9_-]{43}", new_client_secret("sandbox"))
    assert re.fullmatch(r"jun_sk_live_[A-Za-z0-9_-]{43}", new_client_secret("production"))
    assert re.fullmatch(r"jun_ci_sandbox_[A-Za-z0-9_-]{22}", new_client_id("sandbox"))
    assert re.fullmatch(r"jun_ci_live_[A-Za-z0-9_-]{22}", new_client_id("production"))
    assert len({new_client_secret("sandbox") for _ in range(100)}) == 100


def test_settings_become_secrets() -> None:
    """The first key of a list is the current one."""
    secrets = Secrets.from_settings_values(**GOOD)

    assert secrets.pepper == b"p" * 32
    assert secrets.cursor_key == b"c" * 32
    assert secrets.token_keys == (NamedKey("t1", b"t" * 32),)
    assert secrets.data_keys.seal("x", identity=HERE).startswith("v1.new.")
    assert secrets.data_keys.open(KeyRing([OLD]).seal("x", identity=HERE), identity=HERE) == "x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token_keys", ""),
        ("token_keys", "nocolon"),
        ("token_keys", "a:short"),
        ("token_keys", "a:" + b64encode(b"x" * 31).decode()),
        ("token_keys", f"{GOOD['token_keys']},{GOOD['token_keys']}"),
        ("token_keys", "a b:" + b64encode(b"x" * 32).decode()),
        ("data_keys", ","),
        ("data_keys", "a:" + b64encode(b"x" * 33).decode()),
        ("data_keys", "a:!!!!" + b64encode(b"x" * 32).decode()),
        ("pepper", "é" * 50),
        ("pepper", b64encode(b"x" * 16).decode()),
        ("cursor_key", "not base64 at all, not at all"),
    ],
)
def test_bad_settings_are_named_not_shown(name: str, value: str) -> None:
    """A key that can't be used stops the start, and its text is not repeated."""
    with pytest.raises(SecretsInvalid) as refused:
        Secrets.from_settings_values(**GOOD | {name: value})

    assert len(value) < 3 or value not in refused.value.detail


@pytest.mark.parametrize("keys", [[], [OLD, NamedKey("old", b"x" * 32)], [NamedKey("short", b"x" * 16)]])
def test_a_ring_of_bad_keys(keys: list[NamedKey]) -> None:
    """A ring needs a key, ids of their own, and 32 bytes each."""
    with pytest.raises(SecretsInvalid):
        KeyRing(keys)


def test_nothing_is_printed() -> None:
    """The text of secrets, as a log or a trace would show it, has no key in it."""
    shown = repr(Secrets.from_settings_values(**GOOD))

    for key in (b"t" * 32, b"n" * 32, b"p" * 32, b"c" * 32):
        assert repr(key)[2:-1] not in shown
    assert "'new'" in shown


def test_generated_settings_can_be_used() -> None:
    """New settings are four, and different every time."""
    first, second = generate(), generate()

    assert set(first) == {"token_keys", "data_keys", "pepper", "cursor_key"}
    assert not set(first.values()) & set(second.values())
    Secrets.from_settings_values(**first)


def test_the_file_is_made_once(tmp_path: Path) -> None:
    """The first start makes the secrets, readable by the owner only; every later one finds the same."""
    path = tmp_path / "new folder" / "secrets.json"

    first = load_or_create(path)

    assert path.stat().st_mode & 0o777 == 0o600
    again = load_or_create(path)
    assert (again.pepper, again.cursor_key, again.token_keys) == (
        first.pepper,
        first.cursor_key,
        first.token_keys,
    )
    assert again.data_keys.open(first.data_keys.seal(SECRET, identity=HERE), identity=HERE) == SECRET
    assert sorted(file.name for file in path.parent.iterdir()) == [".secrets.json.lock", "secrets.json"]


def test_a_later_secret_is_added(tmp_path: Path) -> None:
    """A file that lacks a secret gets it, and keeps what it has."""
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({name: GOOD[name] for name in ("token_keys", "data_keys", "pepper")}))
    path.chmod(0o644)

    secrets = load_or_create(path)

    assert secrets.pepper == b"p" * 32
    assert json.loads(path.read_text()).keys() == GOOD.keys()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pepper": 1}'])
def test_a_damaged_file_is_left_alone(tmp_path: Path, text: str) -> None:
    """A file that is not one of secrets stops the start; overwriting it would lose what it sealed."""
    path = tmp_path / "secrets.json"
    path.write_text(text)

    with pytest.raises(SecretsInvalid, match="restore it"):
        load_or_create(path)

    assert path.read_text() == text


def _pepper(path: Path) -> bytes:
    return load_or_create(path).pepper


def test_many_start_at_once(tmp_path: Path) -> None:
    """Processes that start together on an empty folder all get the same secrets."""
    with multiprocessing.get_context("fork").Pool(8) as pool:
        peppers = pool.map(_pepper, [tmp_path / "secrets.json"] * 32, chunksize=1)

    assert len(set(peppers)) == 1


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, there is no half a file, and the next start makes a whole one."""
    path = tmp_path / "secrets.json"

    def no_space(_: int) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", no_space)
        with pytest.raises(OSError, match="no space"):
            load_or_create(path)
    assert [file.name for file in tmp_path.iterdir()] == [".secrets.json.lock"]

    load_or_create(path)


def test_keys_keep_their_order() -> None:
    """A list of keys is read in the order it is written."""
    text = ",".join(f"k{number}:{b64encode(bytes([number]) * 32).decode()}" for number in range(5))

    assert [key.id for key in parse_keys(text, "token_keys")] == ["k0", "k1", "k2", "k3", "k4"]
