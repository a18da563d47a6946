"""JSONL: one JSON object a line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.bulk import columns, streams
from service.bulk.records import line_end
from service.bulk.tables import Chunk, Outcome, Reading, Source, Writing, batched, plain
from service.errors import BulkError

_FAULT = "the line is not a JSON object"
_MOST_COLUMNS = 10_000
"""Most different keys in one file. If there are more, the keys are data and not names."""


@dataclass(frozen=True, slots=True)
class Objects:
    """A chunk of objects, each with the keys that it has, and their lines as they stand."""

    objects: list[dict[str, Any]]
    columns: list[str]
    faults: Mapping[int, str]
    lines: list[str]

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
    """Objects of a file or of a stream. The columns are all keys that occur in the file.

    Raises:
        BulkError: The file cannot be read, or is JSON and not JSONL.
    """

    has_header = True

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._count: int | None = None
        self._opened = streams.open_input(reading)
        self.notice = ""
        self.style = self._opened.style
        self.columns: list[str] = []
        if reading.path:
            with self._opened.stream:
                self._read_ahead()
            self._opened = streams.open_input(reading)

    def column(self, name: str, flag: str, *, must_be_text: bool = True) -> int:
        """The place of a key. In a stream any is taken: what follows is not known."""
        if self._reading.path is None and name not in self.columns:
            self.columns.append(name)
        return columns.find(self, name, flag, self._reading)

    def count(self) -> int | None:
        """Lines in all."""
        return self._count

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All lines. One that is no object is at fault, and has no keys."""
        for batch in batched(self._objects(), rows):
            faults = {place: _FAULT for place, (value, _) in enumerate(batch) if value is None}
            objects = [value or {} for value, _ in batch]
            lines = ["" if value is None else line for value, line in batch]
            yield Objects(objects, self.columns, faults, lines)

    def close(self) -> None:
        """Close the file."""
        self._opened.stream.close()

    def _read_ahead(self) -> None:
        keys: dict[str, None] = {}
        self._count = objects = 0
        for value, _ in self._objects():
            self._count += 1
            objects += value is not None
            keys.update(dict.fromkeys(value or ()))
            if len(keys) > _MOST_COLUMNS:
                raise BulkError(f"{self._reading.name} has more than {_MOST_COLUMNS} keys")
        if not objects:
            raise BulkError(
                f"{self._reading.name}: none of its {self._count:,} lines is a JSON object; "
                'JSONL has one on each line, such as {"address1": "...", "address2": "..."}'
            )
        self.columns = list(keys)

    def _objects(self) -> Iterator[tuple[dict[str, Any] | None, str]]:
        """Each line's object, or None, and the line."""
        is_first = True
        with streams.telling_encoding(self._reading, self.style):
            for line in self._opened.lines(self._reading.name):
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                if is_first and line.strip():
                    is_first = False
                    self._refuse_json(line.strip())
                yield (value if isinstance(value, dict) else None), line

    def _refuse_json(self, first: str) -> None:
        """Refuse one JSON value over several lines."""
        if first.startswith("["):
            what, expression = "an array, and not one object a line", ".[]"
        elif re.fullmatch(r'\{|\{\s*"[^"]*"\s*:.*[^}],|\{\s*"[^"]*"\s*:\s*[{\[]', first):
            what, expression = "an object that goes on over lines, and not one a line", "."
        else:
            return
        name = self._reading.name
        raise BulkError(
            f"{name} holds {what}: write JSONL, such as by jq -c '{expression}' {name} > new.jsonl"
        )


class JsonSink:
    """Objects to a file or to a stream; those of JSONL as they stand there, and the results."""

    def __init__(self, writing: Writing, source: Source) -> None:
        self._writing = writing
        self._columns = source.columns
        self._style = source.style
        is_same = isinstance(source, JsonSource)
        end = source.style.line_end or "\n"
        self._line_end = end if is_same or "\n" in end else "\n"
        self._taken = frozenset(writing.result_columns)
        if is_same or source.style.encoding != "utf-8":  # JSON in UTF-8 has none
            writing.file.write(source.style.bom)

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
        """Append objects."""
        lines = []
        for (value, line), result in zip(self._values(chunk), results, strict=True):
            if not self._taken.isdisjoint(value):  # known before, but of a stream
                raise BulkError("a line already has a key of the results; give --prefix")
            added = dict(zip(self._writing.result_columns, result, strict=True))
            lines.append(self._joined(line, added) if line else self._line(value | added))
        self._writing.file.write(b"".join(lines))

    def close(self) -> None:
        """Do nothing: no row is buffered."""

    def discard(self) -> None:
        """Do nothing: no file is held."""

    def _values(self, chunk: Chunk) -> Iterable[tuple[dict[str, Any], str]]:
        """Each row's object, and the line that it stands on, if it does."""
        if isinstance(chunk, Objects):
            return zip(chunk.objects, chunk.lines, strict=True)
        return ((dict(zip(self._columns, row, strict=True)), "") for row in chunk.rows())

    def _joined(self, line: str, added: dict[str, Any]) -> bytes:
        """The line with more keys at its end, and all else as it was."""
        kept = line.strip().removesuffix("}").rstrip()
        between = "" if kept == "{" else ", "
        end = line_end(line) or self._line_end
        return f"{kept}{between}{json.dumps(added)[1:]}{end}".encode(self._style.encoding)

    def _line(self, value: dict[str, Any]) -> bytes:
        try:
            line = json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain)
        except ValueError:  # NaN and infinity, which Parquet holds and JSON has not
            value = {k: None if _is_odd(v) else v for k, v in value.items()}
            line = json.dumps(value, ensure_ascii=False, default=plain)
        try:
            return (line + self._line_end).encode(self._style.encoding)
        except UnicodeEncodeError:  # such as half of a surrogate pair, which an escape can hold
            line = json.dumps(json.loads(line), ensure_ascii=True)
        return (line + self._line_end).encode(self._style.encoding)


def _is_odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
