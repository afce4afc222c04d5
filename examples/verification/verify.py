"""Verify a Juniper webhook with Python's standard library."""

import hashlib
import hmac
import time


def verify(body: bytes, header: str, secret: str, now: float | None = None) -> bool:
    """Say whether Juniper signed exactly these bytes in the last five minutes."""
    pairs = [part.partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in pairs if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit()):
        return False
    if abs((time.time() if now is None else now) - int(times[0])) > 300:
        return False
    expected = hmac.new(secret.encode(), times[0].encode() + b"." + body, hashlib.sha256).hexdigest()
    signatures = [value for name, value in pairs if name == "v1"]
    return any([hmac.compare_digest(expected.encode(), value.encode()) for value in signatures])


if __name__ == "__main__":  # verify.py HEADER SECRET [NOW] < body
    import sys

    header, secret, *now = sys.argv[1:]
    good = verify(sys.stdin.buffer.read(), header, secret, float(now[0]) if now else None)
    sys.exit(0 if good else 1)
