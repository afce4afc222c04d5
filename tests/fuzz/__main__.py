"""Fuzzes each parser: `python -m tests.fuzz [--seconds N] [--only NAME] [--seed S]`; status 1 on any finding."""

import argparse
import random
import sys
import time
from dataclasses import dataclass

from fulfillment.kernel.errors import FulfillmentError
from tests.fuzz.targets import TARGETS, Target

_LONGEST = 4096  # bytes
_SLOW_SECONDS = 1.0  # for one input


@dataclass(slots=True)
class Finding:
    """An input that a parser did not bear."""

    target: str
    data: bytes
    said: str


def fuzz(target: Target, seconds: float, seed: int) -> tuple[int, list[Finding]]:
    """Return how many inputs were tried, and the findings: exceptions that are no refusal, and slow inputs."""
    chance = random.Random(f"{target.name}/{seed}")
    corpus = list(target.seeds)
    findings: dict[str, Finding] = {}
    tried = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = _mutated(chance, corpus, target.words)
        tried += 1
        began = time.monotonic()
        accepted = True
        try:
            target.parse(data)
        except FulfillmentError:
            accepted = False
        except Exception as error:
            accepted = False
            findings.setdefault(type(error).__name__, Finding(target.name, data, f"{type(error).__name__}: {error}"))
        if time.monotonic() - began > _SLOW_SECONDS:
            findings.setdefault("slow", Finding(target.name, data, f"{time.monotonic() - began:.1f} s"))
        if accepted and len(corpus) < 500:
            corpus.append(data)  # what gets through leads further in
    return tried, list(findings.values())


def _mutated(chance: random.Random, corpus: list[bytes], words: tuple[bytes, ...]) -> bytes:
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[place % len(data)] = chance.randrange(256)
        elif kind == 1:
            data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 5)))
        elif kind == 2:
            del data[place : place + chance.randrange(1, 9)]
        elif kind == 3 and words:
            data[place:place] = chance.choice(words)
        elif kind == 4:
            piece = data[place : place + chance.randrange(1, 33)]
            data[place:place] = piece * chance.choice((1, 2, 50))
        else:
            other = chance.choice(corpus)
            data[place:] = other[chance.randrange(len(other) + 1) :]
    return bytes(data[:_LONGEST])


def main() -> int:
    """Fuzz, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each parser")
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found: list[Finding] = []
    for target in TARGETS:
        if arguments.only in (None, target.name):
            tried, findings = fuzz(target, arguments.seconds, arguments.seed)
            print(f"{target.name:<16} {tried:>9} inputs, {len(findings)} findings", flush=True)
            found += findings
    for finding in found:
        print(f"{finding.target}: {finding.said}\n  {finding.data!r}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
