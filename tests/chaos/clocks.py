"""Clocks that differ: API processes half a minute slow and fast, a worker five minutes ahead."""

import time
from itertools import product
from typing import Final

import httpx2

from tests.chaos.checker import Verdict, judge, read_arrivals
from tests.chaos.clients import Crowd
from tests.chaos.stage import FAKETIME, Stage, folder_for, staged, token_of

_SECONDS: Final = 8.0
_PAGE: Final = 25


def play(seed: int, patience: float = 1.0) -> list[Verdict]:
    """Let processes with different clocks work on the same orders, and return the verdicts."""
    if FAKETIME is None:
        return [Verdict("S-36", "clocks that differ", "not played: libfaketime is not installed", [])]
    stage = Stage(folder_for("clocks"), seed=seed, share=0.0, processes=1, workers=1)
    with staged(stage):
        stage.start()
        urls = [stage.server.url, stage.skew_api("-30s"), stage.skew_api("+30s")]
        stage.skew_worker("+5m")
        crowd = Crowd(stage, urls)
        crowd.prepare()
        crowd.start()
        issued = tokens(stage, urls)
        time.sleep(_SECONDS)
        crowd.stop()
        verdicts = judge(stage, crowd.journal, patience=patience)
        verdicts += [issued, cursors(stage, urls), leases(stage, "workers at 0 and +5 min")]
        stage.clean = not any(verdict.violations for verdict in verdicts)
    return verdicts


def tokens(stage: Stage, urls: list[str]) -> Verdict:
    """Take a token from each process, at once, to each other."""
    account = stage.partners[0]
    wrong: list[str] = []
    for issuer, server in product(urls, urls):
        token = token_of(issuer, account.client_id, account.client_secret)
        answer = httpx2.get(f"{server}/v1/orders?limit=1", headers={"Authorization": f"Bearer {token}"})
        if answer.status_code != 200:
            wrong.append(f"{answer.status_code} for a token of {urls.index(issuer)} at {urls.index(server)}")
    return Verdict("S-36", "a token is good at every process", f"{len(urls) ** 2} pairs", wrong)


def cursors(stage: Stage, urls: list[str]) -> Verdict:
    """Read one list, each page from another process."""
    partner = stage.partners[0]
    headers = {"Authorization": f"Bearer {stage.token(partner)}"}
    listed: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        query = f"limit={_PAGE}" + (f"&cursor={cursor}" if cursor else "")
        page = httpx2.get(f"{urls[pages % len(urls)]}/v1/orders?{query}", headers=headers, timeout=30).json()
        listed += [order["id"] for order in page["orders"]]
        cursor, pages = page["cursor"], pages + 1
    stored = [row[0] for row in stage.sql("SELECT id FROM orders WHERE partner_id = %s ORDER BY id DESC", partner.id)]
    wrong = [] if listed == stored else [f"{len(listed)} listed, {len(stored)} stored"]
    return Verdict("S-36", "a list read from all of them in turn is whole", f"{pages} pages", wrong)


def leases(stage: Stage, clocks: str, most: int = 0) -> Verdict:
    """Count what arrived twice: the receiver answers well, so only a lease taken twice sends again."""
    accepted = [one.event_id for one in read_arrivals(stage.arrivals) if one.accepted]
    twice = len(accepted) - len(set(accepted))
    wrong = [f"{twice} deliveries were made twice"] if twice > most else []
    return Verdict("S-36", "no lease is taken twice", f"{len(accepted)} deliveries, {twice} twice, {clocks}", wrong)
