"""Sort candidates by what model and index say, for the command `match` and for `POST /match`.

The model alone puts the right entry first less often than with the index: among a million entries
there are always some that it takes for the address by mistake (docs/matching.md has the figures).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from service.scoring.checkpoint import Label

MATCHING: Final[tuple[Label, ...]] = ("exact_match", "partial_match")
"""Without a threshold, a candidate with one of these labels is an answer."""

ORDER: Final = "odds of the similarity, divided by the place in the index's order"
"""Names the rule in `ranked`, so that a run of one rule is not resumed with another. By `python -m
benchmarks.order`, no other weight of the place puts more of the real queries' entries first, both
halves together (docs/matching.md)."""

_CERTAIN: Final = 1e-6
"""Similarities are compared up to this distance from 0 and 1, where log-odds are infinite."""


class Scored(Protocol):
    """The model's score of a candidate."""

    @property
    def similarity(self) -> float | None:
        """From 0 to 1; None if the candidate could not be scored."""
        ...


C = TypeVar("C")
S = TypeVar("S", bound=Scored)


class Ranked(NamedTuple, Generic[C, S]):
    """A candidate with a score.

    Attributes:
        candidate: The entry, or its place in the register.
        score: The model's score of it.
        margin: Its similarity less that of the next candidate; None for the last. It is below 0
            where the next one is more similar, but further down in the index's order.
    """

    candidate: C
    score: S
    margin: float | None


def ranked(candidates: Iterable[tuple[C, S]], is_answer: Callable[[S], bool]) -> list[Ranked[C, S]]:
    """The candidates that have a score, best first. Ties keep their order.

    The answers come before the others. Among both, the odds of the similarity decide, divided by
    the place in the index's order: the tenth needs ten times the odds of the first.

    Args:
        candidates: In the order of the index.
        is_answer: Whether a candidate with such a score is an answer.
    """
    scored = [
        (
            not is_answer(score),
            math.log(place) - log_odds(similarity),
            similarity,
            Ranked(candidate, score, None),
        )
        for place, (candidate, score) in enumerate(candidates, 1)
        if (similarity := score.similarity) is not None
    ]
    scored.sort(key=lambda one: one[:2])
    nexts = [similarity for _, _, similarity, _ in scored[1:]]
    return [
        one if following is None else one._replace(margin=similarity - following)
        for (_, _, similarity, one), following in zip(scored, [*nexts, None], strict=False)
    ]


def log_odds(similarity: float) -> float:
    """Log-odds of a similarity from 0 to 1, finite also at both ends."""
    share = min(max(similarity, _CERTAIN), 1 - _CERTAIN)
    return math.log(share / (1 - share))
