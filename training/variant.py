"""What can be left out of the recipe, to measure what it gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from training.generator import Pair
from training.relations import IDS

# Negatives that look like the query: the same name elsewhere, a similar name, the same number.
HARD_NEGATIVES = frozenset(
    IDS[name]
    for name in (
        "compound.elsewhere",
        "compound.lookalike",
        "compound.lookalike_same_road",
        "compound.unplaced_generic",
        "number.other_road",
        "number.road_elsewhere",
        "business.elsewhere",
        "business.lookalike",
        "business.other_branch",
        "business.same_trade_same_road",
        "village.elsewhere",
        "village.lookalike",
    )
)


@dataclass(frozen=True)
class Variant:
    """The recipe with its parts switched on; the defaults are the shipped recipe.

    labels: "soft" trains on a relation's label distribution, "drawn" on one label drawn from it,
    "hard" on its likeliest label.
    """

    difference_start: bool = True
    whole_numbers: bool = True
    labels: str = "soft"
    hard_negatives: bool = True

    def select(self, stream: Iterator[Pair]) -> Iterator[Pair]:
        """The pairs of the stream that this variant trains on."""
        if self.hard_negatives:
            return stream
        return (pair for pair in stream if pair.relation not in HARD_NEGATIVES)


VARIANTS: dict[str, Variant] = {
    "full": Variant(),
    "ordinary-start": Variant(difference_start=False),
    "digits-one-by-one": Variant(whole_numbers=False),
    "drawn-labels": Variant(labels="drawn"),
    "hard-labels": Variant(labels="hard"),
    "no-hard-negatives": Variant(hard_negatives=False),
}
