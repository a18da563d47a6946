"""The entries of a register, as a table holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from service.bulk import columns
from service.bulk.columns import Fault
from service.bulk.tables import Source, text
from service.http.schemas import Limits
from service.retrieval.register import Entry
from service.scoring.refusal import is_placeholder

ADDRESS = "address"
"""Where an address is looked for in a table that has one of each row."""

PLACEHOLDER = "address is a placeholder such as N/A, or has no letter and no digit"

_ROWS = 1024
_FIRST = 10


class Table:
    """A table of addresses, to be read as entries.

    Args:
        source: What it is read from.
        address: The column of the addresses, by name or number.
        id: That of their ids; without one an entry's id is its row's number.
        flags: What the command line calls these two, for messages.
        most_chars: Longest address, in characters.

    Attributes:
        rows: Rows read so far.
        left_out: Those that have no address.
        first_left_out: The first of those, with the reason.

    Raises:
        BulkError: There is no such column.
    """

    def __init__(
        self,
        source: Source,
        address: str | None,
        id: str | None,
        flags: tuple[str, str],
        most_chars: int,
    ) -> None:
        self._source = source
        self._address = address_column(source, address, flags[0])
        self._id = None if id is None else source.column(id, flags[1])
        self._limits = Limits(most_chars)
        self.rows = self.left_out = 0
        self.first_left_out: list[str] = []

    def entries(self, report: Callable[[int], None]) -> Iterator[Entry]:
        """Each row that has an address, in order. Once only.

        Args:
            report: Told of rows that are read.
        """
        for chunk in self._source.chunks(_ROWS):
            read = columns.addresses(chunk, self._address, self._limits, ADDRESS)
            ids = None if self._id is None else chunk.values(self._id)
            for at, address in enumerate(read):
                row = self.rows + at + 1
                reason = fault_of(address)
                if reason:
                    self.left_out += 1
                    if self.left_out <= _FIRST:
                        self.first_left_out.append(f"row {row}: {reason}")
                    continue
                yield Entry(str(row) if ids is None else text(ids[at]), address)
            self.rows += len(chunk)
            report(len(chunk))

    def notice(self, name: str) -> str:
        """What to tell of rows that are no entries; nothing if there are none."""
        if not self.left_out:
            return ""
        listed = "; ".join(self.first_left_out)
        more = "; ..." if self.left_out > len(self.first_left_out) else ""
        return f"{name}: {self.left_out:,} rows have no address and are left out: {listed}{more}"


def address_column(source: Source, given: str | None, flag: str) -> int:
    """The column of a table's addresses: `given`, by name or number, or else the usual one.

    Args:
        source: The table.
        given: What the command line says; None for nothing.
        flag: Where it says so, for messages.

    Raises:
        BulkError: There is no such column.
    """
    return source.column(given or (ADDRESS if source.has_header else "1"), flag)


def fault_of(address: str | Fault) -> str | None:
    """Why a row's address cannot be looked up; None if it can."""
    if isinstance(address, Fault):
        return str(address)
    return PLACEHOLDER if is_placeholder(address) else None
