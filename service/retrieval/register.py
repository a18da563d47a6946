"""A register: entries with an address each, and which of them may be the same place as another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CANDIDATES: Final = 20
"""Entries that a model looks at for each address, where nothing else is said: docs/matching.md."""


class Entry(NamedTuple):
    """An entry of a register.

    Attributes:
        id: What its table calls it, or its row's number from 1.
        address: As it stands there.
    """

    id: str
    address: str


class Retriever(Protocol):
    """Finds candidates: few entries among many, for a model to choose from."""

    @property
    def version(self) -> str:
        """Of its content: another register has another one."""
        ...

    def __len__(self) -> int:
        """How many entries it has."""
        ...

    def entry(self, place: int) -> Entry:
        """The entry at a place from 0."""
        ...

    def candidates(self, addresses: Sequence[str], most: int) -> list[NDArray[np.int32]]:
        """For each address the places of at most `most` entries, the likeliest first.

        None for an address that shares nothing with any entry, such as an empty one.
        """
        ...
