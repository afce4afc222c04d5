"""The token endpoint's two shapes: the form of RFC 6749 4.4.2, and the answers of 5.1 and 5.2."""

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from fulfillment.infra import jsontext
from fulfillment.infra.settings import Settings
from fulfillment.kernel.callers import Scope
from fulfillment.oauth.domain import InvalidClient, TokenRefused, UnsupportedGrantType

TOKEN_PATH: Final = "/oauth2/token"
GRANT_TYPE: Final = "client_credentials"
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 32


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token, in good shape."""

    client_id: str
    secret: str = field(repr=False)
    scope: str  # empty: whatever the client has


def read_token_request(headers: Sequence[tuple[bytes, bytes]], query_string: bytes, body: bytes) -> TokenRequest:
    """Return what is asked for, and by whom.

    Raises:
        TokenRefused: It is not a form, or names something twice or in two ways.
        UnsupportedGrantType: It is not for client credentials.
        InvalidClient: Nobody in particular asks, or in a way we do not know.
    """
    if query_string:
        raise TokenRefused("Send the parameters in the body; a URL is written to logs.")
    _check_form(_only(headers, b"content-type"))
    form = _read_form(body)
    if "grant_type" not in form:
        raise TokenRefused("The parameter grant_type is missing.")
    if form["grant_type"] != GRANT_TYPE:
        raise UnsupportedGrantType(f"The only grant type is {GRANT_TYPE}.")
    authorization = _only(headers, b"authorization")
    client_id, secret = _in_body(form) if authorization is None else _in_header(authorization, form)
    return TokenRequest(client_id, secret, form.get("scope", ""))


def token_answer(token: str, ttl_seconds: int, scope: Scope) -> bytes:
    """Return the body of RFC 6749 5.1."""
    # Nothing in it needs escaping, and this is the hottest answer of all.
    return (
        f'{{"access_token":"{token}","token_type":"Bearer","expires_in":{ttl_seconds},"scope":"{scope.value}"}}'
    ).encode()


def refusal(error: TokenRefused) -> bytes:
    """Return the body of RFC 6749 5.2."""
    return jsontext.write({"error": error.code, "error_description": error.detail})


def metadata(settings: Settings) -> Mapping[str, object]:
    """Return what RFC 8414 tells clients about this server."""
    base_url = settings.base_url
    return {
        "issuer": base_url,
        "token_endpoint": base_url + TOKEN_PATH,
        "grant_types_supported": [GRANT_TYPE],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
        "scopes_supported": [Scope.PARTNER.value],
        "service_documentation": base_url + "/docs",
    }


def _only(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = [value for key, value in headers if key == name]
    if len(found) > 1:
        raise TokenRefused(f"Send one {name.decode().title()} header.")
    return found[0].decode("latin-1") if found else None


def _check_form(content_type: str | None) -> None:
    kind, _, parameters = (content_type or "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"') if "charset=" in parameters else "utf-8"
    if kind.strip() != _FORM or charset not in {"utf-8", "utf8"}:
        raise TokenRefused(f"Send the body as {_FORM} in UTF-8.")


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise TokenRefused("The form can't be read.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefused("A parameter is given twice.")
    if "\x00" in "".join(form.values()):
        raise TokenRefused("A parameter holds a NUL character.")
    # RFC 6749 3.2: a parameter without a value counts as left out.
    return {name: value for name, value in form.items() if value}


def _in_body(form: Mapping[str, str]) -> tuple[str, str]:
    if "client_id" not in form or "client_secret" not in form:
        raise InvalidClient("Send client_id and client_secret, in the body or as HTTP Basic.")
    return form["client_id"], form["client_secret"]


def _in_header(authorization: str, form: Mapping[str, str]) -> tuple[str, str]:
    if "client_secret" in form:
        raise TokenRefused("Send the secret in the body or as HTTP Basic, not in both.")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("Clients prove who they are by HTTP Basic or in the body.")
    try:
        text = b64decode(encoded.strip(" "), validate=True).decode()
        # RFC 6749 2.3.1: both are form-urlencoded before they go into the header.
        client_id, secret = (unquote_plus(part, errors="strict") for part in text.split(":", 1))
    except (binascii.Error, ValueError):
        raise InvalidClient("The Authorization header can't be read.") from None
    if not client_id or not secret or "\x00" in client_id + secret:
        raise InvalidClient("The Authorization header can't be read.")
    if form.get("client_id", client_id) != client_id:
        raise TokenRefused("The body and the Authorization header name different clients.")
    return client_id, secret
