"""The figures of one evaluation, gathered chunk by chunk in the same memory."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from service.bulk.tables import Result
from service.evaluation.figures import Ints, Reliability, Thresholds, confusion
from service.scoring.checkpoint import LABELS, Label

_EXACT, _PARTIAL = LABELS.index("exact_match"), LABELS.index("partial_match")
_FIRST_BAD = 10

NO_LABEL = "its label is none that is known"
"""Never the cell itself: a wrong column may hold addresses."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """A pair whose label was not the most probable one.

    Attributes:
        probability: Of the label that the file gives: the smaller, the worse.
        row: In the file, counted from 1 without a header.
        label: What the file says.
        result: What the model said.
        addresses: The pair.
    """

    probability: float
    row: int
    label: Label = field(compare=False)
    result: Result = field(compare=False)
    addresses: tuple[str, str] = field(compare=False)


class Accumulator:
    """Counts labelled pairs.

    Args:
        worst: Most mistakes to keep.

    Attributes:
        rows: Rows read.
        bad: Those without a label or a score.
        first_bad: The first of those, counted from 1 without a header, each with the reason.
        confusion: Counts [true label, guessed label].
        reliability: Confidence against accuracy.
        exact: Precision and recall of finding exact matches by a threshold.
        partial: Of finding exact and partial matches.
    """

    def __init__(self, worst: int) -> None:
        self.rows = 0
        self.bad = 0
        self.first_bad: list[tuple[int, str]] = []
        self.confusion: Ints = np.zeros((len(LABELS), len(LABELS)), np.int64)
        self.reliability = Reliability()
        self.exact, self.partial = Thresholds(), Thresholds()
        self._worst_limit = worst
        self._worst: list[tuple[float, int, Mistake]] = []

    @property
    def pairs(self) -> int:
        """Pairs that count."""
        return self.rows - self.bad

    def worst(self) -> list[Mistake]:
        """The mistakes in which the true label was the least probable, the worst first."""
        return sorted(mistake for _, _, mistake in self._worst)

    def add(
        self,
        truth: Sequence[Label | None],
        results: Sequence[Result],
        addresses: Sequence[tuple[object, object]],
    ) -> None:
        """Count a chunk.

        Args:
            truth: Each row's label; None where the file gives none that is known.
            results: Each row's score.
            addresses: Each row's pair.
        """
        labels, guesses, probabilities, similarities = [], [], [], []
        rows = zip(truth, results, addresses, strict=True)
        for row, (label, result, pair) in enumerate(rows, self.rows + 1):
            if label is None or result.error is not None:
                self.bad += 1
                if len(self.first_bad) < _FIRST_BAD:
                    self.first_bad.append((row, result.error or NO_LABEL))
                continue
            chances = [float(getattr(result, name)) for name in LABELS]
            labels.append(LABELS.index(label))
            guesses.append(int(np.argmax(chances)))
            probabilities.append(chances)
            similarities.append(result.similarity)
            if label != result.label:
                both = str(pair[0]), str(pair[1])
                self._keep(Mistake(chances[labels[-1]], row, label, result, both))
        self.rows += len(results)
        if not labels:
            return
        indices, similarity = np.array(labels, np.int64), np.array(similarities, np.float64)
        self.confusion += confusion(indices, np.array(guesses, np.int64), len(LABELS))
        self.reliability.add(np.array(probabilities), indices)
        self.exact.add(similarity, indices == _EXACT)
        self.partial.add(similarity, indices <= _PARTIAL)

    def _keep(self, mistake: Mistake) -> None:
        # A heap whose first is the least bad of those kept.
        entry = (-mistake.probability, -mistake.row, mistake)
        if len(self._worst) < self._worst_limit:
            heapq.heappush(self._worst, entry)
        elif self._worst_limit:
            heapq.heappushpop(self._worst, entry)
