"""Records of delimited text, and what a quote means in them.

The csv module reads each record, strictly. What it refuses, or reads over several lines, is
checked here: a quote that somebody typed must not take in the rows after it. The one law is that a
line with as many cells as the header has columns is a row.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

Quotes = Literal["auto", "csv", "text"]
"""What a quote at a cell's beginning is: decided for each record, or always the standard's (RFC
4180), or always a character like others."""

MOST_CHARACTERS = 1 << 24
"""In a cell over several lines. A quote that is never closed must not read a whole file into
memory."""

# Cells have no limit of their own: a shape of 120 kB beside the addresses is no fault.
csv.field_size_limit(sys.maxsize)


class RecordError(Exception):
    """A record that cannot be told from its neighbours.

    Attributes:
        first: The line that it begins on, from 1.
        last: The line that it ends on.
    """

    def __init__(self, first: int, last: int, why: str) -> None:
        super().__init__(why)
        self.first, self.last = first, last


class Record(NamedTuple):
    """A row.

    Attributes:
        cells: Its cells' text.
        line: The row as it stands in the file, with its line end; None if another reader could
            read its quotes otherwise.
    """

    cells: list[str]
    line: str | None


class Records:
    """The records of some lines, once.

    Args:
        lines: Lines with their ends.
        delimiter: Between cells: one character.
        quotes: What a quote means.
        number: Of the first line, from 1.

    Attributes:
        width: Cells of a row; None as long as it is not known. The first record needs none.
    """

    def __init__(
        self, lines: Iterable[str], delimiter: str, quotes: Quotes, number: int = 1
    ) -> None:
        self.width: int | None = None
        self._lines = iter(lines)
        self._delimiter = delimiter
        self._quotes = quotes
        sign = re.escape(delimiter)
        self._cell = re.compile(rf'"((?:[^"]|"")*)"(?={sign}|\Z)|([^{sign}]*)')
        self._read: list[str] = []  # the lines of the present record
        self._number = number - 1

    def __iter__(self) -> Iterator[Record]:
        """Read on.

        Raises:
            RecordError: It is not certain where a record ends.
        """
        if self._quotes == "text":
            for line in self._feed():
                yield from self._literal(line)
                self._read.clear()
            return
        reader = csv.reader(self._feed(), delimiter=self._delimiter, strict=True)
        while True:
            self._read.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield from self._refused(error)
                continue
            if self._quotes == "auto":
                self._check(cells)
            yield Record(cells, "".join(self._read))

    def _feed(self) -> Iterator[str]:
        length = 0
        for line in self._lines:
            length = length + len(line) if self._read else 0
            self._read.append(line)
            self._number += 1
            if length > MOST_CHARACTERS:
                raise self._unclosed(f" within {MOST_CHARACTERS:,} characters")
            yield line

    def _refused(self, error: csv.Error) -> Iterator[Record]:
        """The rows in what is not standard CSV."""
        if self._quotes == "csv":
            raise self._error(f"not standard CSV ({error})")
        if str(error) == "unexpected end of data":
            raise self._unclosed("")
        if len(self._read) > 1:
            raise self._error(
                "a quote opens a cell that goes on over line ends, and text follows the closing "
                "quote; mend these lines, or if quotes are text in this file give --quotes text"
            )
        rows = self._rows(self._read[0], self._split)
        if rows is None or any(map(self._has_open_quote, content(self._read[0]).split("\r"))):
            raise self._error(
                "with the quotes and carriage returns within its cells it may not be one row; "
                "mend the line, or if quotes are text in this file give --quotes text"
            )
        yield from rows

    def _literal(self, line: str) -> Iterator[Record]:
        """The rows in a line whose quotes are text."""
        text = content(line)
        if "\r" in text:
            rows = self._rows(line, lambda row: row.split(self._delimiter))
            if rows is None or '"' in text:
                raise self._error(
                    "with the carriage returns within its cells it may not be one row; "
                    "mend the line"
                )
            yield from rows
        else:
            cells = text.split(self._delimiter) if text else []
            yield Record(cells, None if '"' in line else line)

    def _rows(self, line: str, split: Callable[[str], list[str]]) -> list[Record] | None:
        """A lone carriage return is text, or the end of a row: whichever makes whole rows."""
        text = content(line)
        for rows in ([text], text.split("\r")):
            cells = [split(row) for row in rows]
            if all(len(row) == (self.width or len(row)) for row in cells):
                return [Record(row, None) for row in cells]
        return None

    def _check(self, cells: list[str]) -> None:
        """Whether what was read is one row, and not several or a part of one."""
        width = self.width or len(cells)
        # A lone carriage return may end a row, too.
        lines = [row for line in self._read for row in content(line).split("\r")]
        if len(lines) == 1:
            if len(cells) != width and lines[0].count('"') % 2:
                raise self._error(
                    f"it has {len(cells)} cells, not {width}, and a quote that may be closed on "
                    "another line; mend it, or if quotes are text in this file give --quotes text"
                )
            return
        first, *between, last = (len(self._split(line)) for line in lines)
        several = sum("\n" in cell or "\r" in cell for cell in cells) > 1
        ends = max(first, last) if several else min(first, last)
        if len(cells) != width or width in between or ends >= width:
            raise self._error(
                "a quote opens a cell that goes on over line ends, and it looks like rows of their "
                "own; if quotes are text in this file give --quotes text, if the cell does have "
                "line ends give --quotes csv"
            )

    def _split(self, line: str) -> list[str]:
        """Cells of one line; a quote that does not both open and close a cell is text."""
        return [
            plain if quoted is None else quoted.replace('""', '"')
            for quoted, plain in self._cells(line)
        ]

    def _has_open_quote(self, line: str) -> bool:
        """Whether a cell begins with a quote that may be closed on a later line."""
        return any(
            quoted is None
            and plain.startswith('"')
            and (plain.count('"') % 2 or (plain.startswith('""') and not plain.endswith('""')))
            for quoted, plain in self._cells(line)
        )

    def _cells(self, line: str) -> Iterator[tuple[str | None, str]]:
        """What is between the quotes of each cell, or else all of it."""
        at = 0
        while at <= len(line):
            found = self._cell.match(line, at)
            assert found  # noqa: S101 - the empty cell always matches
            yield found[1], found[2]
            at = found.end() + 1

    def _unclosed(self, where: str) -> RecordError:
        first = self._number - len(self._read) + 1
        return RecordError(
            first,
            first,
            f"a quote opens a cell and is not closed{where}; "
            "remove it, or if quotes are text in this file give --quotes text",
        )

    def _error(self, why: str) -> RecordError:
        return RecordError(self._number - len(self._read) + 1, self._number, why)


def line_end(line: str) -> str:
    """The end of a line; one that was written twice over, such as `\\r\\r\\n`, is `\\r\\n`."""
    end = line[len(content(line)) :]
    return re.sub("\r+", "\r", end)


def content(line: str) -> str:
    """A line without its end."""
    return line.rstrip("\r\n")
