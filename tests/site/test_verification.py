"""The verification examples, each run by its own language against vectors whose signatures openssl computed."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "verification"
GUIDE = ROOT / "docs" / "guides" / "verifying-signatures.md"
VECTORS: dict[str, Any] = json.loads((EXAMPLES / "vectors.json").read_text())


@dataclass(frozen=True, slots=True)
class Language:
    """How an example is run."""

    file: str
    program: str
    build: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


LANGUAGES = (
    Language("verify.py", sys.executable, run=(sys.executable, "-S", "{file}")),
    Language("verify.mjs", "node", run=("node", "{file}")),
    Language(
        "Verify.java",
        "javac",
        ("javac", "-d", "{out}", "{file}"),
        ("java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", "{out}", "Verify"),
    ),
    Language("verify.php", "php", run=("php", "{file}")),
    Language("verify.rb", "ruby", run=("ruby", "--disable-gems", "{file}")),
    Language("verify.go", "go", ("go", "build", "-o", "{out}/verify", "{file}"), ("{out}/verify",)),
    Language("verify.pl", "perl", run=("perl", "{file}")),
    Language("verify.sh", "openssl", run=("sh", "{file}")),
)


def _command(parts: tuple[str, ...], language: Language, out: Path) -> list[str]:
    return [part.format(file=EXAMPLES / language.file, out=out) for part in parts]


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda one: one.file)
def test_a_language_accepts_and_refuses_as_the_vectors_say(language: Language, tmp_path: Path):
    """Each language's verifier accepts the good signatures and refuses all others."""
    if shutil.which(language.program) is None:
        pytest.skip(f"{language.program} is not installed")
    if language.build:
        subprocess.run(_command(language.build, language, tmp_path), check=True, cwd=tmp_path, timeout=120)

    found = {
        vector["name"]: subprocess.run(
            [*_command(language.run, language, tmp_path), vector["header"], VECTORS["secret"], str(VECTORS["now"])],
            input=vector["body"].encode(),
            capture_output=True,
            timeout=60,
            check=False,
        ).returncode
        for vector in VECTORS["vectors"]
    }

    assert found == {vector["name"]: 0 if vector["valid"] else 1 for vector in VECTORS["vectors"]}


def test_five_languages_can_be_run_here():
    """At least five of the languages are installed, so that the claim is tested wherever the tests run."""
    found = [language.file for language in LANGUAGES if shutil.which(language.program)]

    assert len(found) >= 5, found


def test_the_vectors_are_openssls():
    """Making the vectors anew with openssl gives the file that is kept."""
    made = subprocess.run(["sh", EXAMPLES / "make-vectors.sh"], capture_output=True, text=True, check=True, timeout=60)

    assert made.stdout == (EXAMPLES / "vectors.json").read_text()


def test_the_guide_shows_the_tested_code():
    """What the guide shows of each language is the tested file's text."""
    shown = re.findall(r"^```\w+\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)

    for language in LANGUAGES:
        text = (EXAMPLES / language.file).read_text()
        assert [block for block in shown if block.strip() in text], f"{language.file} is not shown as it is"
