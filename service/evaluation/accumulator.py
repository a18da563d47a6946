"""Collects the figures of an evaluation chunk by chunk, in constant memory."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from service.bulk.tables import Result
from service.evaluation.figures import Ints, Reliability, Thresholds, confusion
from service.scoring.checkpoint import LABELS, Label

_EXACT, _PARTIAL = LABELS.index("exact_match"), LABELS.index("partial_match")
_FIRST_BAD = 10


class Rule(NamedTuple):
    """A rule that finds the pairs whose value is at or above a threshold.

    Attributes:
        name: Its key in the JSON report.
        found: The labels of the pairs that should be found.
        value: What is compared with the threshold, for people.
        key: The same in the JSON report.
    """

    name: str
    found: str
    value: str
    key: str


EXACT: Final = "exact_match"
MATCH: Final = "exact_match or partial_match"
RULES: Final = (
    Rule(EXACT, EXACT, "similarity", "similarity"),
    Rule(MATCH, MATCH, "similarity", "similarity"),
    Rule(f"{MATCH} by probability", MATCH, "P(exact) + P(partial)", "probability"),
)
"""The similarity of a certain partial match is only .5, about that of a doubtful exact match. So
the third rule finds more pairs than the second one."""

NO_LABEL = "no known label: give its name by --labels"
"""The cell is not quoted: if the wrong column was named, it may hold an address."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """A pair that the model labelled wrong.

    Attributes:
        probability: The model's probability of the true label, from 0 to 1. Lower is worse.
        row: Row number in the file, from 1, without a header.
        label: The true label, from the file.
        result: The model's result.
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
        bad: Rows without a label or a score.
        first_bad: The first 10 of those: row number, from 1 without a header, and reason.
        confusion: Pairs by true label and predicted label. Shape (3, 3).
        reliability: Accuracy by confidence.
        thresholds: Precision and recall by threshold, of each of `RULES`.
    """

    def __init__(self, worst: int) -> None:
        self.rows = 0
        self.bad = 0
        self.first_bad: list[tuple[int, str]] = []
        self.confusion: Ints = np.zeros((len(LABELS), len(LABELS)), np.int64)
        self.reliability = Reliability()
        self.thresholds = tuple(Thresholds() for _ in RULES)
        self._worst_limit = worst
        self._worst: list[tuple[float, int, Mistake]] = []

    @property
    def pairs(self) -> int:
        """Rows with a label and a score."""
        return self.rows - self.bad

    def worst(self) -> list[Mistake]:
        """The mistakes whose true label had the lowest probability, worst first."""
        return sorted(mistake for _, _, mistake in self._worst)

    def add(
        self,
        truth: Sequence[Label | None],
        results: Sequence[Result],
        addresses: Sequence[tuple[object, object]],
    ) -> None:
        """Count a chunk.

        Args:
            truth: The true label of each row; None if the file has no known label.
            results: The model's result for each row.
            addresses: The pair of each row.
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
        table = np.array(probabilities, np.float64)
        self.confusion += confusion(indices, np.array(guesses, np.int64), len(LABELS))
        self.reliability.add(table, indices)
        matches = indices <= _PARTIAL
        by_rule = (
            (similarity, indices == _EXACT),
            (similarity, matches),
            (table[:, : _PARTIAL + 1].sum(1), matches),
        )
        for counted, (values, positive) in zip(self.thresholds, by_rule, strict=True):
            counted.add(values, positive)

    def _keep(self, mistake: Mistake) -> None:
        # A heap; its first item is the least bad of the mistakes that are kept.
        entry = (-mistake.probability, -mistake.row, mistake)
        if len(self._worst) < self._worst_limit:
            heapq.heappush(self._worst, entry)
        elif self._worst_limit:
            heapq.heappushpop(self._worst, entry)
