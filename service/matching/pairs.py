"""The pairs of a table's rows that `dedupe` has scored, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from service.bulk.journal import Journal
from service.errors import BulkError
from service.matching.reach import LeftOut, Neighbours, Reach
from service.retrieval.files import StoredRegister
from service.retrieval.register import Entry

PAIR: Final = {"row1": int, "row2": int, "address1": str, "address2": str}
"""Columns of the file of pairs, before those of the score. Rows are counted from 1."""

ENTRIES: Final = 256
"""Rows in one search for candidates."""


def pairs(
    register: StoredRegister,
    reach: Reach,
    looked_at: Callable[[Sequence[Entry], LeftOut], None],
    kept: Journal | None = None,
) -> Iterator[list[object]]:
    """Each pair in which one entry is compared with the other, once.

    Args:
        register: Of the table.
        reach: What each entry is compared with.
        looked_at: Told of entries, and how many candidates of theirs are left out.
        kept: Has the candidates that an earlier run found, and keeps new ones.

    Raises:
        BulkError: `kept` does not fit the register.
    """
    known = kept.replay(Neighbours) if kept else iter(())
    found = np.full((len(register), reach.candidates), -1, np.int32)
    for begin in range(0, len(register), ENTRIES):
        places = range(begin, min(begin + ENTRIES, len(register)))
        entries = [register.entry(place) for place in places]
        compared = next(known, None)
        if compared is None:
            addresses = [entry.address for entry in entries]
            compared = [*reach.compared(register, places, addresses)]
            if kept:
                kept.append(compared)
        if len(compared) != len(entries):
            raise BulkError("the journal of the candidates does not fit the input; give --restart")
        for place, one in zip(places, compared, strict=True):
            found[place, : len(one.places)] = one.places
            for other in one.places:
                # An earlier entry that has this one among its own candidates has had the pair.
                if other > place or place not in found[other]:
                    yield pair_cells(register, min(place, other), max(place, other))
        looked_at(entries, LeftOut.of(compared))


def pair_cells(register: StoredRegister, one: int, other: int) -> list[object]:
    """The cells of a pair, in the columns of `PAIR`; `one` and `other` are places from 0."""
    first, second = register.entry(one), register.entry(other)
    return [int(first.id), int(second.id), first.address, second.address]
