"""What the formats have in common: rows in chunks, and results appended to them.

A cell is what the format holds: text in CSV, any JSON value in JSONL, an Arrow or Excel value.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from service.bulk.records import Quotes
from service.scoring.checkpoint import LABELS, Label

T = TypeVar("T")

DIGITS = 6
"""Decimals of each number: what fp32 probabilities hold. The rest differs between machines."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Result(NamedTuple):
    """What is appended to a row: a score, or why there is none.

    Attributes:
        similarity: From 0 to 1; None in a bad row, as all others but `error`.
        label: The most probable label.
        exact_match: Its probability, as those of the other two.
        partial_match: Likewise.
        not_match: Likewise.
        truncated: Whether the pair was longer than the model reads.
        unread: Share of an address that the model cannot read, from 0 to 1; None from a service
            that does not say.
        error: Why the row has no score; never the row's content.
    """

    similarity: float | None = None
    label: str | None = None
    exact_match: float | None = None
    partial_match: float | None = None
    not_match: float | None = None
    truncated: bool | None = None
    unread: float | None = None
    error: str | None = None


class Outcome(Protocol):
    """What is appended to a row: `Result`, or another named tuple whose last cell is `error`."""

    @property
    def error(self) -> str | None:
        """Why the row has nothing else; never the row's content."""
        ...

    def __iter__(self) -> Iterator[object]: ...


RESULT_TYPES: Sequence[type] = (float, str, float, float, float, bool, float, str)
"""Of the cells of `Result`, but for None."""


def scored(
    similarity: float,
    label: str,
    probabilities: Mapping[Label, float],
    truncated: bool,
    unread: float | None,
) -> Result:
    """The result of a scored pair, its numbers rounded."""
    exact, partial, different = (round(probabilities[name], DIGITS) for name in LABELS)
    return Result(round(similarity, DIGITS), label, exact, partial, different, truncated, unread)


class Chunk(Protocol):
    """Some rows of the input, in order."""

    @property
    def faults(self) -> Mapping[int, str]:
        """What is wrong with a row as a row, by its place in the chunk."""
        ...

    def __len__(self) -> int: ...

    def values(self, column: int) -> Sequence[object]:
        """The cells of one column."""
        ...

    def rows(self) -> Iterable[Sequence[object]]:
        """The cells row by row, as many in each as there are columns."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk of a format that is read row by row."""

    cells: list[list[object]]
    faults: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.cells)

    def values(self, column: int) -> Sequence[object]:
        """The cells of one column."""
        return [row[column] for row in self.cells]

    def rows(self) -> Iterable[Sequence[object]]:
        """The cells row by row."""
        return self.cells


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a text file is written; the output is written likewise.

    Attributes:
        encoding: Python's name of it.
        bom: What it begins with, by which some programs know its encoding; or nothing.
        line_end: Of its first line; None if it is no text.
    """

    encoding: str = "utf-8"
    bom: bytes = b""
    line_end: str | None = None


class Source(Protocol):
    """An input.

    Attributes:
        columns: Names of its columns; their numbers, where it has no header.
        has_header: Whether these names stand in the input.
        style: How it is written as text, where it is text.
        notice: What to know of how it is read, or nothing.
    """

    columns: list[str]
    has_header: bool
    style: TextStyle
    notice: str

    def column(self, name: str, flag: str, *, must_be_text: bool = True) -> int:
        """The place of a column by its name or its number.

        Args:
            name: The name or the number.
            flag: Of the command line, that gave it.
            must_be_text: Whether it must hold text, where the format has types.

        Raises:
            BulkError: There is none, or more than one, or it must hold text and does not.
        """
        ...

    def count(self) -> int | None:
        """Rows in all, or None where that is not known before they are read.

        Raises:
            BulkError: The input cannot be read to its end.
        """
        ...

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield all rows, at most `rows` at a time. Can be called once.

        Raises:
            BulkError: The rest of the input cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Sink(Protocol):
    """An output."""

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
        """Append the rows of a chunk, each with its result.

        Raises:
            BulkError: The format cannot hold a row.
            OSError: The file cannot be written.
        """
        ...

    def close(self) -> None:
        """Write what is still to be written. Without it the output is incomplete."""
        ...

    def discard(self) -> None:
        """Let go of an output that will not be complete."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read an input.

    Attributes:
        path: The file; None for a stream, which is read once.
        name: Of the file, for messages.
        encoding: Of text formats, by a name of `encodings`. A BOM goes before `utf-8`.
        has_header: Whether a row names the columns.
        sheet: Name or number of an Excel sheet; None for the first that can be seen.
        header_row: The first row that is read, from 1: the header, or else the first pair.
        delimiter: Between cells; None for the format's own.
        quotes: What a quote in CSV and TSV means.
        pipe: The stream, such as a named pipe; None for standard input.
    """

    path: Path | None
    name: str
    encoding: str = "utf-8"
    has_header: bool = True
    sheet: str | None = None
    header_row: int = 1
    delimiter: str | None = None
    quotes: Quotes = "auto"
    pipe: Path | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """How to write an output.

    Attributes:
        file: Where to; whoever opened it closes it.
        name: Of the output, for messages.
        result_columns: Names of the results' columns, in the order of their cells.
        result_types: Of these cells, but for None.
    """

    file: BinaryIO
    name: str
    result_columns: Sequence[str]
    result_types: Sequence[type]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def text(cell: object) -> str:
    """A cell as CSV and string columns hold it; nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        # Half of a surrogate pair, which JSON can hold, is no character in any encoding.
        return _SURROGATE.sub("\ufffd", cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, list | dict):
        return json.dumps(cell, ensure_ascii=False, default=plain)
    return str(plain(cell))


def decoded(cell: object) -> object:
    """The text of UTF-8 bytes: some writers, such as Hive, do not mark text as text. Else the
    cell."""
    if not isinstance(cell, bytes):
        return cell
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell


def plain(cell: object) -> object:
    """A cell that JSON has no type for, as one that it has."""
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    if isinstance(cell, decimal.Decimal | datetime.timedelta):
        return str(cell)
    return cell if isinstance(cell, int | float) else str(cell)
