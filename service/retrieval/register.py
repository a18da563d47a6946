"""What a register is: entries with an id and an address, and a search for candidates among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CANDIDATES: Final = 20
"""Default number of entries that the model compares with each address; see docs/matching.md."""


class Entry(NamedTuple):
    """An entry of a register.

    Attributes:
        id: Its id in the table; without an id column, its row number from 1.
        address: Its address, unchanged.
    """

    id: str
    address: str


class Retriever(Protocol):
    """Finds candidates: the few entries of many that the model then compares."""

    @property
    def version(self) -> str:
        """Hash of its content: 12 hex digits."""
        ...

    def __len__(self) -> int:
        """How many entries it has."""
        ...

    def entry(self, place: int) -> Entry:
        """The entry at a place; places are counted from 0."""
        ...

    def candidates(self, addresses: Sequence[str], most: int) -> list[NDArray[np.int32]]:
        """For each address, the places of at most `most` entries, best match first.

        An address that shares no term with any entry, such as an empty one, gets an empty array.
        """
        ...
