"""What Prism says of a run is weighed right: of a refused request only the answer counts, of an accepted one both."""

from typing import Any

import pytest

from tests.through_prism import UNKNOWN_ROUTE, Exchange, Verdicts, by_path


def exchange(
    status: int, *, method: str = "POST", target: str = "/v1/orders?limit=1", authorization: str | None = "Bearer t"
) -> Exchange:
    """Return one of a test."""
    asked = [(b"accept", b"*/*"), (b"x-request-id", b"1"), (b"content-type", b"text/plain")]
    if authorization is not None:
        asked.append((b"Authorization", authorization.encode()))
    return Exchange("test_one", method, target, asked, b"x=1", status, [(b"content-type", b"text/plain")], b"y")


def said(place: str, message: str = "must be string", *rest: str) -> dict[str, Any]:
    """Return what Prism says of a request or of a response."""
    return {"location": [place, *rest], "message": message}


@pytest.mark.parametrize(
    ("status", "location", "whole", "found"),
    [
        (201, ["response", "body", "id"], True, 1),
        (422, ["response", "body", "code"], True, 1),
        (201, ["request", "body", "id"], True, 1),
        (422, ["request", "body", "id"], True, 0),  # that is why it was refused
        (207, ["request", "body", "id"], True, 0),  # a row of it may be refused
        (207, ["response", "body", "id"], True, 1),
        (201, ["request", "body", "id"], False, 0),  # it is not the request that was sent
        (201, ["response", "body", "id"], False, 1),
    ],
)
def test_what_counts(status: int, location: list[str], whole: bool, found: int) -> None:
    """An answer always counts, a request if the server took the whole of it."""
    verdicts = Verdicts()

    verdicts.hear(exchange(status), [said(*location[:1], "must be string", *location[1:])], whole=whole)

    assert len(verdicts.found) == found
    assert (verdicts.judged, verdicts.answers_only) == ((1, 0) if whole else (0, 1))


@pytest.mark.parametrize(
    ("target", "authorization", "found"),
    [
        ("/v1/orders", "Bearer t", 0),
        ("/v1/orders", "bearer t", 0),
        ("/v1/orders", "Basic eDp5", 1),
        ("/v1/orders", None, 1),
        ("/oauth2/token", "Basic eDp5", 0),
        ("/oauth2/token", "Bearer t", 1),
    ],
)
def test_schemes_that_prism_does_not_know(target: str, authorization: str | None, found: int) -> None:
    """Credentials that the standards allow there are no finding; a request that is taken with others or none is one."""
    verdicts = Verdicts()

    verdicts.hear(
        exchange(200, target=target, authorization=authorization),
        [said("request", "Invalid security scheme used")],
        whole=True,
    )

    assert len(verdicts.found) == found
    assert sum(verdicts.left_out.values()) == 1 - found


@pytest.mark.parametrize(
    ("status", "target", "found"),
    [(404, "/v1/nothing", 0), (405, "/v1/orders", 0), (200, "/v1/secret", 1), (200, "/docs", 0)],
)
def test_what_no_operation_describes(status: int, target: str, found: int) -> None:
    """What is answered beneath /v1 is in the document."""
    verdicts = Verdicts()

    verdicts.hear(exchange(status, target=target), [said("request", UNKNOWN_ROUTE)], whole=True)

    assert (len(verdicts.found), verdicts.elsewhere, verdicts.judged) == (found, 1, 0)


def test_one_finding_is_told_once() -> None:
    """The same fault at another place of a list, or in another test, is the same finding."""
    verdicts = Verdicts()
    for place in ("3", "17"):
        verdicts.hear(exchange(200), [said("response", "must be string", "body", "orders", place, "id")], whole=True)

    assert verdicts.lines() == [
        "POST response.body.orders.*.id: must be string (2 x, 200 /v1/orders?limit=1 in test_one)"
    ]
    assert verdicts.summary().endswith(": 1 violations")


def test_a_bare_request_keeps_what_decides_the_answer() -> None:
    """Of a request that Prism can't read, the answer is judged as that to an empty one by the same caller."""
    bare = exchange(400).bare()

    assert bare.body == b"{}"
    assert sorted(name.lower() for name, _ in bare.asked) == [
        b"accept",
        b"authorization",
        b"content-type",
        b"content-type",
    ]
    assert bare.asked[-1] == (b"content-type", b"application/json")
    assert (bare.status, bare.content) == (400, b"y")
    assert exchange(400, method="GET").bare().body == b""


def test_the_document_by_whole_paths() -> None:
    """A path that names its own server is whole already; all others are beneath /v1."""
    paths = {"/orders": {"get": {}}, "/oauth2/token": {"post": {}, "servers": [{"url": "/"}]}}

    made = by_path({"paths": paths, "servers": [{"url": "/v1"}]}, "http://here")

    assert made == {
        "paths": {"/v1/orders": {"get": {}}, "/oauth2/token": {"post": {}}},
        "servers": [{"url": "http://here"}],
    }
