"""Read the entries of a register from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from service.bulk import columns
from service.bulk.columns import Fault
from service.bulk.tables import Source, decoded, text
from service.http.schemas import Limits
from service.retrieval.register import Entry
from service.scoring.refusal import placeholder_error

ADDRESS = "address"
"""Default name of the column of addresses."""

_ROWS = 1024
_FIRST = 10


class Table:
    """A table of addresses, read as entries of a register.

    Args:
        source: The open table.
        address: The column of addresses, by name or number; None for the default.
        id: The column of ids; None to use row numbers, from 1.
        flags: The flags that name these two columns, for error messages.
        most_chars: Longest address, in characters.

    Attributes:
        rows: Rows read so far.
        left_out: Rows without a usable address.
        first_left_out: The first 10 of those, each with the reason.

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
        self._id = None if id is None else source.column(id, flags[1], must_be_text=False)
        self._limits = Limits(most_chars)
        self.rows = self.left_out = 0
        self.first_left_out: list[str] = []

    def entries(self, report: Callable[[int], None]) -> Iterator[Entry]:
        """Yield each row that has an address, in order. Can be called once.

        Args:
            report: Called with the number of rows that were read.
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
                yield Entry(str(row) if ids is None else text(decoded(ids[at])), address)
            self.rows += len(chunk)
            report(len(chunk))

    def notice(self, name: str) -> str:
        """A line about the rows that were left out; empty if there are none."""
        if not self.left_out:
            return ""
        listed = "; ".join(self.first_left_out)
        more = "; ..." if self.left_out > len(self.first_left_out) else ""
        return f"{name}: {self.left_out:,} rows have no address and are left out: {listed}{more}"


def address_column(source: Source, given: str | None, flag: str) -> int:
    """Index of the column of addresses, from 0.

    Args:
        source: The open table.
        given: The column's name or number; None for `address`, or the first without a header.
        flag: The flag that names the column, for error messages.

    Raises:
        BulkError: There is no such column.
    """
    return source.column(given or (ADDRESS if source.has_header else "1"), flag)


def fault_of(address: str | Fault) -> str | None:
    """Why a row's address cannot be looked up; None if it can."""
    if isinstance(address, Fault):
        return str(address)
    error = placeholder_error(ADDRESS, address)
    return None if error is None else str(error)
