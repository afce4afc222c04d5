"""What a run of the harness says: the table, the goals as ratios, and the plot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Results = dict[str, dict[str, dict]]  # work -> connections -> figures

CREATE, KEYED, UNBATCHED = "create", "create, with key", "create, one order a transaction"
GET, FIRST, DEEP, SEARCH = "get", "list 10, first page", "list 10, deep page", "product search"
ANY = "list 10, any page"
TOKEN, MIXED = "token", "mixed, 70 % reads"
RAW_CREATE, RAW_GET, HELLO = "floor: raw ASGI create", "floor: raw ASGI get", "floor: FastAPI hello"
OUR_CALL, HAND_CALL, ROW = "limit: pgbench, our create", "limit: pgbench, hand-written", "limit: pgbench, one row"


@dataclass(frozen=True)
class Goal:
    """One goal, as what is to be reached in the same run."""

    text: str
    bound: float
    measure: Callable[[Results, dict], float]
    at_most: bool = False

    def row(self, results: Results, facts: dict) -> str:
        """Return the goal's line of the table."""
        try:
            found = self.measure(results, facts)
        except (KeyError, ValueError, ZeroDivisionError):
            return f"| {self.text} | {self.sign} {self.bound:g} | not measured | |"
        met = found <= self.bound if self.at_most else found >= self.bound
        return f"| {self.text} | {self.sign} {self.bound:g} | {found:,.2f} | {'met' if met else '**not met**'} |"

    @property
    def sign(self) -> str:
        """Whether more or less is better."""
        return "<=" if self.at_most else ">="


def ratio(over: str, under: str, connections: int) -> Callable[[Results, dict], float]:
    """Return the ratio of two rates at the same number of connections."""
    return lambda results, _: results[over][str(connections)]["rate"] / results[under][str(connections)]["rate"]


def by_turns(over: str, under: str, connections: int) -> Callable[[Results, dict], float]:
    """Return the median of the ratios of runs that followed each other."""
    return lambda _, facts: facts["by_turns"][f"{over} / {under}"][str(connections)]["median"]


def best(results: Results, name: str) -> float:
    """Return the best rate at any number of connections."""
    return max(kept["rate"] for kept in results[name].values())


def cpu_us(results: Results, name: str, connections: int) -> float:
    """Return what the serving processes and the database spend on a request, in microseconds."""
    kept = results[name][str(connections)]
    used = sum(seconds for group, seconds in kept["cpu_seconds"].items() if group not in ("driver", "worker"))
    return 1e6 * used / kept["requests"]


GOALS = (
    Goal("create / raw handler's create, 16 connections", 1.0, by_turns(CREATE, RAW_CREATE, 16)),
    Goal("create / raw handler's create, 64 connections", 1.0, by_turns(CREATE, RAW_CREATE, 64)),
    Goal("create / pgbench with our statement, best of each", 0.45, lambda r, _: best(r, CREATE) / best(r, OUR_CALL)),
    Goal(
        "create alone: p50 at 1 connection / p50 of one order a transaction",
        1.10,
        lambda r, _: r[CREATE]["1"]["p50_ms"] / r[UNBATCHED]["1"]["p50_ms"],
        at_most=True,
    ),
    Goal("get / raw handler's get, 16 connections", 0.6, by_turns(GET, RAW_GET, 16)),
    Goal("first list page / raw handler's get, 16 connections", 0.6, by_turns(FIRST, RAW_GET, 16)),
    Goal("deep page / first page, 16 connections", 0.8, ratio(DEEP, FIRST, 16)),
    Goal("search p99 at 16 connections, ms", 15, lambda r, _: r[SEARCH]["16"]["p99_ms"], at_most=True),
    Goal("token, a second", 5_000, lambda r, _: best(r, TOKEN)),
    Goal("CPU of a token's check, us", 40, lambda _, f: f["token_check_us"]["seen"], at_most=True),
    Goal("CPU of a new token's check, us", 40, lambda _, f: f["token_check_us"]["new"], at_most=True),
    Goal("webhook deliveries, a second", 9_500, lambda _, f: f["webhooks"]["deliveries_per_second_best"]),
    Goal(
        "webhook deliveries / BullMQ's",
        1.0,
        lambda _, f: f["webhooks"]["deliveries_per_second_best"] / f["webhooks"]["bullmq_per_second"],
    ),
    Goal(
        "p99 of a partner beside one that hangs / alone",
        1.25,
        lambda _, f: f["webhooks"]["beside_hanging_p99_ms"] / f["webhooks"]["alone_p99_ms"],
        at_most=True,
    ),
    Goal("webhook pick-up when idle, p99 ms", 100, lambda _, f: f["webhooks"]["pick_up_p99_ms"], at_most=True),
    Goal("idle memory of all processes, MB", 300, lambda _, f: sum(f["idle_mb"].values()), at_most=True),
    Goal("later start, s", 3.0, lambda _, f: f["later_start_seconds"], at_most=True),
    Goal("fulfillment --help, s", 0.3, lambda _, f: f["help_seconds"], at_most=True),
    Goal(
        "wrk's share of a core, the highest",
        0.95,
        lambda r, _: max(k["cpu_seconds"]["driver"] / k["seconds"] for b in r.values() for k in b.values()),
        at_most=True,
    ),
)


def document(facts: dict, results: Results) -> str:
    """Return the whole page in Markdown."""
    return "\n".join((*_head(facts), *_goals(facts, results), *_table(results), *_webhooks(facts))) + "\n"


def line(name: str, connections: str, kept: dict) -> str:
    """Return one line for the terminal."""
    tail = "" if kept["p99_ms"] is None else f"p99 {kept['p99_ms']:8.2f} ms  "
    fault = f"  ERRORS {kept['errors']}" if kept["errors"] else ""
    return (
        f"{name:32} {connections:>3} conn {kept['rate']:9.0f}/s ({kept['rate_min']:.0f}-{kept['rate_max']:.0f})"
        f"  p50 {kept['p50_ms']:7.2f} ms  {tail}us/request: {_cpu(kept)}{fault}"
    )


def _head(facts: dict) -> Iterator[str]:
    yield "# Measured"
    yield ""
    yield (
        f"{facts['machine']}, PostgreSQL {facts.get('postgresql', '-')}, commit {facts['commit']}, {facts['at']}, "
        f"load average before the start {facts['load_average'][0]:.1f}."
    )
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in facts["options"].items()) + "."
    yield ""
    if "idle_mb" in facts:
        idle, loaded = _rounded(facts["idle_mb"]), _rounded(facts.get("loaded_mb", {}))
        yield f"Memory (PSS, MB): idle {idle}, after the load {loaded}."
        yield ""


def _goals(facts: dict, results: Results) -> Iterator[str]:
    yield "| goal | bound | measured | |"
    yield "|---|--:|--:|---|"
    for goal in GOALS:
        yield goal.row(results, facts)
    yield ""


def _table(results: Results) -> Iterator[str]:
    if not results:
        return
    yield (
        "| work | connections | per second (min-max) | p50 ms | p99 ms | CPU us a request | driver's core "
        "| peak MB | errors |"
    )
    yield "|---|--:|--:|--:|--:|---|--:|---|--:|"
    for name, by_connections in results.items():
        for connections, kept in by_connections.items():
            yield (
                f"| {name} | {connections} | {kept['rate']:,.0f} ({kept['rate_min']:,.0f}-{kept['rate_max']:,.0f}) "
                f"| {kept['p50_ms']:.2f} | {'' if kept['p99_ms'] is None else format(kept['p99_ms'], '.2f')} "
                f"| {_cpu(kept)} | {100 * kept['cpu_seconds']['driver'] / kept['seconds']:.0f} % "
                f"| {_memory(kept)} | {kept['errors']} |"
            )


def _webhooks(facts: dict) -> Iterator[str]:
    found = {name: value for name, value in facts.get("webhooks", {}).items() if isinstance(value, int | float)}
    if not found:
        return
    yield from ("", "| webhooks | |", "|---|--:|")
    for name, value in found.items():
        yield f"| {name.replace('_', ' ')} | {value:,} |"


def _cpu(kept: dict) -> str:
    spent = {group: 1e6 * seconds / max(1, kept["requests"]) for group, seconds in kept["cpu_seconds"].items()}
    return ", ".join(f"{group} {value:.0f}" for group, value in spent.items() if value >= 1)


def _memory(kept: dict) -> str:
    return ", ".join(f"{group} {value:.0f}" for group, value in kept["peak_mb"].items() if group != "supervisor")


def _rounded(memory: dict) -> dict:
    return {name: round(value) for name, value in memory.items()}


def plot(results: Results, place: Path, title: str) -> None:
    """Draw throughput against connections."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 6.5))
    for name, by_connections in results.items():
        style = {"floor": "--", "limit": ":"}.get(name.partition(":")[0], "-")
        rates = [kept["rate"] for kept in by_connections.values()]
        lows = [kept["rate"] - kept["rate_min"] for kept in by_connections.values()]
        highs = [kept["rate_max"] - kept["rate"] for kept in by_connections.values()]
        axes.errorbar(
            list(map(int, by_connections)), rates, (lows, highs), linestyle=style, marker="o", capsize=3, label=name
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("connections")
    axes.set_ylabel("per second (median, least and most)")
    axes.set_title(title, fontsize=8)
    axes.legend(fontsize=7, ncol=2)
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(place, dpi=110)
    pyplot.close(figure)
