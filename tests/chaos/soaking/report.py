"""The samples of a long run, kept as JSON, with a plot beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.chaos.soaking.samples import Sample, Tables
from tests.chaos.soaking.verdicts import Interval

RESULTS: Final = Path(__file__).parents[3] / "bench" / "results"


def write(
    facts: Mapping[str, Any],
    samples: Sequence[Sample],
    tables: Sequence[Tables],
    intervals: Sequence[Interval],
) -> Path:
    """Write `soak.json` and `soak.png` and return where the first is."""
    minutes = [
        {"until": one.until, "answers": one.answers, "behind": one.behind}
        | {f"p{round(100 * share)} ms": round(one.quantile_ms(share), 2) for share in (0.5, 0.99)}
        for one in intervals
    ]
    place = RESULTS / "soak.json"
    content = {"facts": facts, "intervals": minutes}
    content |= {"samples": [asdict(one) for one in samples], "tables": [asdict(one) for one in tables]}
    place.write_text(json.dumps(content) + "\n")
    _plot(samples, tables, intervals, place.with_suffix(".png"))
    return place


def _plot(samples: Sequence[Sample], tables: Sequence[Tables], intervals: Sequence[Interval], place: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (memory, rows, latency) = pyplot.subplots(3, 1, figsize=(9, 10), sharex=True)
    moments = [sample.at / 60 for sample in samples]
    for name in samples[-1].megabytes:
        memory.plot(moments, [sample.megabytes.get(name) for sample in samples], label=name.partition(" ")[0])
    memory.set_ylabel("MB resident")
    for name in tables[-1].kept:
        rows.plot([one.at / 60 for one in tables], [one.kept[name].rows for one in tables], label=name)
    rows.set_ylabel("rows")
    for share in (0.5, 0.99):
        values = [one.quantile_ms(share) for one in intervals]
        latency.plot([one.until / 60 for one in intervals], values, label=f"p{round(100 * share)}")
    latency.set_ylabel("ms")
    latency.set_xlabel("minutes")
    for axes in (memory, rows, latency):
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
        axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(place, dpi=100)
    pyplot.close(figure)
