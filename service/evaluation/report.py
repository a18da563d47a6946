"""Report the figures of an evaluation as text, as Markdown, or as a JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from service.evaluation.accumulator import Accumulator
from service.evaluation.figures import (
    Thresholds,
    f1_by_class,
    precision_by_class,
    recall_by_class,
)
from service.scoring.checkpoint import LABELS

SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Thresholds in the table of the report."""

BOUNDARIES = ("exact_match", "exact_match or partial_match")
"""The two meanings of "similarity >= threshold" that are measured."""


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
            boundary: [
                {"similarity": at, "precision": precise, "recall": recall}
                for at, precise, recall in _shown(counted)
            ]
            for boundary, counted in zip(BOUNDARIES, (totals.exact, totals.partial), strict=True)
        },
        "threshold_for_precision": {
            boundary: [_wanted(counted, one) for one in precision]
            for boundary, counted in zip(BOUNDARIES, (totals.exact, totals.partial), strict=True)
        },
    }


def text(summary: dict[str, Any]) -> str:
    """The figures of `document`, as text for a terminal."""
    return "\n".join(_lines(summary))


def threshold_table(summary: dict[str, Any]) -> str:
    """Precision and recall by similarity, as a table in Markdown."""
    lines = [
        "| similarity | exact: precision | recall | exact or partial: precision | recall |",
        "|---|---|---|---|---|",
    ]
    for exact, partial in zip(*(summary["thresholds"][one] for one in BOUNDARIES), strict=True):
        cells = [_share(one[name]) for one in (exact, partial) for name in ("precision", "recall")]
        lines.append(f"| ≥ {exact['similarity']:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
    yield f"{'':12}{'taken for exact_match':>22}{'for exact or partial':>24}"
    yield f"{'similarity':12}{'precision':>13}{'recall':>9}{'precision':>15}{'recall':>9}"
    for exact, partial in zip(*(summary["thresholds"][one] for one in BOUNDARIES), strict=True):
        first = f"{_share(exact['precision']):>13}{_share(exact['recall']):>9}"
        second = f"{_share(partial['precision']):>15}{_share(partial['recall']):>9}"
        yield f">= {exact['similarity']:<9.2f}{first}{second}"
    yield ""
    for boundary, rows in summary["threshold_for_precision"].items():
        for one in rows:
            yield f"{boundary} with a precision of {one['wanted']:g}: " + (
                "no threshold is so precise"
                if one["similarity"] is None
                else f"similarity >= {one['similarity']:.3f} "
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


def _wanted(counted: Thresholds, precision: float) -> dict[str, float | None]:
    found = counted.lowest_with(precision) or (None, None, None, 0)
    return {
        "wanted": precision,
        **dict(zip(("similarity", "precision", "recall", "pairs"), found, strict=True)),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
