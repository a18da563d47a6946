"""The report's picture: throughput by number of clients, and latency at constant rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.figures import Spread
from benchmarks.results import Results

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "mgeo"  # the same figures make the same file

from matplotlib import pyplot  # noqa: E402


def draw(results: Results, path: Path) -> bool:
    """Draw what was measured; returns whether there was anything to draw."""
    if not results.contenders("peers"):
        return False
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _throughput(results, left)
    _latency(results, right)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return True


def _throughput(results: Results, axes: Any) -> None:
    loads = [load for load in results.loads("peers") if load[1:].isdigit()]
    loads.sort(key=lambda load: int(load[1:]))
    for contender in results.contenders("peers"):
        points = [
            (int(load[1:]), _median(results, "peers", contender, load, "pairs_per_second"))
            for load in loads
            if results.of("peers", contender, load)
        ]
        if points:
            color = _color(results, contender)
            axes.plot(*zip(*points, strict=True), marker="o", color=color, label=contender)
    default = results.by_round("peers", "ModelScope", "default", "pairs_per_second")
    if default:
        speed = Spread.of(list(default.values())).median
        axes.axhline(speed, linestyle=":", color="black", label="ModelScope's pipeline, default")
    axes.set(xscale="log", yscale="log", xlabel="clients", ylabel="pairs/s",
             title="BERT-base, closed loop")  # fmt: skip
    axes.set_xticks([int(load[1:]) for load in loads], [load[1:] for load in loads])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _latency(results: Results, axes: Any) -> None:
    for contender in results.contenders("open loop"):
        cells = [cell for cell in results.cells
                 if (cell.section, cell.contender) == ("open loop", contender)]  # fmt: skip
        cells.sort(key=lambda cell: cell.offered or 0.0)
        rates = [cell.offered for cell in cells]
        color = _color(results, contender)
        axes.plot(rates, [cell.p99 for cell in cells], marker="o", color=color,
                  label=f"{contender}, p99")  # fmt: skip
        axes.plot(rates, [cell.p50 for cell in cells], linestyle="--", color=color, label="p50")
    axes.set(yscale="log", xlabel="requests/s, constant", ylabel="ms, from when it was due",
             title="BERT-base, open loop")  # fmt: skip
    axes.grid(alpha=0.3)
    if results.contenders("open loop"):
        axes.legend(fontsize="small")


def _color(results: Results, contender: str) -> str:
    """The same in both halves."""
    return f"C{results.contenders('peers').index(contender)}"


def _median(results: Results, section: str, contender: str, load: str, figure: str) -> float:
    return Spread.of(list(results.by_round(section, contender, load, figure).values())).median
