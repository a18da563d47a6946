"""The functions that run in Spark's workers; see `spark`. Each worker process loads the model and
the register once."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
from pyspark import SparkContext, SparkFiles, TaskContext

from service.bulk import columns
from service.bulk.local import LocalScorer
from service.bulk.parquet import KINDS, ParquetBatch
from service.bulk.run import RowScorer
from service.bulk.tables import Outcome, Result, batched
from service.errors import BulkError
from service.http.schemas import Limits
from service.matching.choice import Choice
from service.matching.dedupe_job import Clustered, clustered
from service.matching.matcher import Matcher
from service.matching.pairs import ENTRIES, PAIR, pair_cells
from service.matching.reach import LeftOut, Reach
from service.matching.table import ADDRESS
from service.retrieval import files
from service.retrieval.files import StoredRegister
from service.settings import Settings

Batches = Iterable[pa.RecordBatch]

NEAR: Final = ("first", "second", "at", "rank", *LeftOut._fields)
"""Columns of `near`, whole numbers."""


@dataclass(frozen=True, slots=True)
class Work:
    """A task for the workers, as it is sent to them.

    Attributes:
        settings: Settings of the model.
        register: For `match`, the name of the register that `send` returned.
        choice: For `match`, which candidates are answers.
        identity: What all results must depend on, as JSON; empty until a worker has reported it.
    """

    settings: Settings
    register: str = ""
    choice: Choice | None = None
    identity: str = ""

    def scorer(self) -> RowScorer[Any]:
        """The scorer of this worker, with as many threads as the task has cores.

        Raises:
            BulkError: Its results would differ from those of the first worker.
        """
        context = TaskContext.get()
        threads = self.settings.cpu_threads or (context.cpus() if context else 0)
        scorer: RowScorer[Any] = model(replace(self.settings, cpu_threads=threads))
        if self.choice:
            most = self.settings.max_address_chars
            scorer = Matcher(scorer, stored(self.register), self.choice, most)
        identity = json.dumps(scorer.identity)
        if self.identity and self.identity != identity:
            raise BulkError(
                f"workers differ: one has {self.identity}, another {identity}; install the same "
                "everywhere, and name a backend that all of them can run"
            )
        return scorer


model = cache(LocalScorer)
"""Load the model of these settings, once in this process."""


@cache
def stored(name: str) -> StoredRegister:
    """The register that `send` has sent, on a worker or on the driver."""
    return files.read(Path(SparkFiles.get(name)))


def send(context: SparkContext, directory: Path) -> str:
    """Send a register to all workers, once; return its name there."""
    name = f"mgeo-register-{files.manifest(directory)['version']}"
    if not any(uri.endswith(f"#{name}") for uri in context.listArchives):
        folder = tempfile.mkdtemp(prefix="mgeo-register-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # later workers fetch it too
        archive = shutil.make_archive(str(Path(folder, name)), "zip", directory)
        context.addArchive(f"{archive}#{name}")
    return name


def describe(work: Work, batches: Batches) -> Iterator[pa.RecordBatch]:
    """For each row, the scorer's identity as JSON and its rows in a chunk."""
    for batch in batches:
        scorer = work.scorer()
        said = {"identity": json.dumps(scorer.identity), "rows": scorer.chunk_rows}
        yield pa.RecordBatch.from_pylist([said] * batch.num_rows)


def score(
    work: Work, places: tuple[int, int], names: Mapping[str, type], batches: Batches
) -> Iterator[pa.RecordBatch]:
    """The rows, chunk by chunk; the columns of results replace the last one, the row number."""
    scorer = work.scorer()
    parts = _chunks(batches, scorer.chunk_rows)
    for chunk, results in scorer.score(parts, places, lambda rows: None):
        yield _appended(cast(ParquetBatch, chunk).batch, results, names)


def near(register: str, reach: Reach, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Pairs of each entry with those that it is compared with.

    A row of the result is the two places, smaller first, the place of the entry that found the
    pair, and the candidate's rank. The last row of each search has none of these, but the counts of
    candidates that its entries are not compared with.
    """
    found = stored(register)
    for batch in batches:
        rows: list[tuple[int | None, ...]] = []
        for places in batched(batch.column(0).to_pylist(), ENTRIES):
            addresses = [found.entry(place).address for place in places]
            compared = [*reach.compared(found, places, addresses)]
            for at, one in zip(places, compared, strict=True):
                ranked = enumerate(one.places)
                rows += [(min(at, other), max(at, other), at, rank, 0, 0) for rank, other in ranked]
            rows.append((None, None, None, None, *LeftOut.of(compared)))
        yield pa.RecordBatch.from_arrays(_columns(rows, (int,) * len(NEAR)), NEAR)


def texts(register: str, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Replace each pair's places by the columns of `PAIR`: its row numbers and addresses."""
    entries = stored(register)
    for batch in batches:
        first, second, numbers = batch.columns
        pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
        found = _columns([pair_cells(entries, *pair) for pair in pairs], [*PAIR.values()])
        yield pa.RecordBatch.from_arrays([*found, numbers], [*PAIR, batch.schema.names[-1]])


def answers(choice: Choice, batches: Batches) -> Iterator[pa.RecordBatch]:
    """The scored pairs that match."""
    for batch in batches:
        scores = batch.select([*Result._fields]).to_pylist()
        yield batch.filter(
            pa.array([choice.is_answer(Result(**score)) for score in scores], "bool")
        )


def assign(
    found: Mapping[int, Clustered],
    column: int,
    most_chars: int,
    names: Mapping[str, type],
    batches: Batches,
) -> Iterator[pa.RecordBatch]:
    """The rows; the columns of clusters replace the last one, the row number."""
    for batch in batches:
        read = columns.addresses(ParquetBatch(batch), column, Limits(most_chars), ADDRESS)
        numbers = batch.column(batch.num_columns - 1).to_pylist()
        done = [clustered(found, *row) for row in zip(numbers, read, strict=True)]
        yield _appended(batch, done, names)


def _chunks(batches: Batches, rows: int) -> Iterator[ParquetBatch]:
    """A partition's rows in chunks. Only the last chunk of the whole table is smaller."""
    parts = list(batches)
    if parts:
        table = pa.Table.from_batches(parts).combine_chunks()
        for begin in range(0, table.num_rows, rows):
            yield ParquetBatch(table.slice(begin, rows).to_batches()[0])


def _appended(
    batch: pa.RecordBatch, results: Sequence[Outcome], names: Mapping[str, type]
) -> pa.RecordBatch:
    added = _columns(results, [*names.values()])
    kept = batch.schema.names[:-1]
    return pa.RecordBatch.from_arrays([*batch.columns[:-1], *added], [*kept, *names])


def _columns(rows: Sequence[Iterable[object]], kinds: Sequence[type]) -> list[pa.Array]:
    cells = zip(*rows, strict=True) if rows else [()] * len(kinds)
    return [pa.array(column, KINDS[kind]) for column, kind in zip(cells, kinds, strict=True)]
