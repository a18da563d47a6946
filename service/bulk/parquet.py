"""Parquet, by pyarrow. Columns of the input keep their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from service.bulk import columns, kinds
from service.bulk.tables import Chunk, Outcome, Reading, Source, TextStyle, Writing, text
from service.errors import BulkError

_ROW_GROUP = 65_536
"""Rows gathered before they are written: smaller groups cost size and the reader's time."""

KINDS = {float: pa.float64(), str: pa.string(), bool: pa.bool_(), int: pa.int64()}
"""Arrow's types of the results' cells."""


@dataclass(frozen=True, slots=True)
class ParquetBatch:
    """A chunk as Arrow holds it."""

    batch: pa.RecordBatch
    faults: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def values(self, column: int) -> Sequence[object]:
        """The values of one column."""
        cells = self.batch.column(column)
        try:
            values: list[object] = cells.to_pylist()
        except UnicodeDecodeError:
            values = cells.cast(pa.large_binary()).to_pylist()
        except (ValueError, OverflowError):  # nanoseconds and years that Python's types have not
            values = _as_text(cells, self.batch.schema.names[column]).to_pylist()
        return values

    def rows(self) -> Iterable[Sequence[object]]:
        """The values row by row."""
        return zip(*(self.values(i) for i in range(self.batch.num_columns)), strict=True)


def _as_text(cells: pa.Array, name: str) -> pa.Array:
    try:
        return cells.cast(pa.string())
    except pa.ArrowException:
        raise BulkError(
            f"column {name} holds {cells.type}, which only Parquet can; write .parquet"
        ) from None


class ParquetSource:
    """Rows of a file.

    Raises:
        BulkError: It is no Parquet file.
    """

    has_header = True

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.notice = ""
        self.style = TextStyle(reading.encoding)
        try:
            self._file = pq.ParquetFile(reading.path)
            self.schema = self._file.schema_arrow
        except Exception:  # of a damaged file pyarrow raises many
            raise kinds.not_one(reading, "a Parquet file") from None
        self.columns: list[str] = self.schema.names

    def column(self, name: str, flag: str, *, must_be_text: bool = True) -> int:
        """The place of a column."""
        place = columns.find(self, name, flag, self._reading)
        kind = self.schema.field(place).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if must_be_text and not any(
            is_text(kind)
            for is_text in (
                pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
                pa.types.is_null, pa.types.is_binary, pa.types.is_large_binary,
                pa.types.is_binary_view,
            )
        ):  # fmt: skip
            raise BulkError(
                f"{self._reading.name}: column {name} holds {kind}, not text; write it as text, or "
                f"give {flag} another"
            )
        return place

    def count(self) -> int | None:
        """Rows in all."""
        return int(self._file.metadata.num_rows)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows."""
        try:
            for batch in self._file.iter_batches(batch_size=rows):
                if batch.num_rows:
                    yield ParquetBatch(batch)
        except Exception as error:  # of a damaged file pyarrow raises many
            raise BulkError(
                f"{self._reading.name} is damaged ({type(error).__name__}): "
                "write or copy it once more"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetSink:
    """Rows to a file; columns of other formats than Parquet become text."""

    def __init__(self, writing: Writing, source: Source) -> None:
        self._kinds = [KINDS[kind] for kind in writing.result_types]
        own = zip(writing.result_columns, self._kinds, strict=True)
        if isinstance(source, ParquetSource):
            schema = source.schema
        else:
            schema = pa.schema([(text(name), pa.string()) for name in source.columns])
        self._width = len(schema)
        for name, kind in own:
            schema = schema.append(pa.field(name, kind))
        self._schema = schema
        self._writer = pq.ParquetWriter(writing.file, schema)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
        """Append rows."""
        if isinstance(chunk, ParquetBatch):
            kept = chunk.batch.columns
        else:
            kept = [
                pa.array([None if c is None else text(c) for c in chunk.values(i)], pa.string())
                for i in range(self._width)
            ]
        added = [
            pa.array(column, kind)
            for column, kind in zip(zip(*results, strict=True), self._kinds, strict=True)
        ]
        self._waiting.append(pa.RecordBatch.from_arrays([*kept, *added], schema=self._schema))
        self._rows += len(results)
        if self._rows >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the file's end."""
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        """Release the file."""
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, schema=self._schema)
            self._writer.write_table(table, row_group_size=len(table))
        self._waiting, self._rows = [], 0
