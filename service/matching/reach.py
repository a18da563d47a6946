"""Which other entries of its own table's register each entry is compared with.

An entry's candidates are cut off where they share too little with it: two writings of a place
have most of what is rare in common, and chance neighbours little. Candidates that contradict it,
as `comparison.compare` says, are another place without asking the model. docs/matching.md has
figures.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from service.comparison.compare import RULES, compare_parsed, parse
from service.matching.choice import LEAST_SHARE
from service.retrieval.files import StoredRegister

COMPARES: Final = ("none that contradict each other", RULES)
"""What decides which candidates are compared, beside a `Reach`. A run that was begun with one rule
is not resumed with another."""

_FEW: Final = 1000
"""A register of up to so many entries is compared without a least share. It says little there how
rare a term is, and there is little to save."""


_parsed = functools.lru_cache(maxsize=10_000)(parse)
"""Rows that are one place often stand near each other, and are candidates of one another."""


class LeftOut(NamedTuple):
    """How many times an entry and one of its candidates are not compared.

    Attributes:
        sharing_little: They share too little.
        contradicting: They contradict each other.
    """

    sharing_little: int = 0
    contradicting: int = 0

    @classmethod
    def of(cls, found: Iterable[Neighbours | LeftOut]) -> LeftOut:
        """The sum of several."""
        counts = [(one.sharing_little, one.contradicting) for one in found]
        return cls(*map(sum, zip(*counts, strict=True)))


class Neighbours(NamedTuple):
    """What one entry is compared with. A `Journal` takes it for a result.

    Attributes:
        places: Of other entries, best match first.
        sharing_little: Number of candidates that share too little.
        contradicting: Number of candidates that contradict it.
        error: Never.
    """

    places: list[int]
    sharing_little: int
    contradicting: int
    error: None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """How many others each entry is compared with.

    Attributes:
        candidates: At most so many.
        least_share: Score of a candidate, as a share of the score of the entry itself; from 0 to 1.
    """

    candidates: int = 10
    least_share: float = LEAST_SHARE

    def compared(
        self, register: StoredRegister, places: Sequence[int], addresses: Sequence[str]
    ) -> Iterator[Neighbours]:
        """For each entry, the others that it is compared with.

        Args:
            register: Of the whole table.
            places: The entries' places, from 0.
            addresses: The entries' addresses.
        """
        least = self.least_share if len(register) > _FEW else 0.0
        found = register.candidates_with_shares(addresses, self.candidates + 1)
        for place, address, (near, shares) in zip(places, addresses, found, strict=True):
            is_other = near != place
            near, shares = (part[is_other][: self.candidates] for part in (near, shares))
            sharing, own = near[shares >= least].tolist(), _parsed(address)
            others = ((other, _parsed(register.entry(other).address)) for other in sharing)
            kept = [other for other, its in others if not compare_parsed(own, its).conflicts]
            yield Neighbours(kept, len(near) - len(sharing), len(sharing) - len(kept))
