"""What is said of one pair: the model's probabilities, and the one number made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.scoring.cache import PairResult
from service.scoring.checkpoint import LABELS, Label

TENTHS = tuple(f"{number / 10:.1f}" for number in range(1, 11))
"""Upper ends of the ranges in which similarities are counted."""


def tenth(share: float) -> str:
    """The range of `TENTHS` that a number from 0 to 1 is in; each ends below its upper end."""
    return TENTHS[min(int(share * 10), 9)]


@dataclass(frozen=True, slots=True)
class Score:
    """The answer for one pair.

    Attributes:
        similarity: P(exact) + 0.5 P(partial), from 0 to 1: the expected grade where exact is 1,
            partial one half and not 0. MGeo itself defines no single number.
        label: The most probable label.
        probabilities: Of all three labels; they sum to 1.
        truncated: Whether the pair was longer than the model reads.
        unread: Share of the characters of an address that the model cannot read, the larger one of
            both addresses, from 0 to 1.
    """

    similarity: float
    label: Label
    probabilities: dict[Label, float]
    truncated: bool
    unread: float = 0.0


def of(result: PairResult, order: Sequence[Label]) -> Score:
    """The score that a result means, whose probabilities are of the labels in `order`.

    To the model all characters that it cannot read are one. Where the addresses differ in them
    exact_match may be ruled out: its probability goes to partial_match then.
    """
    by_label = dict(zip(order, result.probabilities, strict=True))
    if result.never_exact:
        by_label["partial_match"] += by_label["exact_match"]
        by_label["exact_match"] = 0.0
    probabilities = {label: by_label[label] for label in LABELS}
    return Score(
        # At most 1: the probabilities, in 32 bits, may add up to a little more.
        similarity=min(1.0, by_label["exact_match"] + 0.5 * by_label["partial_match"]),
        label=max(probabilities, key=probabilities.__getitem__),
        probabilities=probabilities,
        truncated=result.truncated,
        unread=round(result.unread, 4),
    )
