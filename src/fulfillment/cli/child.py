"""The entry of the processes that serve starts: python -m fulfillment.cli.child MODULE imports it and runs its main.

The modules stay for good, so looking for garbage while they are imported, a fifth of the work, finds none.
"""

import gc
import sys
from importlib import import_module
from typing import Final

# A request leaves some ten objects behind until they are looked at, hardly any of them in a ring. Python's own numbers
# (700, 10, 10) have everything that lives looked at every few thousand requests, for up to 70 ms: the slowest answers
# were those (docs/decisions/0031).
_THRESHOLDS: Final = (5_000, 20, 50)


def main() -> int:
    """Run the module that the first argument names; the others are its own."""
    name = sys.argv.pop(1)
    gc.disable()
    run = import_module(name).main
    gc.freeze()  # nor is what was imported ever looked at again
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
