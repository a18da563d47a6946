"""One run: rows in, results from the journal or the scorer, rows out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from service.bulk.journal import Journal
from service.bulk.progress import Progress
from service.bulk.tables import Chunk, Result, Sink
from service.errors import BulkError

_FIRST_BAD = 10


class Scorer(Protocol):
    """What scores: the model here, or a service.

    Attributes:
        identity: What its results depend on.
        chunk_rows: Rows to hand it at a time.
    """

    identity: Mapping[str, object]
    chunk_rows: int

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Result]]]:
        """Each chunk with its results, in order."""
        ...


class Tally:
    """Counts the rows that went out.

    Attributes:
        rows: All of them.
        bad: Those without a score.
        first_bad: The first of those, counted from 1 without a header.
        labels: Rows of each label.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.bad = 0
        self.first_bad: list[int] = []
        self.labels: Counter[str] = Counter()

    def add(self, results: list[Result]) -> None:
        """Count a chunk."""
        for row, result in enumerate(results, self.rows + 1):
            if result.error is not None:
                self.bad += 1
                if self.bad <= _FIRST_BAD:
                    self.first_bad.append(row)
        self.rows += len(results)
        self.labels.update(result.label for result in results if result.label)


def run(
    chunks: Iterator[Chunk],
    pair: tuple[int, int],
    scorer: Scorer,
    sink: Sink,
    journal: Journal | None,
    progress: Progress,
) -> Tally:
    """Score all chunks, those that the journal does not have.

    Raises:
        BulkError: It cannot go on.
        OSError: An output cannot be written.
    """
    tally = Tally()
    try:
        for chunk, results in _results(chunks, pair, scorer, journal, progress):
            sink.write(chunk, results)
            tally.add(results)
    except BaseException:
        sink.discard()
        raise
    sink.close()
    return tally


def _results(
    chunks: Iterator[Chunk],
    pair: tuple[int, int],
    scorer: Scorer,
    journal: Journal | None,
    progress: Progress,
) -> Iterator[tuple[Chunk, list[Result]]]:
    for done in journal.replay() if journal else ():
        chunk = next(chunks, None)
        if chunk is None or len(chunk) != len(done):
            # Only another release of the reader's library cuts the same file otherwise.
            raise BulkError("what the journal holds does not fit the input; give --restart")
        progress.resume(len(done))
        yield chunk, done
    for chunk, results in scorer.score(chunks, pair, progress.advance):
        if journal:
            journal.append(results)
        yield chunk, results
