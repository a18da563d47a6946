"""Excel workbooks (.xlsx), by openpyxl, read and written as streams."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.reader.excel import ExcelReader
from openpyxl.writer.excel import ExcelWriter

from service.bulk import columns, kinds
from service.bulk.sheets import Findings, SheetError
from service.bulk.tables import Chunk, Outcome, Reading, Rows, Source, TextStyle, Writing, text
from service.errors import BulkError

_MOST_ROWS = 1_048_576
_MOST_CHARACTERS = 32_767
_MOST_COLUMNS = 16_384
_MOST_EXACT = 2**53
"""Excel's numbers are doubles: larger whole ones would be changed."""

_EPOCH = datetime.datetime(1980, 1, 1)
"""The first date that a zip file can hold."""

_STRICT = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
"""The namespace of Strict Open XML, which openpyxl does not read."""

_MOST_SHEET_BYTES, _MOST_PART_BYTES = 16 << 30, 1 << 30
"""The largest sheet, which is read as a stream, and the largest other part, which is read into
memory."""

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_TO_ESCAPE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
"""What XML cannot hold or would change, and what would be read as an escape."""


class ExcelSource:
    """Rows of one sheet. The value of a formula is the one that Excel stored with it.

    Raises:
        BulkError: It is no workbook, has no such sheet, or the sheet is empty.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.style = TextStyle(reading.encoding)
        self.has_header = reading.has_header
        self._asked: dict[int, str] = {}
        self._findings: Findings | None = None
        assert reading.path  # noqa: S101 - never of a stream
        self._file = reading.path.open("rb")
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        reading = self._reading
        self._reader = self._opened()
        self._sheet, self.notice = _chosen(self._reader.wb, reading)
        rows = self._rows()
        with self._telling_damage():
            first = next(itertools.islice(rows, reading.header_row - 1, None), None)
        if first is None:
            raise BulkError(
                f"{reading.name}: the sheet {self._sheet.title} "
                + (f"has no row {reading.header_row}" if reading.header_row > 1 else "is empty")
            )
        self._pending = rows if self.has_header else itertools.chain([first], rows)
        self._first_row = reading.header_row + self.has_header
        names = first if self.has_header else range(1, len(first) + 1)
        self.columns = [text(_unescaped(name)) for name in names]

    def column(self, name: str, flag: str, *, must_be_text: bool = True) -> int:
        """The place of a column."""
        place = columns.find(self, name, flag, self._reading, self._hint)
        self._asked[place] = flag.removeprefix("--")
        return place

    def count(self) -> int | None:
        """Rows up to the last that is not blank; reads all of the sheet."""
        return max(0, self._found().last_row - self._first_row + 1)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows up to the last that is not blank."""
        width, begin = len(self.columns), self._first_row
        for batch in self._batches(self._pending, rows):
            faults = {}
            for place, row in enumerate(batch):
                if len(row) > width and any(cell is not None for cell in row[width:]):
                    faults[place] = f"the row has {len(row)} cells, not {width}"
                elif self.has_header and [text(_unescaped(c)) for c in row] == self.columns:
                    faults[place] = columns.HEADER_AGAIN
                elif fault := self._fault(begin + place, row):
                    faults[place] = fault
            yield Rows(
                [[*map(_unescaped, row), *[None] * (width - len(row))][:width] for row in batch],
                faults,
            )
            begin += len(batch)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _opened(self) -> ExcelReader:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of parts that are not read, such as validations
                reader = ExcelReader(self._file, read_only=True, data_only=True, keep_links=False)
                _check_sizes(reader.archive)
                if _STRICT in reader.archive.read("xl/workbook.xml"):
                    raise BulkError(
                        f"{self._reading.name} is in the format Strict Open XML: "
                        "open it in Excel and save it as Excel Workbook (.xlsx)"
                    )
                reader.read()
        except BulkError:
            raise
        except Exception:  # of a damaged file openpyxl raises many
            raise kinds.not_one(self._reading, "an Excel workbook (.xlsx)") from None
        return reader

    def _rows(self) -> Iterator[tuple[object, ...]]:
        # Some programs write wrong dimensions, and rows would be missing.
        self._sheet.reset_dimensions()
        return _without_blank_end(self._sheet.iter_rows(values_only=True))

    def _batches(
        self, rows: Iterator[tuple[object, ...]], size: int
    ) -> Iterator[list[tuple[object, ...]]]:
        self._found()
        while True:
            with self._telling_damage(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of dates that are none, which become errors
                batch = list(itertools.islice(rows, size))
            if not batch:
                return
            yield batch

    def _found(self) -> Findings:
        if self._findings is None:
            parts = {sheet.name: rel.target for sheet, rel in self._reader.parser.find_sheets()}
            with (
                self._telling_damage(),
                self._reader.archive.open(parts[self._sheet.title]) as part,
            ):
                self._findings = Findings(part, [place + 1 for place in self._asked])
        return self._findings

    def _fault(self, number: int, row: tuple[object, ...]) -> str | None:
        for place, field in self._asked.items():
            if place >= len(row) or row[place] is None:
                why = self._found().fault(number, place + 1)
                if why:
                    return f"{field} {why}"
        return None

    def _hint(self, wanted: str) -> str | None:
        with self._telling_damage():
            head = list(itertools.islice(self._rows(), columns.HEAD))
        for number, row in enumerate(head, 1):
            if columns.place([text(cell) for cell in row], wanted) is not None:
                return f"its row {number} has it: give --header-row {number}"
        return None

    @contextlib.contextmanager
    def _telling_damage(self) -> Iterator[None]:
        try:
            yield
        except SheetError as error:
            raise BulkError(f"{self._reading.name}, sheet {self._sheet.title}: {error}") from None
        except Exception as error:  # of a damaged file openpyxl raises many
            raise BulkError(
                f"{self._reading.name}: the sheet {self._sheet.title} is damaged "
                f"({type(error).__name__}): open it in Excel and save it once more"
            ) from None


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse what openpyxl would hold in memory and cannot."""
    for part in archive.infolist():
        is_sheet = "worksheets/" in part.filename
        if part.file_size > (_MOST_SHEET_BYTES if is_sheet else _MOST_PART_BYTES):
            raise BulkError(
                f"{archive.filename or 'the workbook'}: its part {part.filename} would be "
                f"{part.file_size:,} bytes; save the table as .csv"
            )


def _chosen(book: openpyxl.Workbook, reading: Reading) -> tuple[Any, str]:
    """The sheet that is read, and what to say of the others."""
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    names = list(sheets)
    if not names:
        raise BulkError(f"{reading.name} has no sheet of cells")
    if reading.sheet is None:
        visible = [name for name in names if sheets[name].sheet_state == "visible"] or names
        others = ", ".join(name for name in names if name != visible[0])
        notice = f"{reading.name}: the sheet {visible[0]} is read"
        return sheets[visible[0]], others and f"{notice}; --sheet reads another: {others}"
    if reading.sheet in names:
        return sheets[reading.sheet], ""
    if reading.sheet.isdecimal() and 1 <= int(reading.sheet) <= len(names):
        return sheets[names[int(reading.sheet) - 1]], ""
    raise BulkError(f"{reading.name} has no sheet {reading.sheet!r}; it has {', '.join(names)}")


def _without_blank_end(rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Sheets often end in rows that were formatted and never filled."""
    blank = 0
    for row in rows:
        if all(cell is None for cell in row):
            blank += 1
            continue
        yield from itertools.repeat((), blank)
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
        if len(source.columns) + len(writing.result_columns) > _MOST_COLUMNS:
            raise BulkError(
                f"{writing.name}: an Excel sheet holds {_MOST_COLUMNS:,} columns at most; "
                "write .csv or .parquet"
            )
        if source.has_header:
            self._append([*source.columns, *writing.result_columns])

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
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
