"""Metrics of labelled pairs, computed from counts, so memory does not grow with the pairs.

Labels are indices. Rows of a confusion table are true labels, columns are predicted ones.
`python -m service evaluate` and `python -m training evaluate` share these functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 10


def confusion(truth: Ints, guess: Ints, labels: int = 3) -> Ints:
    """The confusion table: pairs by true and predicted label. Shape (labels, labels).

    Args:
        truth: True label of each pair. Shape (pairs,).
        guess: Predicted label of each pair. Shape (pairs,).
        labels: Number of labels.
    """
    return np.bincount(truth * labels + guess, minlength=labels * labels).reshape(labels, labels)


def f1_by_class(table: NDArray[np.int64] | Floats) -> Floats:
    """F1 of each class, shape (labels,). 0 for a class that is neither present nor predicted."""
    hits = np.diag(table).astype(float)
    total = table.sum(0) + table.sum(1)
    f1: Floats = np.divide(2 * hits, total, out=np.zeros(len(table)), where=total > 0)
    return f1


def precision_by_class(table: Ints) -> Floats:
    """Precision of each class, shape (labels,). NaN for a class that is never predicted."""
    return _shares(np.diag(table), table.sum(0))


def recall_by_class(table: Ints) -> Floats:
    """Recall of each class, shape (labels,). NaN for a class without pairs."""
    return _shares(np.diag(table), table.sum(1))


class Reliability:
    """Confidence and accuracy of the most probable label, in bins of equal width.

    Args:
        bins: Number of bins between 0 and 1.
    """

    def __init__(self, bins: int = CALIBRATION_BINS) -> None:
        self._pairs = np.zeros(bins, np.int64)
        self._confidence = np.zeros(bins)
        self._right = np.zeros(bins, np.int64)

    def add(self, probabilities: Floats, truth: Ints) -> None:
        """Count pairs.

        Args:
            probabilities: Shape (pairs, labels).
            truth: True label of each pair. Shape (pairs,).
        """
        bins = len(self._pairs)
        top, guess = probabilities.max(1), probabilities.argmax(1)
        which = np.minimum((top * bins).astype(int), bins - 1)
        self._pairs += np.bincount(which, minlength=bins)
        self._confidence += np.bincount(which, top, minlength=bins)
        self._right += np.bincount(which[guess == truth], minlength=bins)

    def rows(self) -> list[tuple[float, float, int]]:
        """(mean confidence, accuracy, pairs) of each bin that is not empty."""
        return [
            (float(sure / n), float(right / n), int(n))
            for sure, right, n in zip(self._confidence, self._right, self._pairs, strict=True)
            if n
        ]

    def ece(self) -> float:
        """Expected calibration error (ECE) of the most probable label, from 0 to 1."""
        gaps = np.abs(self._confidence - self._right)
        return float(gaps.sum() / self._pairs.sum())


class Thresholds:
    """Precision and recall of the rule "similarity >= threshold", on a grid of thresholds.

    Args:
        steps: The thresholds are 0, 1 / steps, 2 / steps, ..., 1.
    """

    def __init__(self, steps: int = 1000) -> None:
        self.steps = steps
        self._positive = np.zeros(steps + 1, np.int64)
        self._negative = np.zeros(steps + 1, np.int64)

    def add(self, similarity: Floats, positive: NDArray[np.bool_]) -> None:
        """Count pairs.

        Args:
            similarity: From 0 to 1. Shape (pairs,).
            positive: Which pairs should be found. Shape (pairs,).
        """
        # The small addition makes a similarity that equals a threshold reach it despite rounding.
        which = np.floor(similarity * self.steps + 1e-6).astype(np.int64).clip(0, self.steps)
        self._positive += np.bincount(which[positive], minlength=self.steps + 1)
        self._negative += np.bincount(which[~positive], minlength=self.steps + 1)

    @property
    def positives(self) -> int:
        """Pairs that should be found."""
        return int(self._positive.sum())

    def curve(self) -> tuple[Floats, Floats, Floats]:
        """Thresholds, and precision and recall at each. Each has the shape (steps + 1,).

        Precision is NaN where no pair is found. Recall is NaN if no pair should be found.
        """
        found = self._positive[::-1].cumsum()[::-1]
        wrong = self._negative[::-1].cumsum()[::-1]
        at = np.arange(self.steps + 1) / self.steps
        return at, _shares(found, found + wrong), _shares(found, np.full_like(found, found[0]))

    def lowest_with(self, precision: float) -> tuple[float, float, float, int] | None:
        """The lowest threshold with at least this precision; it has the highest recall of those.

        Returns:
            Threshold, precision, recall, and the pairs that reach the threshold; None if no
            threshold has the precision.
        """
        at, precise, recall = self.curve()
        enough = np.flatnonzero(np.nan_to_num(precise, nan=-1.0) >= precision)
        if not len(enough) or not self.positives:
            return None
        # Recall never rises with the threshold.
        lowest = int(enough[0])
        if not recall[lowest]:
            return None
        found = int(self._positive[lowest:].sum() + self._negative[lowest:].sum())
        return float(at[lowest]), float(precise[lowest]), float(recall[lowest]), found


def _shares(parts: Ints, wholes: Ints) -> Floats:
    shares: Floats = np.divide(
        parts.astype(float), wholes, out=np.full(len(wholes), np.nan), where=wholes > 0
    )
    return shares
