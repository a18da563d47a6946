"""CSV and TSV."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.bulk import columns, encodings, streams
from service.bulk.records import Record, RecordError, Records, content, line_end
from service.bulk.tables import (
    DIGITS,
    Chunk,
    Outcome,
    Reading,
    Rows,
    Source,
    TextStyle,
    Writing,
    batched,
    text,
)
from service.errors import BulkError

_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
"""A first line that names the delimiter, for Excel."""

_DELIMITERS = {",": ",", "\t": "tab", ";": ";", "|": "|", "，": "，", "、": "、", "^": "^"}
"""Common delimiters, and how `--delimiter` names them."""


@dataclass(frozen=True, slots=True)
class Lines(Rows):
    """A chunk of rows. It has the line of a row if every reader would read that line the same
    way."""

    lines: Sequence[str | None]
    delimiter: str


class _Opened(NamedTuple):
    """A file, open at the first row that is read."""

    stream: io.TextIOWrapper
    style: TextStyle
    delimiter: str
    preface: str  # the line that names the delimiter, or nothing
    reader: Records
    records: Iterator[Record]


class DelimitedSource:
    """Rows of a file or of a stream, all cells text.

    Attributes:
        format: `csv` or `tsv`.
        delimiter: Between cells.
        preface: The line before the header that names the delimiter, or nothing.
        header: The header as it stands, where another reader agrees.

    Raises:
        BulkError: It is empty, or cannot be read.
    """

    def __init__(self, reading: Reading, name: str, delimiter: str) -> None:
        self.format = name
        self._reading = reading
        self._default = reading.delimiter or delimiter
        opened = _open(reading, self._default)
        self._stream, self._records = opened.stream, opened.records
        self.notice = ""
        self.style, self.delimiter, self.preface = opened.style, opened.delimiter, opened.preface
        try:
            first = _first(opened, reading)
        except BaseException:
            self.close()
            raise
        self.has_header = reading.has_header
        self.header: str | None = None
        if self.has_header:
            self.columns, self.header = first
        else:
            self.columns = [str(number) for number in range(1, len(first.cells) + 1)]
            self._records = itertools.chain([first], self._records)

    def column(self, name: str, flag: str, *, must_be_text: bool = True) -> int:
        """The place of a column."""
        return columns.find(self, name, flag, self._reading, self._hint)

    def count(self) -> int | None:
        """Rows in all, the header left out; reads the whole file."""
        if self._reading.path is None:
            return None
        opened = _open(self._reading, self._default)
        with opened.stream:
            _first(opened, self._reading)
            return sum(1 for _ in opened.records) + (not self.has_header)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows. One that has not as many cells as there are columns is at fault."""
        width = len(self.columns)
        for batch in batched(self._records, rows):
            faults = {}
            for place, record in enumerate(batch):
                if len(record.cells) != width:
                    faults[place] = f"the row has {len(record.cells)} cells, not {width}"
                elif self.has_header and record.cells == self.columns:
                    faults[place] = columns.HEADER_AGAIN
            yield Lines(
                [self._fitted(record.cells, width) for record in batch],
                faults,
                [record.line if len(record.cells) == width else None for record in batch],
                self.delimiter,
            )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _fitted(self, cells: list[str], width: int) -> list[object]:
        """As many cells as there are columns; the last holds those that are too many."""
        if len(cells) > width:
            return [*cells[: width - 1], self.delimiter.join(cells[width - 1 :])]
        return [*cells, *[""] * (width - len(cells))]

    def _hint(self, wanted: str) -> str | None:
        """Why a column is not found, if that can be seen."""
        if self._reading.path is None:
            return None
        for delimiter, name in _DELIMITERS.items():
            for number, cells in enumerate(_head(self._reading, delimiter), 1):
                if columns.place(cells, wanted) is None:
                    continue
                if delimiter != self.delimiter:
                    return f"its columns are separated by {name}: give --delimiter '{name}'"
                return f"its row {number} has it: give --header-row {number}"
        return None


def _open(reading: Reading, delimiter: str) -> _Opened:
    stream, style = opened = streams.open_input(reading)
    lines = opened.lines(reading.name)
    preface = ""
    try:
        with streams.telling_encoding(reading, style):
            first = next(lines, "")
        named = _SEPARATOR.fullmatch(content(first).strip('"'))
        if named:
            preface = first
            delimiter = reading.delimiter or named[1]
        elif first:
            lines = itertools.chain([first], lines)
        reader = Records(lines, delimiter, reading.quotes, 2 if preface else 1)
        records = _records(reader, reading, style)
        next(itertools.islice(records, reading.header_row - 1, reading.header_row - 1), None)
    except BaseException:
        stream.close()
        raise
    return _Opened(stream, style, delimiter, preface, reader, records)


def _records(reader: Records, reading: Reading, style: TextStyle) -> Iterator[Record]:
    try:
        with streams.telling_encoding(reading, style):
            yield from reader
    except RecordError as error:
        lines = f"line {error.first}"
        if error.last > error.first:
            lines = f"lines {error.first} to {error.last}"
        raise BulkError(f"{reading.name}, {lines}: {error}") from None


def _first(opened: _Opened, reading: Reading) -> Record:
    """The header, or the first pair, which says how many columns there are."""
    first = next(opened.records, None)
    if first is None:
        few = f"has no row {reading.header_row}" if reading.header_row > 1 else "is empty"
        raise BulkError(f"{reading.name} {few}")
    if not first.cells:
        raise BulkError(f"{reading.name} does not begin with a row")
    opened.reader.width = len(first.cells)
    return first


def _head(reading: Reading, delimiter: str) -> Iterator[list[str]]:
    """The first rows of a file, read with this delimiter and with quotes as text."""
    stream, style = opened = streams.open_input(reading)
    with stream, streams.telling_encoding(reading, style):
        for line in itertools.islice(opened.lines(reading.name), columns.HEAD):
            yield [cell.strip('"') for cell in content(line).split(delimiter)]


class DelimitedSink:
    """Rows to a file or to a stream, written as the input was: encoding, BOM and line ends.

    A row that stands in a file of the same kind is copied as it stands; others are written as
    standard CSV.
    """

    def __init__(self, writing: Writing, source: Source, delimiter: str) -> None:
        self._writing = writing
        self._style = source.style
        self._line_end = source.style.line_end or "\r\n"
        self._delimiter = delimiter
        writing.file.write(self._style.bom)
        header = None
        if isinstance(source, DelimitedSource) and source.delimiter == delimiter:
            self._put(source.preface)
            header = source.header
        if source.has_header:
            self._put(self._row(source.columns, header, writing.result_columns))

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
        """Append rows."""
        if not isinstance(chunk, Lines) or chunk.delimiter != self._delimiter:
            lines: Iterable[str | None] = itertools.repeat(None, len(chunk))
        else:
            lines = chunk.lines
        self._put(
            "".join(
                self._row(row, line, [*map(_result_text, result)])
                for row, line, result in zip(chunk.rows(), lines, results, strict=True)
            )
        )

    def close(self) -> None:
        """Do nothing: no row is buffered."""

    def discard(self) -> None:
        """Do nothing: no file is held."""

    def _row(self, row: Sequence[object], line: str | None, added: Sequence[str]) -> str:
        if line is None:
            return self._joined([*map(text, row), *added]) + self._line_end
        end = line_end(line) or self._line_end
        return f"{content(line)}{self._delimiter}{self._joined(added)}{end}"

    def _joined(self, cells: Iterable[str]) -> str:
        written = io.StringIO(newline="")
        # With another line end than its own, Python's writer leaves a lone \r unquoted.
        csv.writer(written, delimiter=self._delimiter).writerow(cells)
        return written.getvalue().removesuffix("\r\n")

    def _put(self, written: str) -> None:
        try:
            self._writing.file.write(written.encode(self._style.encoding))
        except UnicodeEncodeError:
            raise BulkError(
                f"{self._writing.name}: {encodings.shown(self._style.encoding).upper()} does not "
                "have all characters of these rows; write .jsonl, .xlsx or .parquet"
            ) from None


def _result_text(cell: object) -> str:
    return f"{cell:.{DIGITS}f}" if isinstance(cell, float) else text(cell)
