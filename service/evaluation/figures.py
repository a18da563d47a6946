"""Figures of merit for labelled pairs, from counts: any number of pairs in the same memory.

Labels are indices; rows of a confusion table are the true ones. `python -m service evaluate` and
`python -m training evaluate` share these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 10


def confusion(truth: Ints, guess: Ints, labels: int = 3) -> Ints:
    """Counts [true label, guessed label]."""
    return np.bincount(truth * labels + guess, minlength=labels * labels).reshape(labels, labels)


def f1_by_class(table: NDArray[np.int64] | Floats) -> Floats:
    """F1 of each class from a confusion table; 0 where a class is neither present nor guessed."""
    hits = np.diag(table).astype(float)
    total = table.sum(0) + table.sum(1)
    f1: Floats = np.divide(2 * hits, total, out=np.zeros(len(table)), where=total > 0)
    return f1


def precision_by_class(table: Ints) -> Floats:
    """Share of each class's guesses that are right; NaN where it is never guessed."""
    return _shares(np.diag(table), table.sum(0))


def recall_by_class(table: Ints) -> Floats:
    """Share of each class's pairs that are guessed; NaN where there are none."""
    return _shares(np.diag(table), table.sum(1))


class Reliability:
    """Confidence and accuracy of the top label, by equal-width bin of its probability.

    Args:
        bins: How many.
    """

    def __init__(self, bins: int = CALIBRATION_BINS) -> None:
        self._pairs = np.zeros(bins, np.int64)
        self._confidence = np.zeros(bins)
        self._right = np.zeros(bins, np.int64)

    def add(self, probabilities: Floats, truth: Ints) -> None:
        """Count pairs: their probabilities [pairs, labels] and true labels."""
        bins = len(self._pairs)
        top, guess = probabilities.max(1), probabilities.argmax(1)
        which = np.minimum((top * bins).astype(int), bins - 1)
        self._pairs += np.bincount(which, minlength=bins)
        self._confidence += np.bincount(which, top, minlength=bins)
        self._right += np.bincount(which[guess == truth], minlength=bins)

    def rows(self) -> list[tuple[float, float, int]]:
        """(mean confidence, accuracy, pairs) of each bin that has any."""
        return [
            (float(sure / n), float(right / n), int(n))
            for sure, right, n in zip(self._confidence, self._right, self._pairs, strict=True)
            if n
        ]

    def ece(self) -> float:
        """Expected calibration error of the top label."""
        gaps = np.abs(self._confidence - self._right)
        return float(gaps.sum() / self._pairs.sum())


class Thresholds:
    """Precision and recall of "the similarity is at least this", for every threshold of a grid.

    Args:
        steps: Thresholds between 0 and 1; each is a multiple of 1 / steps.
    """

    def __init__(self, steps: int = 1000) -> None:
        self.steps = steps
        self._positive = np.zeros(steps + 1, np.int64)
        self._negative = np.zeros(steps + 1, np.int64)

    def add(self, similarity: Floats, positive: NDArray[np.bool_]) -> None:
        """Count pairs: their similarities, and which of them should be found."""
        # A hair more, so that a similarity that is a threshold counts as at least that.
        which = np.floor(similarity * self.steps + 1e-6).astype(np.int64).clip(0, self.steps)
        self._positive += np.bincount(which[positive], minlength=self.steps + 1)
        self._negative += np.bincount(which[~positive], minlength=self.steps + 1)

    @property
    def positives(self) -> int:
        """Pairs that should be found."""
        return int(self._positive.sum())

    def curve(self) -> tuple[Floats, Floats, Floats]:
        """Thresholds from 0 to 1, the precision and the recall of each.

        Precision is NaN where nothing is found, recall where nothing should be.
        """
        found = self._positive[::-1].cumsum()[::-1]
        wrong = self._negative[::-1].cumsum()[::-1]
        at = np.arange(self.steps + 1) / self.steps
        return at, _shares(found, found + wrong), _shares(found, np.full_like(found, found[0]))

    def lowest_with(self, precision: float) -> tuple[float, float, float] | None:
        """The threshold with the most recall at a precision of at least so much.

        Returns:
            Threshold, precision and recall; None if no threshold is so precise.
        """
        at, precise, recall = self.curve()
        enough = np.flatnonzero(np.nan_to_num(precise, nan=-1.0) >= precision)
        if not len(enough) or not self.positives:
            return None
        # Recall only falls: the lowest threshold has the most.
        lowest = int(enough[0])
        if not recall[lowest]:
            return None
        return float(at[lowest]), float(precise[lowest]), float(recall[lowest])


def _shares(parts: Ints, wholes: Ints) -> Floats:
    shares: Floats = np.divide(
        parts.astype(float), wholes, out=np.full(len(wholes), np.nan), where=wholes > 0
    )
    return shares
