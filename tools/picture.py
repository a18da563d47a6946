"""Draws the main panels of a dashboard from a running Prometheus, for a page without Grafana.

    python -m tools.picture docs/images/dashboard.svg
    python -m tools.picture dashboard.svg --prometheus http://127.0.0.1:9090 --minutes 15

Titles, queries, legends and units are read from the dashboard's own file, so that the picture
shows what Grafana would be told; how it looks is this tool's.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "mgeo"  # the same data make the same file
mpl.rcParams["svg.fonttype"] = "none"  # text stays text: small, and readable aloud

from matplotlib import dates, pyplot  # noqa: E402

BOARD = Path(__file__).parent.parent / "grafana" / "dashboards" / "service.json"

PANELS = (
    "Requests per second",
    "Latency",
    "Mean time per request, by stage",
    "Oldest pair in the queue",
    "Saturation",
    "Latency of batches",
)
"""Titles of the panels that are drawn, row by row."""

STEP = 15.0
"""Seconds between points: the scrape interval, as Grafana takes at this width."""

_UNITS = {"s": 1000.0, "percentunit": 100.0}
_SIGNS = {"s": "ms", "percentunit": "%", "reqps": "req/s", "cps": "/s", "short": ""}
_DOT = "#0a6eff"

WHOLE = "whole request"
"""The line over a stack: the sum, and no part of it."""

Points = tuple[list[float], list[float]]
"""Moments in seconds since the epoch, and a value at each."""


class PictureError(Exception):
    """Prometheus is not there, refuses a query, or has no data."""


def fill(expr: str) -> str:
    """A panel's query with Grafana's variables filled in: all that can be chosen, a 15 s scrape.

    The time range, where a query asks for it, is five minutes.
    """
    for name, value in (
        ("job", ".+"),
        ("instance", ".+"),
        ("host", ".+"),
        ("service", "mgeo-inference"),
        ("__rate_interval", "1m0s"),
        ("__range", "5m0s"),
    ):
        expr = expr.replace(f"${name}", value)
    if "$" in expr:
        raise PictureError(f"a variable is left: {expr}")
    return expr


def panels() -> list[dict[str, Any]]:
    """The panels to draw, as the dashboard's file has them. Raises PictureError if one is gone."""
    charts = {
        panel["title"]: panel
        for panel in json.loads(BOARD.read_text("utf-8"))["panels"]
        if panel["type"] == "timeseries"
    }
    gone = [title for title in PANELS if title not in charts]
    if gone:
        raise PictureError(f"no such panel in {BOARD.name}: {', '.join(gone)}")
    return [charts[title] for title in PANELS]


def draw(prometheus: str, path: Path, minutes: float = 15.0) -> int:
    """Draw the last `minutes` as SVG into `path`.

    Args:
        prometheus: Its address, such as `http://127.0.0.1:9090`.
        path: The file to write.
        minutes: How far back.

    Returns:
        Exemplars drawn: dots that lead to a trace each.

    Raises:
        PictureError: Prometheus is not there, or has no data for a panel.
    """
    end = time.time()
    window = {"start": str(end - minutes * 60), "end": str(end)}
    figure, grid = pyplot.subplots(2, 3, figsize=(15, 7), layout="constrained")
    dots = 0
    for axes, panel in zip(grid.flat, panels(), strict=True):
        dots += _panel(axes, panel, prometheus, window)
        axes.set_xlim(*_times([end - minutes * 60, end]))
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return dots


def _panel(axes: Any, panel: Mapping[str, Any], prometheus: str, window: dict[str, str]) -> int:
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    scale = _UNITS.get(unit, 1.0)
    lines: dict[str, Points] = {}
    dots: Points = ([], [])
    for target in panel["targets"]:
        expr = fill(target["expr"])
        found = _ask(prometheus, "query_range", query=expr, step=str(STEP), **window)["result"]
        for series in found:
            name = _name(target["legendFormat"], series["metric"])
            lines[name] = _points(series["values"], scale)
        if target.get("exemplar"):
            for series in _ask(prometheus, "query_exemplars", query=expr, **window):
                for exemplar in series["exemplars"]:
                    dots[0].append(exemplar["timestamp"])
                    dots[1].append(float(exemplar["value"]) * scale)
    if not lines:
        raise PictureError(f"{panel['title']}: no data at {prometheus}; let requests flow first")
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    _lines(axes, lines, stacked)
    if dots[0]:
        axes.plot(_times(dots[0]), dots[1], "D", color=_DOT, markersize=4, markeredgewidth=0,
                  alpha=0.6, label="one request and its trace")  # fmt: skip
    axes.set_title(panel["title"], loc="left", fontsize=12)
    axes.set_ylabel(_SIGNS[unit])
    if defaults["custom"].get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0, top=100 if unit == "percentunit" else None)
    clock: Any = dates  # whose classes have no types
    axes.xaxis.set_major_formatter(clock.DateFormatter("%H:%M"))
    axes.xaxis.set_major_locator(clock.AutoDateLocator(minticks=4, maxticks=7))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8, loc="upper left")
    return len(dots[0])


def _lines(axes: Any, lines: Mapping[str, Points], stacked: bool) -> None:
    """Draws lines, or areas on top of each other with what is no part of the sum as a line."""
    alone = dict(lines)
    if stacked:
        parts = {name: points for name, points in lines.items() if name != WHOLE}
        alone = {name: points for name, points in lines.items() if name == WHOLE}
        moments = sorted({moment for times, _ in parts.values() for moment in times})
        heights = []
        for points in parts.values():
            known = dict(zip(*points, strict=True))
            heights.append([known.get(moment, 0.0) for moment in moments])
        axes.stackplot(_times(moments), heights, labels=list(parts), alpha=0.6)
    for name, (times, values) in alone.items():
        # A route that nobody asked has a line at 0, and would crowd the legend.
        axes.plot(_times(times), values, label=name if any(values) else None, linewidth=1.3)


def _points(values: Sequence[tuple[float, str]], scale: float) -> Points:
    numbers = [(moment, float(text) * scale) for moment, text in values if text != "NaN"]
    return [moment for moment, _ in numbers], [number for _, number in numbers]


def _times(moments: Sequence[float]) -> list[datetime]:
    return [datetime.fromtimestamp(moment, UTC) for moment in moments]


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: str(labels.get(found[1], "")), legend)


def _ask(prometheus: str, question: str, **parameters: str) -> Any:
    url = f"{prometheus}/api/v1/{question}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - Prometheus's address
            return json.load(answer)["data"]
    except (urllib.error.URLError, OSError) as error:
        raise PictureError(f"{prometheus}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the picture; 0 when it is there, 1 when it cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m tools.picture", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("path", type=Path)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=15.0)
    options = parser.parse_args(arguments)
    try:
        dots = draw(options.prometheus, options.path, options.minutes)
    except PictureError as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    print(f"picture: {len(PANELS)} panels, {dots} exemplars: {options.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
