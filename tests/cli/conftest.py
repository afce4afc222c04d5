"""The command line inside this process, with a home of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fulfillment.cli.main import main
from tests.serving import ServerProcess


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, where nobody is logged in."""
    for name in ("JUNIPER_PROFILE", "JUNIPER_API_URL", "FULFILLMENT_DATABASE_URL", "FULFILLMENT_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command."""

    def run_command(*words: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run_command


@pytest.fixture
def logged_in(run: Run, server: ServerProcess) -> Run:
    """Run one command as the demo partner."""
    assert run("login", "--from", server.folder / "demo.json").status == 0
    return run
