"""What openpyxl does not say of a sheet, read from its XML before any row is scored."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection
from typing import IO
from xml.parsers import expat

from openpyxl.utils import column_index_from_string, range_boundaries

MOST_BLANK = 10_000
"""Most blank rows between others. If there are more, somebody filled a cell by mistake."""

_LETTERS = re.compile("[A-Z]+", re.IGNORECASE)


class SheetError(Exception):
    """Rows of a sheet that cannot be taken as a table's."""


class Findings:
    """What there is to know of some columns of a sheet.

    Args:
        part: The sheet's XML.
        columns: Those of interest, from 1.

    Attributes:
        last_row: The last that holds anything, from 1; 0 if none does.

    Raises:
        SheetError: Rows are out of order, or one lies far below the others.
        Exception: The XML is damaged.
    """

    def __init__(self, part: IO[bytes], columns: Collection[int]) -> None:
        self.last_row = 0
        self._columns = frozenset(columns)
        self._unstored: set[tuple[int, int]] = set()
        self._merged: dict[int, list[tuple[int, int]]] = {column: [] for column in columns}
        self._row = self._column = 0
        self._is_formula = self._is_filled = self._is_value = False
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.ParseFile(part)
        for ranges in self._merged.values():
            ranges.sort()

    def fault(self, row: int, column: int) -> str | None:
        """Why an empty cell is empty, if that is not plain to see; row and column from 1."""
        if (row, column) in self._unstored:
            return "is a formula whose value is not stored: open the workbook in Excel and save it"
        ranges = self._merged.get(column, [])
        at = bisect_right(ranges, (row, 1 << 30)) - 1
        if at >= 0 and row <= ranges[at][1]:
            return "is in merged cells, of which only the first holds text: unmerge and fill them"
        return None

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(" ")[2]
        if name == "c":
            found = _LETTERS.match(attributes.get("r", ""))
            self._column = column_index_from_string(found[0]) if found else self._column + 1
            self._is_formula, self._is_filled = False, attributes.get("t") == "str"
        elif name == "row":
            row = int(attributes.get("r", self._row + 1))
            if row <= self._row:
                raise SheetError(f"row {row} comes after row {self._row}")
            self._row, self._column = row, 0
        elif name == "f":
            self._is_formula = True
        elif name in ("v", "t"):
            self._is_value = True
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))

    def _end(self, qualified: str) -> None:
        name = qualified.rpartition(" ")[2]
        if name in ("v", "t"):
            self._is_value = False
        elif name == "c":
            if self._is_filled:
                self._fill()
            elif self._is_formula and self._column in self._columns:
                self._unstored.add((self._row, self._column))

    def _text(self, text: str) -> None:
        self._is_filled |= self._is_value

    def _fill(self) -> None:
        blank = self._row - self.last_row - 1
        if self.last_row and blank > MOST_BLANK:
            raise SheetError(
                f"rows {self.last_row + 1:,} to {self._row - 1:,} are blank and row "
                f"{self._row:,} is not: delete that row if it was filled by mistake"
            )
        self.last_row = self._row

    def _merge(self, reference: str) -> None:
        left, top, right, bottom = range_boundaries(reference)
        if left is None or right is None or top is None or bottom is None:
            return  # whole columns or rows
        for column in self._columns:
            if left <= column <= right:
                # Of the first column the first cell holds the text.
                self._merged[column].append((top + (column == left), bottom))

    def _refuse(self, *_: object) -> None:
        raise SheetError("the sheet declares a document type, which no workbook does")
