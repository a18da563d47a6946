"""Draw the curves of an evaluation as an SVG; it is written as text, without a library."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from html import escape

from service.evaluation.accumulator import RULES, Accumulator, Rule
from service.evaluation.figures import Thresholds

_SIDE, _LEFT, _TOP, _GAP, _BELOW = 260, 52, 88, 64, 80
_PRECISION, _RECALL, _GREY = "#1f5fa8", "#c2571a", "#888"
_POINTS = 201
"""Points of a curve: about one for each pixel."""

_Point = tuple[float, float]

_NOT_IN_XML = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML and UTF-8 cannot hold, and the name of a file can."""


def svg(totals: Accumulator, title: str, subtitle: str) -> str:
    """Draw precision and recall by threshold, for each rule, and the reliability diagram."""
    panels = [
        *map(_curves, RULES, totals.thresholds, range(len(RULES))),
        _reliability(totals, len(RULES)),
    ]
    width, height = _LEFT + len(panels) * (_SIDE + _GAP), _TOP + _SIDE + _BELOW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            _text(_LEFT, 24, title, size=15),
            _text(_LEFT, 44, subtitle),
            *panels,
            "</svg>\n",
        ]
    )


def _curves(rule: Rule, counted: Thresholds, column: int) -> str:
    at, precision, recall = counted.curve()
    every = max(1, (len(at) - 1) // (_POINTS - 1))
    lines = [
        _line(column, zip(at[::every], values[::every], strict=True), colour)
        for values, colour in ((precision, _PRECISION), (recall, _RECALL))
    ]
    legend = [
        _legend(column, place, name, colour)
        for place, (name, colour) in enumerate((("precision", _PRECISION), ("recall", _RECALL)))
    ]
    frame = _frame(column, f"taken for {rule.found}", f"{rule.value} of at least", "share")
    return "\n".join([frame, *lines, *legend])


def _reliability(totals: Accumulator, column: int) -> str:
    rows = totals.reliability.rows()
    most = max((pairs for _, _, pairs in rows), default=1)
    # A dot's area is its share of the pairs.
    dots = [
        f'<circle cx="{_x(column, sure):.1f}" cy="{_y(right):.1f}" '
        f'r="{3 + 9 * math.sqrt(pairs / most):.1f}" fill="{_PRECISION}" fill-opacity="0.6"/>'
        for sure, right, pairs in rows
    ]
    frame = _frame(column, f"calibration: ECE {totals.reliability.ece():.3f}", "confidence",
                   "share that is right")  # fmt: skip
    diagonal = _line(column, [(0.0, 0.0), (1.0, 1.0)], _GREY)
    note = _text(_x(column, 0), _TOP + _SIDE + 62, "a dot's area: its share of the pairs")
    return "\n".join([frame, diagonal, *dots, note])


def _frame(column: int, title: str, across: str, up: str) -> str:
    left, bottom = _x(column, 0), _TOP + _SIDE
    parts = [_text(left, _TOP - 10, title, size=13)]
    for tenth in range(0, 11, 2):
        share = tenth / 10
        for x1, y1, x2, y2 in (
            (left, _y(share), left + _SIDE, _y(share)),
            (_x(column, share), _TOP, _x(column, share), bottom),
        ):
            parts.append(
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e2e2e2"/>'
            )
        parts.append(_text(_x(column, share), bottom + 17, f"{share:g}", anchor="middle"))
        parts.append(_text(left - 7, _y(share) + 4, f"{share:g}", anchor="end"))
    parts.append(_text(left + _SIDE / 2, bottom + 38, across, anchor="middle"))
    x, y = left - 36, _TOP + _SIDE / 2
    parts.append(
        f'<text x="{x}" y="{y}" text-anchor="middle" transform="rotate(-90 {x} {y})">{up}</text>'
    )
    return "\n".join(parts)


def _line(column: int, points: Iterable[_Point], colour: str) -> str:
    runs: list[list[str]] = [[]]
    for x, y in points:
        if math.isnan(y):  # no pairs here: interrupt the line
            runs.append([])
        else:
            runs[-1].append(f"{_x(column, x):.1f},{_y(y):.1f}")
    return "\n".join(
        f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for run in runs
        if len(run) > 1
    )


def _legend(column: int, place: int, name: str, colour: str) -> str:
    x, y = _x(column, 0) + 110 * place, _TOP + _SIDE + 58
    return f'<rect x="{x}" y="{y}" width="18" height="4" fill="{colour}"/>' + _text(
        x + 24, y + 6, name
    )


def _text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start") -> str:
    shown = escape(_NOT_IN_XML.sub("\ufffd", words))
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{shown}</text>'


def _x(column: int, share: float) -> float:
    return _LEFT + column * (_SIDE + _GAP) + share * _SIDE


def _y(share: float) -> float:
    return _TOP + (1 - share) * _SIDE
