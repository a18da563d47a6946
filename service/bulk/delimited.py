"""CSV and TSV."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence

from service.bulk import columns, streams
from service.bulk.tables import DIGITS, Chunk, Reading, Result, Rows, Source, Writing, batched, text
from service.errors import BulkError


class DelimitedSource:
    """Rows of a file or of standard input, all cells text.

    Raises:
        BulkError: It is empty, or cannot be read.
    """

    def __init__(self, reading: Reading, delimiter: str) -> None:
        self._reading = reading
        self._delimiter = delimiter
        self._stream, self.has_bom = streams.open_input(reading)
        self._records = _records(self._stream, reading, delimiter)
        first = next(self._records, None)
        if not first:
            self.close()
            fault = "is empty" if first is None else "does not begin with a row"
            raise BulkError(f"{reading.name} {fault}")
        self.has_header = reading.has_header
        if self.has_header:
            self.columns = first
        else:
            self.columns = [str(number) for number in range(1, len(first) + 1)]
            self._records = itertools.chain([first], self._records)

    def column(self, name: str, flag: str) -> int:
        """The place of a column."""
        return columns.find(self.columns, name, flag, self._reading.name)

    def count(self) -> int | None:
        """Rows in all, the header left out; reads the whole file."""
        if self._reading.path is None:
            return None
        stream, _ = streams.open_input(self._reading)
        records = sum(1 for _ in _records(stream, self._reading, self._delimiter))
        return records - self.has_header

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows. One that has not as many cells as there are columns is at fault."""
        width = len(self.columns)
        for batch in batched(self._records, rows):
            faults = {}
            cells: list[list[object]] = []
            for place, record in enumerate(batch):
                if len(record) != width:
                    faults[place] = f"the row has {len(record)} cells, not {width}"
                row: list[object] = [*record, *[""] * (width - len(record))]
                cells.append(row[:width])
            yield Rows(cells, faults)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class _Lines:
    """Lines of a stream; knows whether they ended."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        yield from self._stream
        self.ended = True


def _records(stream: io.TextIOWrapper, reading: Reading, delimiter: str) -> Iterator[list[str]]:
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=delimiter)
    begin = 1
    try:
        with stream, streams.telling_encoding(reading):
            for record in reader:
                if lines.ended:  # in the middle of this record
                    raise csv.Error("the file ends within quotes")
                yield record
                begin = reader.line_num + 1
    except csv.Error as error:
        raise BulkError(
            f"{reading.name}, line {begin}: not CSV ({error}); look for a quote that is not closed"
        ) from None


class DelimitedSink:
    """Rows to a file or to standard output; with a BOM if the input had one."""

    def __init__(self, writing: Writing, source: Source, delimiter: str) -> None:
        self._writing = writing
        self._delimiter = delimiter
        if source.has_bom and writing.encoding == "utf-8":
            writing.file.write(codecs.BOM_UTF8)
        if source.has_header:
            self._write([[*map(text, source.columns), *writing.result_columns]])

    def write(self, chunk: Chunk, results: Sequence[Result]) -> None:
        """Append rows."""
        self._write(
            [*map(text, row), *map(_result_text, result)]
            for row, result in zip(chunk.rows(), results, strict=True)
        )

    def close(self) -> None:
        """Nothing is left."""

    def discard(self) -> None:
        """Nothing is held."""

    def _write(self, rows: Iterable[list[str]]) -> None:
        written = io.StringIO(newline="")
        # With another line end than its own, Python's writer leaves a lone \r unquoted.
        csv.writer(written, delimiter=self._delimiter).writerows(rows)
        self._writing.file.write(written.getvalue().encode(self._writing.encoding))


def _result_text(cell: object) -> str:
    return f"{cell:.{DIGITS}f}" if isinstance(cell, float) else text(cell)
