"""One run: read chunks, take their results from the journal or the scorer, write them."""

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
    """Makes the results of rows: by the model in this process, or by a service.

    Attributes:
        identity: What the results depend on, as JSON.
        chunk_rows: Best number of rows in a chunk.
    """

    identity: Mapping[str, object]
    chunk_rows: int

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[R]]]:
        """Yield each chunk with its results, in order.

        Args:
            chunks: The rows.
            pair: The columns of the two addresses.
            report: Called with the number of rows that were finished.
        """
        ...


class RowCounter(Protocol):
    """Counts the rows of a run."""

    def resume(self, rows: int) -> None:
        """Count rows that an earlier run scored."""

    def advance(self, rows: int) -> None:
        """Count rows that this run scored."""


class Counts:
    """Counts the rows of the output.

    Args:
        counted: The field of a result by which rows are counted.

    Attributes:
        rows: All rows.
        bad: Rows without a score.
        first_bad: Row numbers of the first 10 of those, from 1, without a header.
        counts: Rows by value of the field.
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
    """Write all chunks with their results; score those that the journal does not have.

    Args:
        chunks: The rows.
        pair: The columns of the two addresses.
        scorer: Makes the results.
        sink: Writes the rows.
        journal: Has the results of an earlier run, and keeps new ones; None to keep none.
        progress: Counts rows as they are finished.
        totals: Counts rows as they are written.
        result: Builds a result from its cells in the journal.

    Raises:
        BulkError: The run cannot continue, or the journal does not fit the input.
        OSError: The output cannot be written.
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
            # The input is the same file, so only another release of a library splits it otherwise.
            raise BulkError("the journal does not fit the input; give --restart")
        progress.resume(len(done))
        yield chunk, done
    for chunk, results in scorer.score(chunks, pair, progress.advance):
        if journal:
            journal.append(results)
        yield chunk, results
