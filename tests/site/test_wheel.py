"""The built package holds everything the site serves: it must work where there is no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

from fulfillment.site.pages import CHAPTERS

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_site(tmp_path: Path):
    """Guides, errors, changelog, assets and the vendored viewer with its licence are in the wheel, as files."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        changelog = wheel.read("fulfillment/site/content/changelog.md")

    wanted = {f"content/{place.source}" for chapter in CHAPTERS for place in chapter.places}
    wanted |= {"assets/site.css", "assets/site.js", "vendor/LICENSE-scalar.txt"}
    wanted |= {"vendor/scalar-api-reference-1.72.1.js.gz", "content/settings.md", "content/runbook.md"}
    assert {name for name in wanted if f"fulfillment/site/{name}" not in names} == set()
    assert changelog == (ROOT / "CHANGELOG.md").read_bytes()
