"""A second of fuzzing for each parser in every run; `python -m tests.fuzz` takes longer."""

import pytest

from fulfillment.infra.addresses import AddressPolicy, ForbiddenUrl, check_url
from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_refuses_or_accepts(target: Target) -> None:
    """Whatever it is given, a parser returns or refuses with an error of ours, within a second."""
    tried, findings = fuzz(target, 1.0, seed=1)

    assert tried > 100
    assert findings == []


def test_the_fuzzer_finds() -> None:
    """A parser that breaks on a NUL is found out."""

    def breaks(data: bytes) -> None:
        if b"\x00" in data:
            raise RuntimeError("NUL")

    _, findings = fuzz(Target("broken", breaks, (b"abc",)), 1.0, seed=1)

    assert [finding.said for finding in findings] == ["RuntimeError: NUL"]


@pytest.mark.parametrize("url", ["https://[a]@/", "https://a[b]:c@", "https://[]@"])
def test_what_the_fuzzer_found(url: str) -> None:
    """Brackets before an @ with no host behind it are refused like any URL that can't be read."""
    with pytest.raises(ForbiddenUrl):
        check_url(url, AddressPolicy())
