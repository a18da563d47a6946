"""Scores chunks in this process: tokenises ahead, and batches pairs of similar length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from service.bulk import columns, tables
from service.bulk.ahead import ahead
from service.bulk.tables import Chunk, Result
from service.errors import BulkError
from service.http.schemas import Limits
from service.scoring import model as models
from service.scoring import refusal
from service.scoring.backends.layout import computed_tokens
from service.scoring.scorer import score_batch_now
from service.scoring.tokens import TokenizedPair
from service.settings import Settings

_BATCHES = 80
"""Batches in a chunk. Sorting within so many leaves little padding; and an interrupted run computes
at most one chunk again."""

_TOKENS = 40
"""Tokens of a typical pair (19 and 16 characters), special tokens included."""

_FAILED = "the model failed on this pair"


@dataclass(frozen=True, slots=True)
class _Prepared:
    chunk: Chunk
    results: list[Result]
    tokens: dict[int, TokenizedPair]
    batches: list[list[int]]


class LocalScorer:
    """The model of the settings, loaded in this process; implements `run.RowScorer`.

    Attributes:
        identity: What the results depend on, as JSON.
        model: The model's name and version, and its backend.
        chunk_rows: Best number of rows in a chunk.

    Raises:
        OperatorError: The model cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._model = models.load(settings, lambda stage, progress: None)
        self._limits = Limits(settings.max_address_chars)
        checkpoint, backend, budget = (
            self._model.checkpoint,
            self._model.backend,
            self._model.batch_tokens,
        )
        self.model = checkpoint.name, checkpoint.version, backend.name
        self.chunk_rows = max(1, _BATCHES * budget // _TOKENS)
        self.identity: Mapping[str, object] = {
            "model": [checkpoint.name, checkpoint.version],
            "setting": {
                "backend": backend.name,
                "device": backend.device,
                "batch_tokens": budget,
                "max_tokens": self._model.tokenizer.max_tokens,
                "max_address_chars": settings.max_address_chars,
                "normalize": self._model.tokenizer.normalization,
            },
        }

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Result]]]:
        """Yield each chunk with its results, in order.

        Args:
            chunks: The rows.
            pair: The columns of the two addresses.
            report: Called with the number of rows that were finished.

        Raises:
            BulkError: The model fails on every pair.
        """
        for ready in ahead(self._prepare(chunk, pair) for chunk in chunks):
            report(len(ready.chunk) - len(ready.tokens))
            for batch in ready.batches:
                results = self._results([ready.tokens[place] for place in batch])
                for place, result in zip(batch, results, strict=True):
                    ready.results[place] = result
                report(len(batch))
            yield ready.chunk, ready.results

    def _results(self, batch: list[TokenizedPair]) -> list[Result]:
        """Score a batch. If it fails, score its halves, so that only the pair at fault fails."""
        try:
            scores = score_batch_now(self._model, batch)
        except Exception as error:
            if len(batch) == 1:
                self._check_that_it_lives(error)
                return [Result(error=_FAILED)]
            middle = len(batch) // 2
            return self._results(batch[:middle]) + self._results(batch[middle:])
        return [
            tables.scored(s.similarity, s.label, s.probabilities, s.truncated, s.unread)
            for s in scores
        ]

    def _check_that_it_lives(self, failure: Exception) -> None:
        try:
            score_batch_now(self._model, self._model.tokenizer.encode([("1", "1")]))
        except Exception:
            raise BulkError(
                f"the model fails on every pair ({type(failure).__name__}); "
                "the same command goes on from here when that is mended"
            ) from failure

    def _prepare(self, chunk: Chunk, pair: tuple[int, int]) -> _Prepared:
        read = columns.pairs(chunk, pair, self._limits)
        good = {place: value for place, value in enumerate(read) if not isinstance(value, str)}
        encoded = self._model.tokenizer.encode([*good.values()])
        results = [Result(error=value if isinstance(value, str) else None) for value in read]
        tokens: dict[int, TokenizedPair] = {}
        for (place, value), one in zip(good.items(), encoded, strict=True):
            if refused := refusal.of(value, one):
                results[place] = Result(error=str(refused))
            else:
                tokens[place] = one
        return _Prepared(chunk, results, tokens, self._batches(tokens))

    def _batches(self, tokens: dict[int, TokenizedPair]) -> list[list[int]]:
        """Batches of places, sorted by length; each keeps within the budget of tokens."""
        padding, budget = self._model.backend.padding, self._model.batch_tokens
        batches: list[list[int]] = []
        total = 0
        for place in sorted(tokens, key=lambda place: len(tokens[place].ids)):
            length = len(tokens[place].ids)  # the longest so far: they are sorted
            total += length
            size = len(batches[-1]) + 1 if batches else 1
            if not batches or computed_tokens(size, total, length, padding) > budget:
                batches.append([])
                total = length
            batches[-1].append(place)
        return batches
