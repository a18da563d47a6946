"""Sort candidates by similarity, for the command `match` and for `POST /match`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from service.scoring.checkpoint import Label

MATCHING: Final[tuple[Label, ...]] = ("exact_match", "partial_match")
"""Without a threshold, a candidate with one of these labels is an answer."""


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
        margin: Its similarity less that of the next candidate, 0 or more; None for the last.
    """

    candidate: C
    score: S
    margin: float | None


def ranked(candidates: Iterable[tuple[C, S]]) -> list[Ranked[C, S]]:
    """The candidates that have a score, most similar first. Ties keep their order."""
    scored = [
        (score.similarity, candidate, score)
        for candidate, score in candidates
        if score.similarity is not None
    ]
    scored.sort(key=lambda one: -one[0])
    nexts = [similarity for similarity, _, _ in scored[1:]]
    return [
        Ranked(candidate, score, None if following is None else similarity - following)
        for (similarity, candidate, score), following in zip(scored, [*nexts, None], strict=False)
    ]
