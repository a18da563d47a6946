"""One call of `dedupe`: score pairs of a table's rows, then cluster those that match."""

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
from service.matching.choice import Choice
from service.matching.clusters import Cluster, clusters
from service.matching.pairs import ENTRIES, PAIR, pairs
from service.matching.reach import COMPARES, LeftOut, Reach
from service.matching.same_texts import SameTexts, count, firsts
from service.matching.table import ADDRESS, Table, address_column, fault_of
from service.retrieval import files
from service.retrieval.files import StoredRegister
from service.retrieval.index import RULE
from service.retrieval.register import Entry

SINGLE, REPRESENTATIVE, DUPLICATE = KINDS = ("single", "representative", "duplicate")

DUPLICATES = ("exact_match",)
"""Without a threshold, two rows with one of these labels are the same place."""


class Clustered(NamedTuple):
    """The columns that `dedupe` appends to a row.

    Attributes:
        kind: `single`, `representative` or `duplicate`.
        cluster: Row number of the representative, the same for all rows of a cluster. Rows are
            counted from 1, without a header.
        members: Number of rows in the cluster.
        similarity: Similarity to the representative, from 0 to 1.
        cut: Whether the cluster was cut out of a longer chain of matches, or out of rows that
            contradict each other.
        error: Why the row was left out; None if it was not.
    """

    kind: str | None = None
    cluster: int | None = None
    members: int | None = None
    similarity: float | None = None
    cut: bool | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _PairsTable:
    """Stands for the source of the file of pairs: a sink asks its source for columns and style."""

    style: TextStyle
    columns: list[str] = field(default_factory=lambda: [*PAIR])
    has_header: bool = True
    notice: str = ""


class DedupeJob(BulkJob):
    """A table in which to find duplicates.

    Raises:
        BulkError: The flags contradict each other, or an output would overwrite a file.
    """

    result = Clustered
    result_types = (str, int, int, float, bool, str)
    counted = "kind"
    values = KINDS

    def __init__(self, flags: argparse.Namespace) -> None:
        self._choice = Choice(
            threshold=flags.threshold, candidates=flags.candidates, labels=DUPLICATES, by=flags.by
        )
        self._reach = Reach(flags.candidates, flags.least_share)
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
        if self._pairs.is_at(self._reading.path):  # the .partial file would overwrite it
            raise BulkError("--pairs would overwrite the input; name another file")

    @override
    def _columns(self, source: Source) -> tuple[int, int]:
        column = address_column(source, self._flags.address, "--address")
        return column, column  # both addresses of a pair come from it

    @override
    def _scorer(self, note: Any, stack: contextlib.ExitStack) -> RowScorer[Any]:
        scorer = super()._scorer(note, stack)
        return _Chosen(scorer, self._choice, self._reach)

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
        same: dict[int, list[int]] = {}
        with tempfile.TemporaryDirectory(prefix="mgeo-register-") as folder:
            table = Table(source, self._flags.address, None, ("--address", ""), most_chars)
            files.write(Path(folder), firsts(table.entries(lambda rows: None), same))
            register = files.read(Path(folder))
            entries = _Entries(progress, same)
            kept = self._kept_candidates(register, journal)
            with self._pairs.open() as file, kept or contextlib.nullcontext():
                linked = self._linked(register, scorer, file, source.style, journal, entries, kept)
                if not self._flags.force:
                    self._pairs.refuse_another(file)
                self._pairs.finish(file, None)
            found = clusters(table.rows, linked, same, address_of_row(register))
        known = of_row(found)
        limits, row = Limits(most_chars), 0
        with contextlib.closing(formats.open_source(self._source_format, self._reading)) as again:
            sink = formats.open_sink(self._sink_format, writing, again)
            for chunk in again.chunks(ENTRIES):
                read = columns.addresses(chunk, pair[0], limits, ADDRESS)
                done = [clustered(known, *one) for one in enumerate(read, row)]
                sink.write(chunk, done)
                totals.add(done)
                row += len(chunk)
            sink.close()
        for line in notices(same, entries.left_out, self._reach, found):
            progress.note(line)
        if kept:
            kept.remove()

    def _linked(
        self,
        register: StoredRegister,
        scorer: RowScorer[Any],
        file: Any,
        style: TextStyle,
        journal: Journal | None,
        entries: _Entries,
        kept: Journal | None,
    ) -> list[tuple[int, int, float]]:
        """Write the pairs that match; return their rows, from 0, and their similarities."""
        names = Result._fields
        writing = Writing(file, str(self._pairs_path), names, RESULT_TYPES)
        table: Any = _PairsTable(style)
        sink = _Matching(formats.open_sink(self._pairs_format, writing, table), self._choice)
        found = pairs(register, self._reach, entries.add, kept)
        chunks: Iterator[Chunk] = (Rows(cells, {}) for cells in batched(found, scorer.chunk_rows))
        run(chunks, (2, 3), scorer, sink, journal, entries, Counts("label"), Result)
        entries.finish()
        return sink.linked

    def _kept_candidates(self, register: StoredRegister, journal: Journal | None) -> Journal | None:
        """The journal of the candidates. Finding them takes as long as scoring them, or longer."""
        if journal is None:
            return None
        path = Path(self._flags.output).resolve()
        identity = {"register": register.version, "rows in a search": ENTRIES}
        restart = not journal.is_resumed
        return Journal(path.with_name(f"{path.name}.candidates"), identity, restart=restart)

    def _is_begun(self) -> bool:
        """Whether an interrupted run left its journal beside the output."""
        path = Path(self._flags.output).resolve()
        return path.with_name(path.name + ".journal").exists() and not self._flags.restart


class _Chosen:
    """A scorer with the choice of duplicates in its identity, so that a resumed run keeps it.

    The way of searching is there too. The journal has the scores alone, and with another one they
    would be taken for those of other pairs.
    """

    def __init__(self, scorer: RowScorer[Result], choice: Choice, reach: Reach) -> None:
        self.chunk_rows = scorer.chunk_rows
        self.identity: Mapping[str, object] = {
            **scorer.identity,
            "choice of duplicates": [choice.rule, reach.candidates, reach.least_share],
            "way of searching": [RULE, COMPARES],
        }
        self.score = scorer.score


class _Entries:
    """Progress in rows. The run counts pairs, and their total is not known before the end.

    Rows are looked at before it is known whether the scores of their pairs are from before.

    Attributes:
        left_out: How many candidates were not compared with their entries.
    """

    def __init__(self, progress: Progress, same: SameTexts) -> None:
        self._count = progress.advance
        self._looked_at = 0
        self._progress, self._same = progress, same
        self.left_out = LeftOut()

    def resume(self, rows: int) -> None:
        """Count the rows that were looked at as done by an earlier run."""
        self._count = self._progress.resume
        self.finish()

    def advance(self, rows: int) -> None:
        """Count the rows that were looked at as done by this run."""
        self._count = self._progress.advance
        self.finish()

    def finish(self) -> None:
        """Count the rows that were looked at like those before them."""
        if self._looked_at:
            self._count(self._looked_at)
            self._looked_at = 0

    def add(self, entries: Sequence[Entry], left_out: LeftOut) -> None:
        """Look at entries whose candidates were found, each for all rows of its text."""
        self.left_out = LeftOut.of((self.left_out, left_out))
        rows = [int(entry.id) - 1 for entry in entries]
        self._looked_at += sum(1 + len(self._same.get(row, ())) for row in rows)


class _Matching:
    """A sink that writes only pairs that match, and collects them in `linked`."""

    def __init__(self, sink: Sink, choice: Choice) -> None:
        self._sink, self._choice = sink, choice
        self.linked: list[tuple[int, int, float]] = []

    def write(self, chunk: Chunk, results: Sequence[Outcome]) -> None:
        """Append the pairs that match."""
        cells, kept = [], []
        for row, result in zip(chunk.rows(), results, strict=True):
            if not isinstance(result, Result) or result.similarity is None:
                continue
            if self._choice.is_answer(result):
                cells.append([*row])
                kept.append(result)
                first, second = (int(str(number)) - 1 for number in (row[0], row[1]))
                self.linked.append((first, second, result.similarity))
        if kept:
            self._sink.write(Rows(cells, {}), kept)

    def close(self) -> None:
        """Write what is buffered."""
        self._sink.close()

    def discard(self) -> None:
        """Release the output."""
        self._sink.discard()


def notices(
    same: SameTexts, left_out: LeftOut, reach: Reach, found: Sequence[Cluster]
) -> Iterator[str]:
    """What a user has to know of a run beside its results, one line each.

    Args:
        same: Rows that no model compared.
        left_out: How many candidates `reach` did not compare.
        reach: What each row was compared with.
        found: The clusters.
    """
    if same:
        yield (
            f"{count(same):,} rows have the text of an earlier one: they are in its cluster "
            "without the model, and in no pair"
        )
    not_compared = (
        f"times a row and one of its {reach.candidates} candidates were not compared, for"
    )
    if left_out.sharing_little:
        yield (
            f"{left_out.sharing_little:,} {not_compared} they share less than "
            f"{reach.least_share:g} of what is rare in the row (--least-share)"
        )
    if left_out.contradicting:
        yield (
            f"{left_out.contradicting:,} {not_compared} they contradict each other, in a number or "
            "in another part"
        )
    if cut := sum(cluster.is_cut for cluster in found):
        yield (
            f"{cut:,} clusters were cut out of chains whose ends do not match or contradict each "
            "other: the column cut marks them"
        )


def address_of_row(register: StoredRegister) -> Callable[[int], str]:
    """Looks up the address of a row, from 0, in a register whose ids are ascending row numbers."""
    rows = np.fromiter((int(register.ids[at]) - 1 for at in range(len(register))), np.int64)
    return lambda row: register.addresses[int(np.searchsorted(rows, row))]


def of_row(found: Iterable[Cluster]) -> dict[int, Clustered]:
    """The result of each row that is in a cluster, by row number from 0."""
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
    """The result of one row.

    Args:
        found: Results of the rows that are in clusters, as from `of_row`.
        row: The row's number, from 0.
        address: The row's address, or why it has none.
    """
    if fault := fault_of(address):
        return Clustered(error=fault)
    return found.get(row) or Clustered(SINGLE, row + 1, 1, None, cut=False)


def _beside(output: Path) -> Path:
    return output.with_name(f"{output.stem}.pairs{output.suffix}")
