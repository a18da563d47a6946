"""One call of `dedupe`: pairs of a table's rows, scored; then clusters of them."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import override

from service import settings
from service.bulk import columns, formats
from service.bulk.columns import Fault
from service.bulk.job import BulkJob
from service.bulk.journal import Journal
from service.bulk.output import Output
from service.bulk.progress import Progress
from service.bulk.run import Counts, RowScorer, run
from service.bulk.tables import (
    RESULT_TYPES,
    Chunk,
    Outcome,
    Result,
    Rows,
    Sink,
    Source,
    TextStyle,
    Writing,
    batched,
)
from service.errors import BulkError
from service.http.schemas import Limits
from service.matching.clusters import Cluster, clusters
from service.matching.matcher import Choice
from service.matching.table import ADDRESS, Table, address_column, fault_of
from service.retrieval import files
from service.retrieval.files import StoredRegister

SINGLE, REPRESENTATIVE, DUPLICATE = KINDS = ("single", "representative", "duplicate")

DUPLICATES = ("exact_match",)
"""Labels with which two rows are one place, where labels decide."""

PAIR = {"row1": int, "row2": int, "address1": str, "address2": str}
"""The columns of a pair, before those of its result. Rows are counted from 1."""

_ENTRIES = 256
"""Rows whose candidates are found at a time."""


class Clustered(NamedTuple):
    """What is appended to a row.

    Attributes:
        kind: `single`, `representative` or `duplicate`.
        cluster: The row of the representative, counted from 1 without a header: the same for all
            rows of a cluster.
        members: Rows of the cluster.
        similarity: To the representative.
        cut: Whether the cluster was part of a chain.
        error: Why the row was not looked at.
    """

    kind: str | None = None
    cluster: int | None = None
    members: int | None = None
    similarity: float | None = None
    cut: bool | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _PairsTable:
    """The columns of the second output, as a sink asks a source for them."""

    style: TextStyle
    columns: list[str] = field(default_factory=lambda: [*PAIR])
    has_header: bool = True
    notice: str = ""


class DedupeJob(BulkJob):
    """A table whose rows are compared with each other.

    Raises:
        BulkError: The flags contradict each other, or the files.
    """

    result = Clustered
    result_types = (str, int, int, float, bool, str)
    counted = "kind"
    values = KINDS

    def __init__(self, flags: argparse.Namespace) -> None:
        self._choice = Choice(
            threshold=flags.threshold, candidates=flags.candidates, labels=DUPLICATES
        )
        super().__init__(flags)
        if not self._reading.path or not isinstance(self._output, Output):
            raise BulkError("dedupe reads its input twice and writes two files: name files, not -")
        self._pairs_path = Path(flags.pairs) if flags.pairs else _beside(Path(flags.output))
        for name, is_there in (
            ("the input", self._pairs_path.resolve() == self._reading.path.resolve()),
            ("the output", self._output.is_at(self._pairs_path)),
        ):
            if is_there:
                raise BulkError(f"--pairs would overwrite {name}; name another file")
        self._pairs_format = formats.of(self._pairs_path, None, "--pairs with a suffix:")
        self._pairs = Output(
            self._pairs_path, is_replaced=flags.force or self._is_begun(), is_restarted=False
        )
        if self._pairs.is_at(self._reading.path):  # its working copy would
            raise BulkError("--pairs would overwrite the input; name another file")

    @override
    def _columns(self, source: Source) -> tuple[int, int]:
        column = address_column(source, self._flags.address, "--address")
        return column, column  # both addresses of a pair come from it

    @override
    def _scorer(self, note: Any, stack: contextlib.ExitStack) -> RowScorer[Any]:
        scorer = super()._scorer(note, stack)
        return _Chosen(scorer, self._choice)

    @override
    def _write(
        self,
        source: Source,
        pair: tuple[int, int],
        scorer: RowScorer[Any],
        writing: Writing,
        journal: Journal | None,
        progress: Progress,
        totals: Counts,
    ) -> None:
        most_chars = settings.load(self._flags).max_address_chars
        with tempfile.TemporaryDirectory(prefix="mgeo-register-") as folder:
            table = Table(source, self._flags.address, None, ("--address", ""), most_chars)
            files.write(Path(folder), table.entries(lambda rows: None))
            register = files.read(Path(folder))
            with self._pairs.open() as file:
                linked = self._linked(register, scorer, file, source.style, journal, progress)
                self._pairs.finish(file, None)
        found = clusters(table.rows, linked)
        known = of_row(found)
        limits, row = Limits(most_chars), 0
        with contextlib.closing(formats.open_source(self._source_format, self._reading)) as again:
            sink = formats.open_sink(self._sink_format, writing, again)
            for chunk in again.chunks(_ENTRIES):
                read = columns.addresses(chunk, pair[0], limits, ADDRESS)
                done = [clustered(known, *one) for one in enumerate(read, row)]
                sink.write(chunk, done)
                totals.add(done)
                row += len(chunk)
            sink.close()
        if cut := sum(cluster.is_cut for cluster in found):
            progress.note(
                f"{cut:,} clusters were parts of chains whose ends do not match: "
                "the column cut marks them"
            )

    def _linked(
        self,
        register: StoredRegister,
        scorer: RowScorer[Any],
        file: Any,
        style: TextStyle,
        journal: Journal | None,
        progress: Progress,
    ) -> list[tuple[int, int, float]]:
        """Pairs that match, by their rows from 0; written as they are found."""
        names = Result._fields
        writing = Writing(file, str(self._pairs_path), names, RESULT_TYPES)
        table: Any = _PairsTable(style)
        sink = _Matching(formats.open_sink(self._pairs_format, writing, table), self._choice)
        entries = _Entries(progress)
        pairs = _pairs(register, self._choice.candidates, entries.add)
        chunks: Iterator[Chunk] = (Rows(cells, {}) for cells in batched(pairs, scorer.chunk_rows))
        run(chunks, (2, 3), scorer, sink, journal, entries, Counts("label"), Result)
        return sink.linked

    def _is_begun(self) -> bool:
        """Whether a run that was cut off has its journal beside the output."""
        path = Path(self._flags.output).resolve()
        return path.with_name(path.name + ".journal").exists() and not self._flags.restart


class _Chosen:
    """A scorer whose results also depend on the choice of what matches."""

    def __init__(self, scorer: RowScorer[Result], choice: Choice) -> None:
        self.chunk_rows = scorer.chunk_rows
        self.identity: Mapping[str, object] = {
            **scorer.identity,
            "choice of duplicates": [choice.threshold, choice.candidates],
        }
        self.score = scorer.score


class _Entries:
    """Counts the rows that were looked at, while a run counts pairs, of which nobody knows how many
    there are."""

    def __init__(self, progress: Progress) -> None:
        self._add = progress.advance
        self._progress = progress

    def resume(self, rows: int) -> None:
        """What comes next an earlier run has done."""
        self._add = self._progress.resume

    def advance(self, rows: int) -> None:
        """What comes next this run does."""
        self._add = self._progress.advance

    def add(self, rows: int) -> None:
        """So many more rows were looked at."""
        self._add(rows)


class _Matching:
    """A sink that lets pairs through that match, and keeps which they are."""

    def __init__(self, sink: Sink, choice: Choice) -> None:
        self._sink, self._choice = sink, choice
        self.linked: list[tuple[int, int, float]] = []

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
        """Append the pairs that match."""
        cells, kept = [], []
        for row, result in zip(chunk.rows(), results, strict=True):
            if not isinstance(result, Result) or result.similarity is None:
                continue
            if self._choice.is_answer(result.similarity, result.label or ""):
                cells.append([*row])
                kept.append(result)
                first, second = (int(str(number)) - 1 for number in (row[0], row[1]))
                self.linked.append((first, second, result.similarity))
        if kept:
            self._sink.write(Rows(cells, {}), kept)

    def close(self) -> None:
        """Write what is left."""
        self._sink.close()

    def discard(self) -> None:
        """Let go of the output."""
        self._sink.discard()


def _pairs(
    register: StoredRegister, candidates: int, looked_at: Callable[[int], None]
) -> Iterator[list[object]]:
    """Every pair of entries of which one is among the other's candidates, once."""
    found = np.full((len(register), candidates), -1, np.int32)
    for begin in range(0, len(register), _ENTRIES):
        places = range(begin, min(begin + _ENTRIES, len(register)))
        addresses = [register.entry(place).address for place in places]
        for place, near in zip(places, register.candidates(addresses, candidates + 1), strict=True):
            others = near[near != place][:candidates]
            found[place, : len(others)] = others
            for other in map(int, others):
                # An earlier entry that has this one among its own candidates has had the pair.
                if other > place or place not in found[other]:
                    yield pair_cells(register, min(place, other), max(place, other))
        looked_at(len(places))


def pair_cells(register: StoredRegister, one: int, other: int) -> list[object]:
    """A pair as its table has it: see `PAIR`."""
    first, second = register.entry(one), register.entry(other)
    return [int(first.id), int(second.id), first.address, second.address]


def of_row(found: Iterable[Cluster]) -> dict[int, Clustered]:
    """What is appended to the rows of clusters, by their numbers from 0."""
    return {
        row: Clustered(
            REPRESENTATIVE if row == one.representative else DUPLICATE,
            one.representative + 1,
            len(one.similarities),
            similarity,
            one.is_cut,
        )
        for one in found
        for row, similarity in one.similarities.items()
    }


def clustered(found: Mapping[int, Clustered], row: int, address: str | Fault) -> Clustered:
    """What is appended to a row.

    Args:
        found: Of the rows of clusters.
        row: Its number from 0.
        address: Its address, or why it has none.
    """
    if fault := fault_of(address):
        return Clustered(error=fault)
    return found.get(row) or Clustered(SINGLE, row + 1, 1, None, cut=False)


def _beside(output: Path) -> Path:
    return output.with_name(f"{output.stem}.pairs{output.suffix}")
