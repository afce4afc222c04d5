"""The judges' own judgement, where nothing has to be installed for it."""

import sys
from pathlib import Path

import pytest

from tests.judges import __main__ as court
from tests.judges import differs, static
from tests.judges.verdict import Judged, Skipped
from tests.security import advisories


def test_what_both_differs_miss_is_seen() -> None:
    """Other credentials and one more required header are breaking; the same document is not."""
    listed = {"parameters": [{"name": "X-Since", "in": "header", "required": True}]}
    before = {"paths": {"/orders": {"get": {}}}, "security": [{"oauth": []}]}

    assert list(differs.tightened(before, before)) == []
    assert list(differs.tightened(before, {"paths": {"/orders": {"get": listed}}, "security": [{"oauth": []}]})) == [
        "required header x-since get /orders"
    ]
    assert list(differs.tightened(before, before | {"security": [{"other": []}]})) == ["security get /orders"]


def test_a_judge_that_could_ask_nobody_has_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit without its service is no verdict; a vulnerability is one."""
    monkeypatch.setattr(advisories, "ask", lambda: (advisories.UNKNOWN, "Nothing is known."))
    with pytest.raises(Skipped, match="Nothing is known"):
        static.pip_audit()

    monkeypatch.setattr(advisories, "ask", lambda: (advisories.FOUND, "Known vulnerabilities:\na 1.0: X-1"))
    assert static.pip_audit().found == ["a 1.0: X-1"]


@pytest.mark.parametrize(
    ("verdict", "status", "said"),
    [
        (Judged("ten things", []), 0, "ten things"),
        (Judged("ten things", ["one is wrong"]), 1, "it: one is wrong"),
        (Skipped("it is not installed"), 0, "not asked: it is not installed"),
        (OSError("no route"), 1, "it: OSError: no route"),
    ],
)
def test_the_court_says_what_it_heard(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdict: Judged | Exception,
    status: int,
    said: str,
) -> None:
    """A finding and a judge that breaks end with status 1; who was not asked is named, and found nothing."""

    def judge(_: court.Court) -> Judged:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    monkeypatch.setattr(court, "JUDGES", {"it": judge})
    monkeypatch.setattr(sys, "argv", ["judges"])

    assert court.main() == status
    assert said in capsys.readouterr().out


def test_the_proxy_is_the_one_we_hand_out() -> None:
    """What the judge puts in place of ports, limits and certificate stands in deploy/haproxy.cfg once."""
    text = (Path(__file__).parents[2] / "deploy" / "haproxy.cfg").read_text()

    for replaced in ("bind :443 ssl crt /etc/haproxy/certs/", "bind :80\n", "maxconn 20000", "127.0.0.1:8000"):
        assert text.count(replaced) == 1, replaced
