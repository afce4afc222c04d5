"""What the judge of the pooled suite makes of a report."""

from pathlib import Path

import pytest

from tests import pooled
from tests.judges.pooler import told

_REPORT = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_good"/>
<testcase classname="tests.a.test_b" name="test_left_out[one]"><skipped message="behind a pooler: so"/></testcase>
<testcase classname="tests.a.test_b" name="test_bad"><failure message="1 is not 2"/></testcase>
</testsuite></testsuites>"""


def test_a_failure_and_a_name_of_no_test_are_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is found, and what is left out but is no test any more; the rest is counted, with reasons."""
    left_out = {"tests/a/test_b.py::test_left_out": "so", "tests/a/test_b.py::test_gone": "so"}
    monkeypatch.setattr(pooled, "UNPOOLED", left_out)
    report = tmp_path / "report.xml"
    report.write_text(_REPORT)

    assert told(report) == (
        "1 passed, 1 failed, 1 skipped (test_left_out[one]: behind a pooler: so)",
        [
            "tests/a/test_b.py::test_bad: 1 is not 2",
            "tests/a/test_b.py::test_gone is left out behind a pooler, and is no test",
        ],
    )
