"""The types partners' editors see."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_type_checker_sees_every_parameter_and_result(tmp_path: Path):
    """In strict mode the SDK is free of errors, and both clients' methods have exact parameters and results."""
    config = tmp_path / "pyrightconfig.json"
    config.write_text(
        json.dumps(
            {
                "include": [str(ROOT / "src/fulfillment/sdk"), str(ROOT / "tests/sdk/typed_usage.py")],
                "typeCheckingMode": "strict",
                "reportUnnecessaryTypeIgnoreComment": "error",
                "pythonVersion": "3.11",
            }
        )
    )

    checked = subprocess.run(
        [sys.executable, "-m", "basedpyright", "-p", str(config), "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout
