"""Report the figures of an evaluation as text, as Markdown, or as a JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from service.evaluation.accumulator import EXACT, MATCH, RULES, Accumulator, Rule
from service.evaluation.figures import (
    Thresholds,
    f1_by_class,
    precision_by_class,
    recall_by_class,
)
from service.scoring.checkpoint import LABELS

SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Thresholds in the table of the report."""

_SHORT = {EXACT: "exact", MATCH: "exact or partial"}


def document(
    totals: Accumulator, model: dict[str, str], precision: Sequence[float]
) -> dict[str, Any]:
    """All figures, as a JSON document. Shares are from 0 to 1; None if no pair counts for them.

    Args:
        totals: The counted pairs.
        model: Name, version and backend.
        precision: Precisions for which to find the lowest threshold, above 0 and at most 1.
    """
    table = totals.confusion
    by_class = (precision_by_class(table), recall_by_class(table), f1_by_class(table))
    return {
        "model": model,
        "rows": totals.rows,
        "pairs": totals.pairs,
        "macro_f1": float(by_class[2].mean()),
        "accuracy": float(np.diag(table).sum() / table.sum()),
        "labels": {
            label: {
                "pairs": int(table[index].sum()),
                **{
                    name: _number(values[index])
                    for name, values in zip(("precision", "recall", "f1"), by_class, strict=True)
                },
            }
            for index, label in enumerate(LABELS)
        },
        "confusion": {
            label: dict(zip(LABELS, map(int, row), strict=True))
            for label, row in zip(LABELS, table, strict=True)
        },
        "ece": totals.reliability.ece(),
        "reliability": [
            {"confidence": sure, "accuracy": right, "pairs": pairs}
            for sure, right, pairs in totals.reliability.rows()
        ],
        "thresholds": {
            rule.name: [
                {rule.key: at, "precision": precise, "recall": recall}
                for at, precise, recall in _shown(counted)
            ]
            for rule, counted in zip(RULES, totals.thresholds, strict=True)
        },
        "threshold_for_precision": {
            rule.name: [_wanted(rule, counted, one) for one in precision]
            for rule, counted in zip(RULES, totals.thresholds, strict=True)
        },
    }


def text(summary: dict[str, Any]) -> str:
    """The figures of `document`, as text for a terminal."""
    return "\n".join(_lines(summary))


def threshold_table(summary: dict[str, Any]) -> str:
    """Precision and recall by threshold, of each of `RULES`, as a table in Markdown."""
    names = (f"{_SHORT[rule.found]}, by {rule.value}: precision | recall" for rule in RULES)
    lines = [f"| threshold | {' | '.join(names)} |", f"|{'---|' * (1 + 2 * len(RULES))}"]
    for threshold, rows in _rows_of_thresholds(summary):
        cells = [_share(one[name]) for one in rows for name in ("precision", "recall")]
        lines.append(f"| ≥ {threshold:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rows_of_thresholds(
    summary: dict[str, Any],
) -> Iterator[tuple[float, tuple[dict[str, Any], ...]]]:
    """Each shown threshold, and the figures of each of `RULES` at it."""
    by_rule = (summary["thresholds"][rule.name] for rule in RULES)
    return zip(SHOWN, zip(*by_rule, strict=True), strict=True)


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    model = summary["model"]
    yield f"model      {model['name']} {model['version']}, {model['backend']}"
    yield f"pairs      {summary['pairs']:,} of {summary['rows']:,} rows"
    yield f"macro-F1   {summary['macro_f1']:.4f}"
    yield f"accuracy   {summary['accuracy']:.4f}"
    yield f"ECE        {summary['ece']:.4f} (10 bins)"
    yield ""
    yield f"{'label':14}{'precision':>10}{'recall':>8}{'F1':>8}{'pairs':>9}"
    for label, one in summary["labels"].items():
        figures = f"{_share(one['precision']):>10}{_share(one['recall']):>8}{_share(one['f1']):>8}"
        yield f"{label:14}{figures}{one['pairs']:9,}"
    yield ""
    yield f"{'true label':14}" + "".join(f"{f'-> {label}':>18}" for label in LABELS)
    for label, row in summary["confusion"].items():
        yield f"{label:14}" + "".join(f"{row[guess]:18,}" for guess in LABELS)
    yield ""
    yield f"{'confidence':>10}{'accuracy':>10}{'pairs':>9}"
    for one in summary["reliability"]:
        yield f"{one['confidence']:10.3f}{one['accuracy']:10.3f}{one['pairs']:9,}"
    yield ""
    yield f"{'find:':12}" + "".join(f"{_SHORT[rule.found]:>24}" for rule in RULES)
    yield f"{'by:':12}" + "".join(f"{rule.value:>24}" for rule in RULES)
    yield f"{'':12}" + f"{'precision':>15}{'recall':>9}" * len(RULES)
    for threshold, by_rule in _rows_of_thresholds(summary):
        yield f">= {threshold:<9.2f}" + "".join(
            f"{_share(one['precision']):>15}{_share(one['recall']):>9}" for one in by_rule
        )
    yield ""
    for rule in RULES:
        for one in summary["threshold_for_precision"][rule.name]:
            yield f"{rule.found} with a precision of {one['wanted']:g}: " + (
                f"no {rule.value} is so precise"
                if one[rule.key] is None
                else f"{rule.value} >= {one[rule.key]:.3f} "
                f"(precision {one['precision']:.3f} of {one['pairs']:,} pairs, "
                f"recall {one['recall']:.3f})"
            )
    for label, one in summary["labels"].items():
        if not one["pairs"]:
            yield f"no row is {label}: macro-F1 counts it as 0; read the thresholds instead"


def _shown(counted: Thresholds) -> Iterator[tuple[float, float | None, float | None]]:
    at, precise, recall = counted.curve()
    for threshold in SHOWN:
        index = round(threshold * counted.steps)
        yield float(at[index]), _number(precise[index]), _number(recall[index])


def _wanted(rule: Rule, counted: Thresholds, precision: float) -> dict[str, float | None]:
    found = counted.lowest_with(precision) or (None, None, None, 0)
    return {
        "wanted": precision,
        **dict(zip((rule.key, "precision", "recall", "pairs"), found, strict=True)),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
