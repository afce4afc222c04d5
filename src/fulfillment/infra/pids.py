"""Other processes of this machine, by their numbers."""

import os


def lives(pid: int) -> bool:
    """Return whether a process of that number is there; it may be another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
