"""Find the SDK's code: in the server's checkout beside us, or beside this file in a source distribution."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "juniper_fulfillment"


class SourceHook(BuildHookInterface[Any]):
    """Put the code into what is built, under the name that partners import."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to include. Called by hatchling before it builds."""
        del version
        root = Path(self.root)
        beside, checkout = root / PACKAGE, root.parent / "src" / "fulfillment" / "sdk"
        build_data["force_include"][str(beside if beside.is_dir() else checkout)] = PACKAGE
