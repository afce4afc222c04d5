"""What the service is made of: pinned by hash, and looked at by judges that can fail."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.advisories import CLEAN, FOUND, UNKNOWN, judge

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def requirements(text: str) -> list[str]:
    """Return the requirements of a lock, each with its continuation lines."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("name", LOCKS)
def test_everything_is_pinned_by_hash(name: str) -> None:
    """Each line of a lock names one version and at least one SHA-256: no other file fits."""
    lines = requirements((ROOT / name).read_text())

    assert len(lines) > 40
    loose = [
        line
        for line in lines
        if not re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+ ", line) or "--hash=sha256:" not in line
    ]
    assert loose == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_says_where_from(name: str) -> None:
    """No address of an index and no file from a URL is in a lock: where packages come from is the operator's choice."""
    text = (ROOT / name).read_text()

    assert re.findall(r"https?://|--index-url |--extra-index|--find-links|git\+|file:", text) == []


def test_the_runtime_is_a_part_of_the_whole() -> None:
    """What is tested is what runs: every version of the runtime's lock is in the development's."""
    pins = [{re.split(r"[ ;]", line)[0] for line in requirements((ROOT / name).read_text())} for name in LOCKS]

    assert pins[0] - pins[1] == set()


@pytest.mark.parametrize(
    "seed",
    [
        "import subprocess\nsubprocess.run('ls ' + input(), shell=True)\n",
        "import pickle\npickle.loads(input().encode())\n",
        "import yaml\nyaml.load(input())\n",
        "import ssl\nssl._create_unverified_context()\n",
        "import hashlib\nhashlib.md5(b'x')\n",
        "eval(input())\n",
        "import httpx\nhttpx.get('https://x', verify=False)\n",
    ],
    ids=["shell", "pickle", "yaml", "unverified", "md5", "eval", "verify"],
)
def test_bandit_sees(tmp_path: Path, seed: str) -> None:
    """With our exceptions, bandit still fails on what it is there for."""
    (tmp_path / "seed.py").write_text(seed)

    done = subprocess.run(
        [Path(sys.executable).with_name("bandit"), "-q", "-r", tmp_path, "-c", ROOT / "pyproject.toml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr


def test_an_audit_that_asked_nobody_is_not_clean() -> None:
    """Skipped packages are unknown, not clean; one finding is enough to fail."""
    clean = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}]}
    skipped = {"name": "c", "skip_reason": "not found"}

    assert judge(None)[0] == UNKNOWN
    assert judge({"dependencies": []})[0] == UNKNOWN
    assert judge({"dependencies": [skipped]})[0] == UNKNOWN
    assert judge({"dependencies": [clean, skipped]}) == (UNKNOWN, "1 packages are clean; nobody knew c.")
    assert judge({"dependencies": [clean, bad, skipped]}) == (FOUND, "Known vulnerabilities:\nb 2: PYSEC-1")
    assert judge({"dependencies": [clean]}) == (CLEAN, "1 packages, no known vulnerability.")
