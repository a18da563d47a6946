"""Excel workbooks (.xlsx), by openpyxl, read and written as streams."""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.writer.excel import ExcelWriter

from service.bulk import columns
from service.bulk.tables import Chunk, Reading, Result, Rows, Source, Writing, batched, text
from service.errors import BulkError

_MOST_ROWS = 1_048_576
_MOST_CHARACTERS = 32_767
_MOST_EXACT = 2**53
"""Excel's numbers are doubles: larger whole ones would be changed."""

_EPOCH = datetime.datetime(1980, 1, 1)
"""The first date that a zip file can hold."""

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_TO_ESCAPE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
"""What XML cannot hold or would change, and what would be read as an escape."""


class ExcelSource:
    """Rows of one sheet. Of a formula the value is read that Excel stored with it.

    Raises:
        BulkError: It is no workbook, has no such sheet, or the sheet is empty.
    """

    has_bom = False

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        assert reading.path  # noqa: S101 - never of a stream
        self._file = reading.path.open("rb")
        try:
            self._begin(reading)
        except BaseException:
            self.close()
            raise

    def _begin(self, reading: Reading) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of parts that are not read, such as validations
                book = openpyxl.load_workbook(self._file, read_only=True, data_only=True)
        except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError):
            raise BulkError(
                f"{reading.name} is not an Excel workbook (.xlsx), or has a password"
            ) from None
        self._sheet: Any = book[_sheet_name(book.sheetnames, reading)]
        self._rows_claimed: int | None = self._sheet.max_row
        self._sheet.reset_dimensions()  # some programs write wrong ones, and rows would be missing
        self._rows = _without_blank_end(self._sheet.iter_rows(values_only=True))
        first = next(self._rows, None)
        if first is None:
            raise BulkError(f"{reading.name}: the sheet {self._sheet.title} is empty")
        self.has_header = reading.has_header
        self._pending = [] if self.has_header else [first]
        names = first if self.has_header else range(1, len(first) + 1)
        self.columns = [text(_unescaped(name)) for name in names]

    def column(self, name: str, flag: str) -> int:
        """The place of a column."""
        return columns.find(self.columns, name, flag, self._reading.name)

    def count(self) -> int | None:
        """Rows as the sheet claims, which may be more than there are."""
        return self._rows_claimed and max(0, self._rows_claimed - self.has_header)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows up to the last that is not blank."""
        width = len(self.columns)

        def cells() -> Iterator[tuple[object, ...]]:
            yield from self._pending
            yield from self._rows

        for batch in batched(cells(), rows):
            faults = {
                place: f"the row has {len(row)} cells, not {width}"
                for place, row in enumerate(batch)
                if len(row) > width and any(cell is not None for cell in row[width:])
            }
            yield Rows(
                [[*map(_unescaped, row), *[None] * (width - len(row))][:width] for row in batch],
                faults,
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _sheet_name(names: list[str], reading: Reading) -> str:
    if reading.sheet is None:
        return names[0]
    if reading.sheet in names:
        return reading.sheet
    if reading.sheet.isdecimal() and 1 <= int(reading.sheet) <= len(names):
        return names[int(reading.sheet) - 1]
    raise BulkError(f"{reading.name} has no sheet {reading.sheet!r}; it has {', '.join(names)}")


def _without_blank_end(rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Sheets often end in rows that were formatted and never filled."""
    blank = 0
    for row in rows:
        if all(cell is None for cell in row):
            blank += 1
            continue
        yield from [()] * blank
        blank = 0
        yield row


def _unescaped(cell: object) -> object:
    if isinstance(cell, str) and "_x" in cell:
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell)
    return cell


def _escaped(value: str) -> str:
    return _TO_ESCAPE.sub(lambda found: f"_x{ord(found[0]):04X}_", value)


class ExcelSink:
    """Rows to the only sheet of a new workbook."""

    def __init__(self, writing: Writing, source: Source) -> None:
        self._writing = writing
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet: Any = self._book.create_sheet("scores")
        self._written = 0
        if source.has_header:
            self._append([*source.columns, *writing.result_columns])

    def write(self, chunk: Chunk, results: Sequence[Result]) -> None:
        """Append rows."""
        for row, result in zip(chunk.rows(), results, strict=True):
            self._append([*row, *result])

    def close(self) -> None:
        """Write the workbook."""
        # The same rows make the same bytes: no time of writing anywhere.
        self._book.properties.created = self._book.properties.modified = _EPOCH
        with _TimelessZip(self._writing.file, "w", zipfile.ZIP_DEFLATED) as archive:
            ExcelWriter(self._book, archive).save()

    def discard(self) -> None:
        """Release the sheet's temporary file."""
        self._sheet.close()

    def _append(self, row: list[object]) -> None:
        self._written += 1
        if self._written > _MOST_ROWS:
            raise BulkError(
                f"{self._writing.name}: an Excel sheet holds {_MOST_ROWS} rows at most; "
                "write .csv or .parquet"
            )
        self._sheet.append([self._cell(value) for value in row])

    def _cell(self, value: object) -> object:
        if value is None or isinstance(value, bool | float | datetime.date | datetime.time):
            if not isinstance(value, datetime.datetime | datetime.time) or value.tzinfo is None:
                return value
        elif isinstance(value, int) and abs(value) <= _MOST_EXACT:
            return value
        string = _escaped(text(value))
        if len(string) > _MOST_CHARACTERS:
            raise BulkError(
                f"{self._writing.name}, row {self._written}: an Excel cell holds "
                f"{_MOST_CHARACTERS} characters at most; write .csv or .parquet"
            )
        cell = WriteOnlyCell(self._sheet, string)
        cell.data_type = "s"  # text that begins with = is text, and no formula
        return cell


class _TimelessZip(zipfile.ZipFile):
    """A zip file whose members have no date."""

    def writestr(self, zinfo_or_arcname: Any, data: Any, *_: Any, **__: Any) -> None:
        super().writestr(self._member(zinfo_or_arcname), data)

    def write(self, filename: Any, arcname: Any = None, *_: Any, **__: Any) -> None:
        info = self._member(arcname)
        with open(filename, "rb") as source, self.open(info, "w", force_zip64=True) as target:
            while block := source.read(1 << 20):
                target.write(block)

    def _member(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name)
        info.compress_type = self.compression
        return info
