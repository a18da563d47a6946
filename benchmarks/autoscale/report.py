"""Tables and picture of docs/capacity.md, from the recorded figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.autoscale import replica, scenarios

FOLDER = Path(__file__).parent
MEASURED = FOLDER / "measured.json"
RESULTS = FOLDER / "results.json"
PICTURE = FOLDER.parent.parent / "docs" / "autoscaling.svg"
CONTROLLER = FOLDER / "controller.json"
"""What Kubernetes' own autoscaler did (tests/cluster/test_autoscaling.py), every 15 s."""

CONTROLLER_PICTURE = PICTURE.with_name("autoscaler.svg")

DRAWN = {
    "8 pods, not scaled": "#9a9a9a",
    "requests alone": "#ff7f0e",
    "queue age alone": "#d62728",
    "as shipped": "#1f77b4",
}
"""Settings in the picture, with their colours."""

_NAMES = {
    "bundled": "the bundled model",
    "published-size": "the published model's size, random weights",
}


def measured() -> list[dict[str, Any]]:
    """What `--measure` recorded, one entry a model."""
    found: list[dict[str, Any]] = json.loads(MEASURED.read_text("utf-8"))
    return found


def results() -> dict[str, dict[str, Any]]:
    """What the simulation recorded: load → setting → course."""
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text("utf-8"))
    return found


def model_of(name: str) -> replica.Replica:
    """The queueing model of a recorded measurement."""
    [found] = [entry for entry in measured() if entry["model"] == name]
    return replica.fit(found)


def replica_table() -> str:
    """What one replica answers, and whether the queueing model gives back its waiting."""
    lines = [
        "| one replica on one core | requests/s | alone, P50 | memory | all from the cache |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {_NAMES[m['model']]} | {m['requests_per_second']:g} | {m['alone_p50_ms']:.1f} ms "
        f"| {m['memory_mb']:.0f} MB | {m['cached_requests_per_second']:g} requests/s |"
        for m in measured()
    ]
    shares = [point["share"] for point in measured()[0]["open_loop"]]
    lines += [
        "",
        "| P95 at a share of that rate: measured / model | "
        + " | ".join(f"{share:.0%}" for share in shares)
        + " |",
        "|---|" + "---|" * len(shares),
    ]
    for entry in measured():
        fitted = replica.fit(entry)
        cells = []
        for point in entry["open_loop"]:
            modelled = replica.p95(fitted, point["requests_per_second"]) * 1e3
            cells.append(f"{point['p95_ms']:.0f} / {modelled:.0f} ms")
        lines.append(f"| {_NAMES[entry['model']]} | " + " | ".join(cells) + " |")
    machines = sorted({entry["machine"] for entry in measured()})
    tokens = sorted({entry["tokens_per_pair"] for entry in measured()})
    lines += ["", f"{'; '.join(machines)}; {', '.join(map(str, tokens))} tokens a pair."]
    return "\n".join(lines)


def autoscale_table() -> str:
    """The simulation's figures."""
    lines = [
        "| load | setting | most pods | P95 | worst 15 s | over 250 ms | refused | pod-minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for load, by_setting in results().items():
        for setting, course in by_setting.items():
            f = course["figures"]
            name = f"**{setting}**" if setting == "as shipped" else setting
            lines.append(
                f"| {load} | {name} | {f['most']} | {f['p95_ms']:.0f} ms | {f['worst_ms']:.0f} ms "
                f"| {f['slow']:.2%} | {f['refused']:.2%} | {f['pod_minutes']:.0f} |"
            )
    return "\n".join(lines)


def controller() -> list[dict[str, float]]:
    """The course of Kubernetes' own autoscaler: second, requests, pods, pods by the port."""
    found: list[dict[str, float]] = json.loads(CONTROLLER.read_text("utf-8"))
    return found


def controller_table() -> str:
    """That course, every two minutes."""
    lines = ["| minute | requests/s | pods | by the port |", "|---|---|---|---|"]
    lines += [
        f"| {row['second'] / 60:g} | {row['requests']:,} | {row['pods']} | {row['ported']} |"
        for row in controller()
        if row["second"] % 120 == 0
    ]
    return "\n".join(lines)


def controller_picture() -> str:
    """That course as SVG: the load above, the pods below."""
    rows = controller()
    minutes = len(rows) // 4
    colours = {"Kubernetes' own controller": "#1f77b4", "the port of its algorithm": "#ff7f0e"}
    pods = {
        name: [row[key] for row in rows]
        for name, key in zip(colours, ("pods", "ported"), strict=True)
    }
    left, parts = _LEFT, []
    for name, colour in colours.items():
        parts.append(f'<rect x="{left}" y="10" width="18" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{left + 24}" y="15">{name}</text>')
        left += 190
    parts += _panel(_LEFT, 0, (0, 3000), {0: "0", 1500: "1,500", 3000: "3,000"}, "requests/s",
                    {"": [row["requests"] for row in rows]}, colours)  # fmt: skip
    parts += _panel(_LEFT, 1, (0, 20), {0: "0", 10: "10", 20: "20"}, "pods", pods, colours)
    bottom = _TOP + 2 * (_HEIGHT + _GAP) - _GAP + 14
    for minute in range(0, minutes, 5):
        at = _LEFT + _WIDTH * minute / minutes
        parts.append(f'<text x="{at:.0f}" y="{bottom}" text-anchor="middle">{minute} min</text>')
    return _svg(_LEFT + _WIDTH + 120, bottom + 12, parts)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">'
    )
    paper = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join([head, paper, *parts, "</svg>"]) + "\n"


# ---- the picture: loads side by side, requests, pods and P95 one below the other -------------

_WIDTH, _HEIGHT = 250, 110
_LEFT, _TOP, _GAP = 62, 60, 26


def picture() -> str:
    """The courses of the settings in `DRAWN`, as SVG."""
    loads = list(results())
    width = _LEFT + len(loads) * (_WIDTH + _GAP)
    height = _TOP + 3 * (_HEIGHT + _GAP) + 24
    parts = []
    x = _LEFT
    for setting, colour in DRAWN.items():
        parts.append(f'<rect x="{x}" y="10" width="18" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{x + 24}" y="15">{setting}</text>')
        x += 40 + 7 * len(setting)
    for column, load in enumerate(loads):
        left = _LEFT + column * (_WIDTH + _GAP)
        parts.append(f'<text x="{left}" y="{_TOP - 20}" font-weight="bold">{load}</text>')
        parts += _panels(load, results()[load], left, first=column == 0)
    return _svg(width, height, parts)


def _panels(load: str, courses: Mapping[str, Any], left: int, *, first: bool) -> Iterator[str]:
    offered = scenarios.LOADS[load].requests
    pods = {name: courses[name]["replicas"] for name in DRAWN}
    p95 = {name: [math.log10(v) for v in courses[name]["p95_ms"]] for name in DRAWN}
    yield from _panel(left, 0, (0, 1600), {0: "0", 800: "800", 1600: "1,600"},
                      "requests/s" if first else "", {"": offered})  # fmt: skip
    yield from _panel(left, 1, (0, 20), {0: "0", 10: "10", 20: "20"}, "pods" if first else "", pods)
    yield from _panel(left, 2, (1, 4), {1: "10 ms", 2: "100 ms", 3: "1 s", 4: "10 s"},
                      "P95" if first else "", p95)  # fmt: skip
    bottom = _TOP + 3 * (_HEIGHT + _GAP) - _GAP + 14
    for minute in (0, 20, 40):
        at = left + _WIDTH * minute / 60
        anchor = "middle" if minute else "start"
        yield f'<text x="{at:.0f}" y="{bottom}" text-anchor="{anchor}">{minute} min</text>'


def _panel(
    left: int,
    row: int,
    bounds: tuple[float, float],
    ticks: Mapping[float, str],
    title: str,
    lines: Mapping[str, Sequence[float]],
    colours: Mapping[str, str] = DRAWN,
) -> Iterator[str]:
    top = _TOP + row * (_HEIGHT + _GAP)
    low, high = bounds

    def height_of(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return top + _HEIGHT * (1 - share)

    for value, label in ticks.items():
        y = height_of(value)
        yield f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="#ddd"/>'
        if title:
            yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    if title:
        yield f'<text x="{left}" y="{top - 4}" fill="#555">{title}</text>'
    for name, values in lines.items():
        step = _WIDTH / len(values)
        points = " ".join(f"{left + k * step:.1f},{height_of(v):.1f}" for k, v in enumerate(values))
        colour = colours.get(name, "#333")
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
