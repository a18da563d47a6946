"""JSONL: one JSON object a line."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.bulk import columns, streams
from service.bulk.tables import Chunk, Reading, Result, Source, Writing, batched, plain
from service.errors import BulkError

_FAULT = "the line is not a JSON object"
_MOST_COLUMNS = 10_000
"""Different keys in one file; with more, they are data and no names."""


@dataclass(frozen=True, slots=True)
class Objects:
    """A chunk of objects, each with the keys that it has."""

    objects: list[dict[str, Any]]
    columns: list[str]
    faults: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.objects)

    def values(self, column: int) -> Sequence[object]:
        """The values of one key; None where it is absent."""
        key = self.columns[column]
        return [value.get(key) for value in self.objects]

    def rows(self) -> Iterable[Sequence[object]]:
        """The values row by row."""
        return ([value.get(key) for key in self.columns] for value in self.objects)


class JsonSource:
    """Objects of a file or of standard input. The columns are all keys that occur in the file.

    Raises:
        BulkError: The file cannot be read.
    """

    has_header = True
    has_bom = False  # JSON has none

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._count: int | None = None
        self._stream: io.TextIOWrapper | None = None
        keys: dict[str, None] = {}
        if reading.path:
            self._count = 0
            for value in self._objects():
                self._count += 1
                keys.update(dict.fromkeys(value or ()))
                if len(keys) > _MOST_COLUMNS:
                    raise BulkError(f"{reading.name} has more than {_MOST_COLUMNS} different keys")
        self.columns = list(keys)

    def column(self, name: str, flag: str) -> int:
        """The place of a key. On standard input any is taken: what follows is not known."""
        if self._reading.path is None and name not in self.columns:
            self.columns.append(name)
        return columns.find(self.columns, name, flag, self._reading.name)

    def count(self) -> int | None:
        """Lines in all."""
        return self._count

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All lines. One that is no object is at fault, and has no keys."""
        for batch in batched(self._objects(), rows):
            faults = {place: _FAULT for place, value in enumerate(batch) if value is None}
            yield Objects([value or {} for value in batch], self.columns, faults)

    def close(self) -> None:
        """Close the file."""
        if self._stream:
            self._stream.close()

    def _objects(self) -> Iterator[dict[str, Any] | None]:
        stream, _ = streams.open_input(self._reading)
        self._stream = stream
        stream.reconfigure(newline="\n")
        with stream, streams.telling_encoding(self._reading):
            for line in stream:
                try:
                    value = json.loads(line, parse_constant=_number, parse_float=_number)
                except (ValueError, RecursionError):
                    value = None
                yield value if isinstance(value, dict) else None


def _number(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):  # nor could it be written again
        raise ValueError
    return number


class JsonSink:
    """Objects to a file or to standard output; those of JSONL keep their own keys."""

    def __init__(self, writing: Writing, source: Source) -> None:
        self._writing = writing
        self._columns = source.columns
        self._taken = frozenset(writing.result_columns)

    def write(self, chunk: Chunk, results: Sequence[Result]) -> None:
        """Append objects."""
        objects: Iterable[dict[str, Any]] = (
            chunk.objects
            if isinstance(chunk, Objects)
            else (dict(zip(self._columns, row, strict=True)) for row in chunk.rows())
        )
        lines = []
        for value, result in zip(objects, results, strict=True):
            if not self._taken.isdisjoint(value):  # known before, but of standard input
                raise BulkError("a line has a key of the results already; give --prefix")
            result_of = dict(zip(self._writing.result_columns, result, strict=True))
            lines.append(_line(value | result_of))
        self._writing.file.write("".join(lines).encode(self._writing.encoding))

    def close(self) -> None:
        """Nothing is left."""

    def discard(self) -> None:
        """Nothing is held."""


def _line(value: dict[str, Any]) -> str:
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain)
    except ValueError:  # NaN and infinity, which Parquet holds and JSON has not
        finite = {k: None if _is_odd(v) else v for k, v in value.items()}
        line = json.dumps(finite, ensure_ascii=False, default=plain)
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which an escape can hold
        line = json.dumps(json.loads(line), ensure_ascii=True)
    return line + "\n"


def _is_odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
