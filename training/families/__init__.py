"""Families of minimal pairs: what the bundled model must answer on fully written addresses.

A family is a depth (road and number; compound; building; room; ...), what is changed in it or how
it is written again, and the label that docs/labels.md gives that. Training draws none of the names
and uses none of the pairs; the operating point is not chosen on them either.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.scoring.tokens import PairTokenizer
from training.evaluation import score
from training.families.changes import AGREED, EXACT, Maker, changed
from training.families.twins import SAME_TEXT, twins
from training.network import Network

PAIRS = 40


@dataclass(frozen=True)
class Family:
    """Pairs of one kind; at least the share `floor` of them must be called `label`."""

    label: int
    floor: float
    pairs: tuple[tuple[str, str], ...]


def _makers() -> Iterator[tuple[str, Maker, int, float]]:
    yield from changed()
    for name, make in twins():
        yield name, make, EXACT, AGREED


def families() -> dict[str, Family]:
    """Every family by its name; each call gives the same pairs."""
    found: dict[str, Family] = {}
    for name, make, label, floor in _makers():
        # By the name alone: a new family leaves the others' pairs as they are.
        rng = random.Random(zlib.crc32(name.encode()))
        same = name.endswith(SAME_TEXT)
        pairs: dict[tuple[str, str], None] = {}
        while len(pairs) < PAIRS:
            pair = make(rng)
            if (pair[0] == pair[1]) == same:
                pairs[pair] = None
        found[name] = Family(label, floor, tuple(pairs))
    return found


def rates(network: Network, tokenizer: PairTokenizer) -> dict[str, float]:
    """Share of each family's pairs that get its label."""
    every = families()
    pairs = [pair for family in every.values() for pair in family.pairs]
    guess = score(network, tokenizer, [a for a, _ in pairs], [b for _, b in pairs]).argmax(1)
    rows = guess.reshape(len(every), PAIRS)
    return {
        name: float(np.mean(row == family.label))
        for (name, family), row in zip(every.items(), rows, strict=True)
    }
