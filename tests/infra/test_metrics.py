"""Metrics: counted in each process, shown as one, and never going back."""

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fulfillment.infra import exposing
from fulfillment.infra.env import Env
from fulfillment.infra.exposing import Board, Total, exposition, total_of
from fulfillment.infra.metrics import Histogram, Metrics, metrics_of
from fulfillment.infra.processes import listen
from fulfillment.worker.measuring import questions
from tests.security.wires import serving
from tests.world import World

pytestmark = pytest.mark.anyio
DEPLOY = Path(__file__).parents[2] / "deploy"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return every sample of an exposition, as Prometheus's own reader sees it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(**amounts: float) -> Metrics:
    """Return metrics with a counter of shed requests and the like."""
    metrics = Metrics()
    for name, amount in amounts.items():
        metrics.count(f"fulfillment_{name}", amount)
    return metrics


def free_port() -> int:
    """Return a port that nobody listens on."""
    with listen("127.0.0.1", 0) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def shown(env: Env) -> Env:
    """An Env whose metrics are shown."""
    settings = env.settings.model_copy(update={"metrics_port": free_port()})
    return replace(env, settings=settings, local={})


async def scrape(env: Env) -> Samples:
    """Return what /metrics says, as soon as it answers."""
    async with httpx2.AsyncClient() as client:
        for _ in range(50):
            try:
                answer = await client.get(f"http://127.0.0.1:{env.settings.metrics_port}/metrics")
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
                continue
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            return samples(answer.text)
    raise TimeoutError


def of(found: Samples, name: str, **labels: str) -> float:
    """Return one sample."""
    return found[name, frozenset(labels.items())]


def test_processes_are_added_up(tmp_path: Path) -> None:
    """Counters, histograms and gauges of two processes are one sum."""
    first, second = Board(tmp_path), Board(tmp_path)
    one, two = counted(requests_shed_total=2), counted(requests_shed_total=3)
    one.observe_request("/v1/orders", "GET", 200, 0.002)
    two.observe_request("/v1/orders", "GET", 200, 0.3)
    two.observe_request("/v1/orders", "GET", 404, 0.3)
    one.gauge("fulfillment_pool_in_use", 4)
    two.gauge("fulfillment_pool_in_use", 5)
    first.write(total_of(one))
    second.write(total_of(two))

    total, living = first.read()
    found = samples(exposition(total).decode())

    assert living == 2
    assert of(found, "fulfillment_requests_shed_total") == 5
    assert of(found, "fulfillment_pool_in_use") == 9
    route = {"method": "GET", "route": "/v1/orders"}
    assert of(found, "fulfillment_http_requests_total", status="200", **route) == 2
    assert of(found, "fulfillment_http_requests_total", status="404", **route) == 1
    assert of(found, "fulfillment_http_request_seconds_bucket", le="0.0025", **route) == 1
    assert of(found, "fulfillment_http_request_seconds_bucket", le="0.5", **route) == 3
    assert of(found, "fulfillment_http_request_seconds_bucket", le="+Inf", **route) == 3
    assert of(found, "fulfillment_http_request_seconds_sum", **route) == pytest.approx(0.602)


def test_no_counter_goes_back_when_a_process_ends(tmp_path: Path) -> None:
    """What an ended process had counted stays; what it had at hand is gone; it is counted once."""
    keeper, ended = Board(tmp_path), Board(tmp_path)
    keeper.write(total_of(counted(requests_shed_total=1)))
    metrics = counted(requests_shed_total=10)
    metrics.observe("fulfillment_intake_batch_orders", 3, (1.0, 2.0, 4.0))
    metrics.gauge("fulfillment_pool_in_use", 7)
    ended.leave(total_of(metrics))

    totals = [keeper.read() for _ in range(3)]

    for total, living in totals:
        assert living == 1
        assert total.counters == {("fulfillment_requests_shed_total", ()): 11}
        assert total.histograms["fulfillment_intake_batch_orders", ()].counts == [0, 0, 1, 0]
        assert total.gauges == {}


def test_a_kill_loses_a_second_at_most(tmp_path: Path) -> None:
    """A process that is killed leaves what it wrote last."""
    script = (
        "import os, sys; from pathlib import Path; from fulfillment.infra.exposing import Board, Total\n"
        "board = Board(Path(sys.argv[1])); board.write(Total({('fulfillment_requests_shed_total', ()): 4.0}))\n"
        "os.kill(os.getpid(), 9)"
    )
    keeper = Board(tmp_path)
    keeper.write(Total())
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    total, living = keeper.read()

    assert done.returncode == -9
    assert (living, total.counters) == (1, {("fulfillment_requests_shed_total", ()): 4.0})


def test_a_kill_while_burying_counts_nobody_twice(tmp_path: Path) -> None:
    """When the sum is written and the ended process's file is still there, it is not added again."""
    keeper, ended = Board(tmp_path), Board(tmp_path)
    ended.leave(total_of(counted(requests_shed_total=10)))
    [left] = list(tmp_path.glob("*.json"))
    kept, lock = left.read_text(), left.with_suffix(".lock")
    keeper.read()

    left.write_text(kept)
    lock.touch()
    total, _ = keeper.read()

    assert total.counters == {("fulfillment_requests_shed_total", ()): 10}


def test_what_is_not_in_the_catalogue_is_not_shown() -> None:
    """A name that nobody described is no metric."""
    total = Total({("unheard_of_total", ()): 1.0})

    assert b"unheard_of" not in exposition(total)


async def test_what_the_api_shows(shown: Env) -> None:
    """After a create, a refusal and a wrong secret, /metrics tells of each; the database's part is there too."""
    world = World(shown)
    async with serving(shown) as wire, exposing.exposing(shown, questions(shown)), httpx2.AsyncClient() as client:
        caller = await world.partner()
        headers = await world.headers(caller)
        await world.order(caller)
        await client.get(wire.url + "/v1/orders/none", headers=headers)
        await client.post(
            wire.url + "/oauth2/token",
            data={"grant_type": "client_credentials", "client_id": caller.client_id, "client_secret": "wrong"},
        )
        found = await scrape(shown)

    route = {"method": "GET", "route": "/v1/orders/{orderId}"}
    assert of(found, "fulfillment_http_requests_total", status="404", **route) == 1
    assert of(found, "fulfillment_token_failures_total") == 1
    assert of(found, "fulfillment_orders", status="CREATED") >= 1
    assert of(found, "fulfillment_orders", status="SHIPPED") == 0
    assert of(found, "fulfillment_intake_batch_orders_count") == 1
    assert of(found, "fulfillment_intake_batch_orders_bucket", le="1.0") == 1
    assert of(found, "fulfillment_cache_loads_total", cache="clients") >= 1
    assert of(found, "fulfillment_database_up") == 1
    assert of(found, "fulfillment_pool_size") == 8
    assert of(found, "fulfillment_build_info", version="1.0.2") == 1
    assert of(found, "fulfillment_connections") >= 1
    assert of(found, "fulfillment_webhook_endpoints_disabled") == 0


async def test_the_port_is_taken_over(shown: Env) -> None:
    """When the process that shows the metrics ends, another one shows them, with all that was counted."""
    other = replace(shown, local={})
    metrics_of(shown).count("fulfillment_requests_shed_total", 5)
    metrics_of(other).count("fulfillment_requests_shed_total", 6)
    async with exposing.exposing(other):
        async with exposing.exposing(shown):
            await asyncio.sleep(0.2)
            both = await scrape(shown)
        after = await scrape(other)

    assert of(both, "fulfillment_requests_shed_total") == 11
    assert of(both, "fulfillment_metrics_processes") == 2
    assert of(after, "fulfillment_requests_shed_total") == 11
    assert of(after, "fulfillment_metrics_processes") == 1


async def test_without_the_database_it_says_so(shown: Env) -> None:
    """The page is still served, and the gauges that nobody can know are absent."""
    from fulfillment.infra.db import Database

    lost = replace(shown, db=Database("postgresql://nobody@/none?host=/nowhere"), local={})
    async with exposing.exposing(lost, questions(lost)):
        found = await scrape(lost)

    assert of(found, "fulfillment_database_up") == 0
    assert not [name for name, _ in found if name == "fulfillment_orders"]


async def test_other_paths_and_floods(shown: Env) -> None:
    """Only /metrics is there, and a request without an end is dropped."""
    async with exposing.exposing(shown):
        await scrape(shown)
        async with httpx2.AsyncClient() as client:
            other = await client.get(f"http://127.0.0.1:{shown.settings.metrics_port}/")
        reader, writer = await asyncio.open_connection("127.0.0.1", shown.settings.metrics_port)
        writer.write(b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"a" * 50_000)
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert other.status_code == 404
    assert rest == b""


def names_in(text: str) -> set[str]:
    """Return the metrics that a file names, without what Prometheus appends to histograms."""
    found = set(re.findall(r"\bfulfillment_[a-z_]+", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found} - {"fulfillment_api", "fulfillment_worker"}


@pytest.mark.parametrize("name", ["alerts.yaml", "grafana-dashboard.json"])
def test_alerts_and_dashboard_name_what_exists(name: str) -> None:
    """Every metric that an alert or a panel asks for is in the catalogue."""
    named = names_in((DEPLOY / name).read_text())

    assert named
    assert named - set(exposing.CATALOGUE) == set()


def test_every_metric_is_in_the_dashboard_or_an_alert() -> None:
    """Nothing is measured that nobody looks at."""
    text = (DEPLOY / "alerts.yaml").read_text() + (DEPLOY / "grafana-dashboard.json").read_text()

    assert set(exposing.CATALOGUE) - names_in(text) == set()


def test_every_alert_leads_to_the_runbook() -> None:
    """Each alert says in a sentence what is wrong and links a heading that the runbook has."""
    import yaml

    runbook = (DEPLOY.parent / "docs" / "runbook.md").read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for line in runbook.splitlines()
        if line.startswith("## ")
    }
    rules = [
        rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
    ]

    assert rules
    for rule in rules:
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"].partition("#")[2] in headings, rule["alert"]


def test_the_dashboard_is_grafanas() -> None:
    """Every panel has a title, a place and a query."""
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())

    assert board["title"]
    for panel in board["panels"]:
        assert panel["title"]
        assert set(panel["gridPos"]) == {"h", "w", "x", "y"}
        assert all(target["expr"] for target in panel["targets"])


def test_a_histogram_counts_by_bucket() -> None:
    """A value on a bound belongs to its bucket, as Prometheus's "le" says."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)

    assert histogram.counts == [2, 2, 1]
    assert histogram.total == 8.0
