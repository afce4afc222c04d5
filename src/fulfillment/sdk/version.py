"""Which version of the SDK this is."""

from typing import Final

__version__: Final = "1.0.2"
