"""Scores chunks by a running service, with several `/predict/batch` requests in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from service.bulk import columns, tables
from service.bulk.ahead import ahead
from service.bulk.client import PatientClient, TooLargeError
from service.bulk.tables import Chunk, Result, batched
from service.errors import BulkError
from service.http.schemas import Limits, Pair

_CHUNK_ROWS = 1024
_CHUNKS_IN_FLIGHT = 2
"""Besides the chunk that is waited for: no connection idles during the last answer of a chunk."""

_TRIES = 3
"""Attempts for a pair that the service accepts and on which its model fails."""

_ANY_LENGTH = Limits(2**31)
"""No limit is checked here: the service reports pairs that are longer than its limit."""

_Sent = tuple[Chunk, list[Result], list[tuple[list[int], Future[list[Result]]]]]


class RemoteScorer:
    """The model of a running service; implements `run.RowScorer`.

    Args:
        client: The client of the service.
        in_flight: Most requests at once.
        request_pairs: Most pairs in a request.

    Attributes:
        identity: What the results depend on, as JSON; the model is the one that the service names.
        chunk_rows: Best number of rows in a chunk.

    Raises:
        BulkError: The service cannot be reached, or the URL belongs to something else.
    """

    chunk_rows = _CHUNK_ROWS

    def __init__(self, client: PatientClient, *, in_flight: int, request_pairs: int) -> None:
        self._client = client
        self._in_flight = in_flight
        self._request_pairs = request_pairs
        self._model = _model(client.predict_batch([]))
        self.identity: Mapping[str, object] = {
            "model": self._model,
            "setting": {"backend": "service"},
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
            BulkError: The service rejected a request for good, gave no result for too long, or
                changed its model.
        """
        sent: deque[_Sent] = deque()
        pool = ThreadPoolExecutor(self._in_flight, "request")
        try:
            for chunk in ahead(chunks):
                sent.append(self._send(pool, chunk, columns.pairs(chunk, pair, _ANY_LENGTH)))
                if len(sent) > _CHUNKS_IN_FLIGHT:
                    yield _received(sent.popleft(), report)
            while sent:
                yield _received(sent.popleft(), report)
        finally:
            self._client.end()
            pool.shutdown(cancel_futures=True)

    def _send(self, pool: ThreadPoolExecutor, chunk: Chunk, read: Sequence[Pair | str]) -> _Sent:
        results = [Result(error=value if isinstance(value, str) else None) for value in read]
        good = [(place, value) for place, value in enumerate(read) if not isinstance(value, str)]
        requests = []
        for part in batched(good, self._request_pairs):
            places, pairs = [place for place, _ in part], [pair for _, pair in part]
            requests.append((places, pool.submit(self._ask, pairs)))
        return chunk, results, requests

    def _ask(self, pairs: list[Pair], tries: int = _TRIES) -> list[Result]:
        """Request the results of some pairs; in halves if they are too many for one request."""
        try:
            answer: Any = self._client.predict_batch(pairs)
        except TooLargeError as error:
            if len(pairs) == 1:
                return [Result(error=str(error))]
            middle = len(pairs) // 2
            return self._ask(pairs[:middle], tries) + self._ask(pairs[middle:], tries)
        if (model := _model(answer)) != self._model:
            raise BulkError(
                f"the service answers with model {' '.join(model)} now; this run was begun with "
                f"{' '.join(self._model)}: finish it with that one, or begin anew by --restart"
            )
        try:
            results = [_result(result) for result in answer["results"]]
            failed = [i for i, one in enumerate(answer["results"]) if one.get("status", 0) >= 500]
        except (KeyError, TypeError, AttributeError):
            raise BulkError(_STRANGE) from None
        if len(results) != len(pairs):
            raise BulkError(_STRANGE)
        if failed and tries > 1:  # the engine may have failed for another reason than these pairs
            again = self._ask([pairs[place] for place in failed], tries - 1)
            for place, result in zip(failed, again, strict=True):
                results[place] = result
        return results


_STRANGE = "what answers at --url is not this service: its answer has another shape"


def _received(sent: _Sent, report: Callable[[int], None]) -> tuple[Chunk, list[Result]]:
    chunk, results, requests = sent
    report(len(chunk) - sum(len(places) for places, _ in requests))
    for places, request in requests:
        for place, result in zip(places, request.result(), strict=True):
            results[place] = result
        report(len(places))
    return chunk, results


def _model(answer: Any) -> list[str]:
    try:
        model = answer["model"]
        return [str(model["name"]), str(model["version"]), str(model.get("backend", ""))]
    except (KeyError, TypeError, AttributeError):
        raise BulkError(_STRANGE) from None


def _result(result: Any) -> Result:
    if "label" in result:
        return tables.scored(
            result["similarity"],
            result["label"],
            result["probabilities"],
            result["truncated"],
            result.get("unread"),
        )
    return Result(error=str(result["detail"]))
