"""Figures of merit for three-way address matching, beside those that the service shares.

Labels are indices into relations.LABELS.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.evaluation.figures import (
    CALIBRATION_BINS,
    Floats,
    Ints,
    Reliability,
    confusion,
    f1_by_class,
)

__all__ = ["Floats", "Ints", "confusion", "f1_by_class"]


def macro_f1(truth: Ints, guess: Ints) -> float:
    """Mean of the classes' F1."""
    return float(f1_by_class(confusion(truth, guess)).mean())


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """Area under the ROC curve; ties count one half. NaN when one side is empty."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    if n_pos == 0 or n_neg == 0:
        return float("nan")
    return float((rank[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def softmax(logits: Floats) -> Floats:
    """Row-wise softmax of [pairs, labels]."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def reliability(
    probabilities: Floats, truth: Ints, bins: int = CALIBRATION_BINS
) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, pairs) by equal-width bin of the top probability."""
    counted = Reliability(bins)
    counted.add(probabilities, truth)
    return counted.rows()


def ece(probabilities: Floats, truth: Ints, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error of the top label."""
    counted = Reliability(bins)
    counted.add(probabilities, truth)
    return counted.ece()


def negative_log_likelihood(probabilities: Floats, truth: Ints) -> float:
    """Mean -log P(true label); chances below 1e-12 count as 1e-12."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_temperature(logits: Floats, truth: Ints) -> float:
    """The temperature that minimises the negative log-likelihood, by golden-section search."""
    low, high, golden = np.log(0.3), np.log(5.0), (5**0.5 - 1) / 2

    def loss(log_t: float) -> float:
        return negative_log_likelihood(softmax(logits / np.exp(log_t)), truth)

    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def bootstrap_by_group(
    groups: NDArray[np.int64],
    statistic: Callable[[Ints], float],
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of `statistic(rows)` over resampled groups.

    groups: a group's number for each row; groups are drawn whole, with replacement.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    members = np.split(order, starts[1:])
    values = []
    for _ in range(rounds):
        drawn = rng.integers(0, len(members), len(members))
        values.append(statistic(np.concatenate([members[i] for i in drawn])))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
