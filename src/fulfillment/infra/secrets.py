"""Secrets: sealing what must be read again, hashing what must not, and where the keys come from."""

import binascii
import hmac
import json
import os
import re
import secrets as random
import tempfile
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, Self, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fulfillment.kernel.errors import FulfillmentError, Kind

Environment = Literal["sandbox", "production"]

_VERSION: Final = "v1"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_NAMES: Final = ("token_keys", "data_keys", "pepper", "cursor_key")


class SecretsInvalid(FulfillmentError):
    """The keys given to the system can't be used."""

    kind = Kind.INVALID
    code = "secrets_invalid"
    title = "A key can't be used"


class SecretUnreadable(Exception):
    """A sealed value does not open: its key is missing, it was changed, or it belongs to another row."""


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key and the id that names it beside what was made with it."""

    id: str
    key: bytes = field(repr=False)


class KeyRing:
    """Seals text with AES-256-GCM, so that it opens only for the row it was sealed for.

    Args:
        keys: 32 bytes each. The first seals; all of them open.

    Raises:
        SecretsInvalid: There is no key, an id is used twice, or a key has another length.
    """

    def __init__(self, keys: Sequence[NamedKey]) -> None:
        if any(len(key.key) != _KEY_BYTES for key in keys):
            raise SecretsInvalid(f"An encryption key must be {_KEY_BYTES} bytes.")
        if not keys or len({key.id for key in keys}) != len(keys):
            raise SecretsInvalid("A key ring needs at least one key, and each key an id of its own.")
        self._ciphers: Mapping[str, AESGCM] = {key.id: AESGCM(key.key) for key in keys}
        self._current = keys[0].id

    def __repr__(self) -> str:
        return f"KeyRing(current={self._current!r}, ids={list(self._ciphers)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the ring of ``ID:BASE64,ID:BASE64``; the first key is the current one.

        Raises:
            SecretsInvalid: The text is none; the detail repeats nothing of it.
        """
        return cls(parse_keys(text, "data_keys"))

    def seal(self, plaintext: str, *, identity: str) -> str:
        """Return *plaintext* sealed as ``v1.{key id}.{base64url of nonce and ciphertext}``.

        Args:
            identity: The value's place, such as ``partners/{id}/webhook_secret``. It opens for no other.
        """
        nonce = random.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, plaintext.encode(), _bound_to(self._current, identity))
        return f"{_VERSION}.{self._current}.{_to_base64url(nonce + sealed)}"

    def open(self, sealed: str, *, identity: str) -> str:
        """Return what was sealed for *identity*.

        Raises:
            SecretUnreadable: It does not open.
        """
        key_id = _key_id_of(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SecretUnreadable(f"the key {key_id!r} is not in the ring")
        try:
            box = _from_base64url(sealed.rpartition(".")[2])
            return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], _bound_to(key_id, identity)).decode()
        except (InvalidTag, ValueError):
            raise SecretUnreadable("it was changed, or sealed for another place") from None

    def needs_rotation(self, sealed: str) -> bool:
        """Return whether *sealed* was made with a key that is no longer the current one.

        Raises:
            SecretUnreadable: It is no sealed value.
        """
        return _key_id_of(sealed) != self._current


def _key_id_of(sealed: str) -> str:
    parts = sealed.split(".")
    if len(parts) != 3 or parts[0] != _VERSION or not _KEY_ID.fullmatch(parts[1]):
        raise SecretUnreadable("it is not a sealed value")
    return parts[1]


def _bound_to(key_id: str, identity: str) -> bytes:
    return f"{_VERSION}\0{key_id}\0{identity}".encode()


def hash_secret(secret: str, pepper: bytes) -> str:
    """Return what is stored of a client secret: hex HMAC-SHA256 under *pepper*.

    Fast on purpose: our secrets are 256 random bits, no slow hash makes them harder to guess, and a slow one
    would let anybody exhaust the token endpoint. Never use it for anything a person chose.
    """
    return hmac.digest(pepper, secret.encode(), sha256).hex()


def secret_matches(secret: str, stored: str, pepper: bytes) -> bool:
    """Return whether *stored* is the hash of *secret*, in a time that tells nothing of how near it is."""
    return hmac.compare_digest(hash_secret(secret, pepper).encode(), stored.encode())


def new_client_id(environment: Environment) -> str:
    """Return a new client id: ``jun_ci_sandbox_`` or ``jun_ci_live_`` and 22 characters."""
    return f"jun_ci_{_LABELS[environment]}_{random.token_urlsafe(16)}"


def new_client_secret(environment: Environment) -> str:
    """Return a new client secret: ``jun_sk_sandbox_`` or ``jun_sk_live_`` and 43 characters (256 bits).

    The prefix lets scanners of repositories and logs find a leaked one.
    """
    return f"jun_sk_{_LABELS[environment]}_{random.token_urlsafe(32)}"


_LABELS: Final[Mapping[Environment, str]] = {"sandbox": "sandbox", "production": "live"}


@dataclass(frozen=True, slots=True)
class Secrets:
    """All keys of a running system. Nothing of them shows when it is printed."""

    pepper: bytes = field(repr=False)  # under which client secrets are hashed
    data_keys: KeyRing  # seals webhook secrets
    cursor_key: bytes = field(repr=False)  # signs page cursors
    token_keys: tuple[NamedKey, ...]  # sign access tokens; the first signs, all verify

    @classmethod
    def from_settings_values(cls, *, token_keys: str, data_keys: str, pepper: str, cursor_key: str) -> Self:
        """Return the secrets of four settings' texts.

        Args:
            token_keys: ``ID:BASE64,ID:BASE64``, at least 32 bytes each.
            data_keys: ``ID:BASE64,ID:BASE64``, 32 bytes each.
            pepper: Base64 of at least 32 bytes.
            cursor_key: Base64 of at least 32 bytes.

        Raises:
            SecretsInvalid: One can't be used; the detail names the setting and repeats nothing of it.
        """
        return cls(
            pepper=_decoded(pepper, "pepper"),
            data_keys=KeyRing.parse(data_keys),
            cursor_key=_decoded(cursor_key, "cursor_key"),
            token_keys=parse_keys(token_keys, "token_keys"),
        )


def parse_keys(text: str, setting: str) -> tuple[NamedKey, ...]:
    """Return the keys of ``ID:BASE64,ID:BASE64``, in their order.

    Raises:
        SecretsInvalid: The text is none, an id is used twice, or a key is shorter than 32 bytes.
    """
    keys: list[NamedKey] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key_id, colon, value = part.partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise SecretsInvalid(f"{setting} must look like ID:BASE64,ID:BASE64.")
        keys.append(NamedKey(key_id, _decoded(value, setting)))
    if not keys or len({key.id for key in keys}) != len(keys):
        raise SecretsInvalid(f"{setting} needs at least one key, and each key an id of its own.")
    return tuple(keys)


def _decoded(text: str, setting: str) -> bytes:
    try:
        value = b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SecretsInvalid(f"{setting} is not base64.") from None
    if len(value) < _KEY_BYTES:
        raise SecretsInvalid(f"{setting} must be at least {_KEY_BYTES} bytes.")
    return value


def generate() -> dict[str, str]:
    """Return new texts for the settings token_keys, data_keys, pepper and cursor_key."""
    return {name: _new_value(name) for name in _NAMES}


def _new_value(name: str) -> str:
    value = b64encode(random.token_bytes(_KEY_BYTES)).decode()
    # The id is random, so that keys made on two machines never share one.
    return f"k{random.token_hex(4)}:{value}" if name in ("token_keys", "data_keys") else value


def load_or_create(path: Path) -> Secrets:
    """Return the secrets kept in the file *path*, making whatever is missing of them first.

    For installations without an operator: the file holds the four settings' texts as JSON, mode 0600. However
    many processes start at once, all get the same, and a crash leaves the old file or the new one.

    Raises:
        SecretsInvalid: The file is there and can't be read as such. It is never overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as lock:
        flock(lock, LOCK_EX)
        values = _read(path)
        missing = [name for name in _NAMES if name not in values]
        if missing:
            values |= {name: _new_value(name) for name in missing}
            _write(path, values)
    return Secrets.from_settings_values(**{name: values[name] for name in _NAMES})


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    if path.stat().st_mode & 0o077:  # restored from a backup, perhaps
        path.chmod(0o600)
    with suppress(ValueError):
        values = json.loads(text)
        if isinstance(values, dict) and all(
            isinstance(value, str) for value in cast("dict[str, object]", values).values()
        ):
            return cast("dict[str, str]", values)
    raise SecretsInvalid(f"{path} is not a file of secrets; restore it, or what it sealed can't be read again.")


def _write(path: Path, values: Mapping[str, str]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(values, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _to_base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
