"""Rows with the same text: the first one stands for all of them, and no model compares them.

Texts count as the same if they differ only in forms of characters (`readable.plain`), in case, or
in the length of blanks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b

from service.retrieval.register import Entry
from service.scoring.readable import plain

SameTexts = Mapping[int, Sequence[int]]
"""Later rows of the same text, by the first one that has it; rows from 0."""

_DIGEST_BYTES = 16
"""128 bits: among ten million texts the chance that two are taken for one is below 1e-24."""


def firsts(entries: Iterable[Entry], same: dict[int, list[int]]) -> Iterator[Entry]:
    """The entries whose text no earlier one has, in order.

    Args:
        entries: Of a table; the id of each is its row's number from 1.
        same: Is filled with the others; see `SameTexts`.
    """
    seen: dict[bytes, int] = {}
    for entry in entries:
        row = int(entry.id) - 1
        first = seen.setdefault(_key(entry.address), row)
        if first == row:
            yield entry
        else:
            same.setdefault(first, []).append(row)


def count(same: SameTexts) -> int:
    """How many rows have the text of an earlier one."""
    return sum(map(len, same.values()))


def _key(address: str) -> bytes:
    text = " ".join(plain(address).casefold().split())
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
