"""What a user of `match` and `dedupe` chooses. The command line reads its defaults from here before
it needs the extra `match`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from service.bulk.tables import DIGITS, Result
from service.errors import BulkError
from service.retrieval.ranking import MATCHING
from service.retrieval.register import CANDIDATES

LEAST_SHARE: Final = 0.2
"""Hardly a pair that is one place has less, and most candidates do. `python -m
benchmarks.duplicates --least-share 0` measures what it loses and saves on generated rows."""

SIMILARITY, PROBABILITY = BY = ("similarity", "probability")
"""What a threshold is compared with: the similarity, or P(exact) + P(partial)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidates are answers.

    Attributes:
        top: Most answers for a row, 1 or more.
        threshold: Lowest value of an answer, from 0 to 1; None to decide by label.
        candidates: Entries that the model compares with each row.
        labels: Labels of an answer; used without a threshold.
        by: What the threshold is compared with, one of `BY`.

    Raises:
        BulkError: `by` is none of them, or needs a threshold.
    """

    top: int = 1
    threshold: float | None = None
    candidates: int = CANDIDATES
    labels: Collection[str] = MATCHING
    by: str = SIMILARITY

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise BulkError(f"by is {self.by!r}: give one of {', '.join(BY)}")
        if self.threshold is None and self.by != SIMILARITY:
            raise BulkError(f"by {self.by} needs a threshold: without one, the label decides")

    @property
    def rule(self) -> object:
        """What decides, as JSON."""
        return self.threshold if self.by == SIMILARITY else [self.by, self.threshold]

    def is_answer(self, result: Result) -> bool:
        """Whether a candidate with this score is an answer; one without a score is none."""
        value = result.similarity
        if value is None or self.threshold is None:
            return result.label in self.labels
        if self.by == PROBABILITY:
            value = round((result.exact_match or 0.0) + (result.partial_match or 0.0), DIGITS)
        return value >= self.threshold
