"""One run: rows in, results from the journal or the scorer, rows out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from service.bulk.journal import Journal
from service.bulk.tables import Chunk, Outcome, Sink
from service.errors import BulkError

R = TypeVar("R", bound=Outcome)

_FIRST_BAD = 10


class RowScorer(Protocol[R]):
    """What makes results of rows: the model here, or a service.

    Attributes:
        identity: What its results depend on.
        chunk_rows: Rows to hand it at a time.
    """

    identity: Mapping[str, object]
    chunk_rows: int

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[R]]]:
        """Each chunk with its results, in order."""
        ...


class RowCounter(Protocol):
    """Counts the rows of a run."""

    def resume(self, rows: int) -> None:
        """Count rows that an earlier run scored."""

    def advance(self, rows: int) -> None:
        """Count rows that this run scored."""


class Counts:
    """Counts the rows that went out.

    Args:
        counted: The cell of a result by which rows are counted.

    Attributes:
        rows: All of them.
        bad: Those without a score.
        first_bad: The first of those, counted from 1 without a header.
        counts: Rows of each value of the cell.
    """

    def __init__(self, counted: str) -> None:
        self._counted = counted
        self.rows = 0
        self.bad = 0
        self.first_bad: list[int] = []
        self.counts: Counter[str] = Counter()

    def add(self, results: Sequence[Outcome]) -> None:
        """Count a chunk."""
        for row, result in enumerate(results, self.rows + 1):
            if result.error is not None:
                self.bad += 1
                if self.bad <= _FIRST_BAD:
                    self.first_bad.append(row)
        self.rows += len(results)
        self.counts.update(said for result in results if (said := getattr(result, self._counted)))


def run(
    chunks: Iterator[Chunk],
    pair: tuple[int, int],
    scorer: RowScorer[R],
    sink: Sink,
    journal: Journal | None,
    progress: RowCounter,
    totals: Counts,
    result: Callable[..., R],
) -> None:
    """Score all chunks, those that the journal does not have.

    Args:
        chunks: The rows.
        pair: The columns of the addresses.
        scorer: Makes their results.
        sink: Where rows go.
        journal: Keeps their results, and has those of an earlier run.
        progress: Told of rows.
        totals: Counts them.
        result: Makes a result of its cells, for what the journal has.

    Raises:
        BulkError: It cannot go on.
        OSError: An output cannot be written.
    """
    try:
        for chunk, results in _results(chunks, pair, scorer, journal, progress, result):
            sink.write(chunk, results)
            totals.add(results)
    except BaseException:
        sink.discard()
        raise
    sink.close()


def _results(
    chunks: Iterator[Chunk],
    pair: tuple[int, int],
    scorer: RowScorer[R],
    journal: Journal | None,
    progress: RowCounter,
    result: Callable[..., R],
) -> Iterator[tuple[Chunk, list[R]]]:
    for done in journal.replay(result) if journal else ():
        chunk = next(chunks, None)
        if chunk is None or len(chunk) != len(done):
            # The same file is cut in other chunks only by another release of the reader's library.
            raise BulkError("the journal does not fit the input; give --restart")
        progress.resume(len(done))
        yield chunk, done
    for chunk, results in scorer.score(chunks, pair, progress.advance):
        if journal:
            journal.append(results)
        yield chunk, results
