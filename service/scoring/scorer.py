"""What a request calls: tokenise its pairs, have them scored, and read the result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.errors import (
    ClientGone,
    EngineFailed,
    MissingFields,
    NotReady,
    RequestError,
    TimedOut,
)
from service.lifecycle import Lifecycle, State
from service.scoring.cache import Result, ResultCache
from service.scoring.checkpoint import LABELS, Label
from service.scoring.engine import Engine
from service.scoring.job import NEVER, Job
from service.scoring.model import Model
from service.scoring.queue import PairQueue
from service.scoring.tokens import TokenizedPair
from telemetry.instruments import Instruments
from telemetry.spans import Timeline

UNREADABLE = "an address has no readable character"
"""What is wrong with a pair that is not `is_readable`."""


@dataclass(frozen=True, slots=True)
class Score:
    """The answer for one pair.

    Attributes:
        similarity: P(exact) + 0.5 P(partial), from 0 to 1: the expected grade where exact is 1,
            partial one half and not 0. MGeo itself defines no single number.
        label: The most probable label.
        probabilities: Of all three labels; they sum to 1.
        truncated: Whether the pair was longer than the model reads.
    """

    similarity: float
    label: Label
    probabilities: dict[Label, float]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits for an answer.

    Attributes:
        expires_ns: Monotonic time after which it no longer waits.
        on_hang_up: Takes what is to be called if it is gone before that.
    """

    expires_ns: float = NEVER
    on_hang_up: Callable[[Callable[[], None]], None] = lambda _: None


class Scorer:
    """Scores pairs for any number of request threads at once."""

    def __init__(
        self,
        engine: Engine,
        queue: PairQueue,
        lifecycle: Lifecycle,
        instruments: Instruments,
        *,
        cache: ResultCache | None,
        timeout: float,
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._lifecycle = lifecycle
        self._instruments = instruments
        self._cache = cache
        self._timeout = timeout

    def model(self) -> Model:
        """The model, if predictions are taken now.

        Raises:
            NotReady: The service is starting or has failed.
        """
        model = self._engine.model
        # While draining, requests that already arrived are still answered.
        if model is None or self._lifecycle.state not in (State.READY, State.DRAINING):
            state = self._lifecycle.state.value
            raise NotReady(f"the service is {state}; see /readyz", retry_after=1)
        return model

    def score(
        self,
        model: Model,
        pairs: Sequence[tuple[str, str]],
        timeline: Timeline,
        caller: Caller,
    ) -> list[Score | RequestError]:
        """Score pairs, in their order.

        Returns:
            For each its score, or why there is none: nothing readable in an address, or the model
            failed on that very pair.

        Raises:
            TooLarge: More pairs than the queue ever takes.
            QueueFull: Too many pairs wait already.
            TooLate: Their results would come too late.
            TimedOut: No result in time.
            ClientGone: The caller hung up.
        """
        expires_ns = self._expiry(caller)
        results: list[Result | RequestError | None] = [None] * len(pairs)
        keys: list[bytes] = []
        if self._cache is not None:
            keys = [self._cache.key(model.checkpoint.version, pair) for pair in pairs]
            results = [*map(self._cache.get, keys)]
        missing = [index for index, result in enumerate(results) if result is None]
        timeline.attributes["admit"] = {"mgeo.pairs.cached": len(pairs) - len(missing)}
        if missing:
            self.check(caller)
            tokenized = self._tokenize(model, [pairs[index] for index in missing], timeline)
            readable = {
                index: tokens
                for index, tokens in zip(missing, tokenized, strict=True)
                if tokens.is_readable
            }
            job = Job(
                list(readable.values()),
                labels=len(model.checkpoint.labels),
                keys=[keys[index] for index in readable] if keys else [],
                expires_ns=expires_ns,
            )
            computed = self._compute(model, job, timeline, caller)
            for index, result in zip(readable, computed, strict=True):
                results[index] = result
        else:
            timeline.enter("respond")
        if self._cache is not None:
            self._instruments.cache_lookup.add(len(pairs) - len(missing), {"result": "hit"})
        scores: list[Score | RequestError] = [
            _outcome(result, model.checkpoint.labels) for result in results
        ]
        self._count([score for score in scores if isinstance(score, Score)], model)
        return scores

    def check(self, caller: Caller, requests_ahead: int = 0) -> None:
        """Refuse, before any work, a pair that could not be scored in time.

        Args:
            caller: Who waits.
            requests_ahead: Requests that will be scored before and are not in the queue yet.

        Raises:
            QueueFull: Too many pairs wait already.
            TooLate: Its result would come too late.
        """
        self._queue.check(self._expiry(caller), requests_ahead)

    def _expiry(self, caller: Caller) -> float:
        return min(caller.expires_ns, time.perf_counter_ns() + self._timeout * 1e9)

    def _tokenize(
        self, model: Model, pairs: Sequence[tuple[str, str]], timeline: Timeline
    ) -> list[TokenizedPair]:
        timeline.enter("tokenize")
        tokenized = model.tokenizer.encode(pairs)
        timeline.attributes["tokenize"] = {
            "mgeo.pairs": len(tokenized),
            "mgeo.tokens": sum(len(pair.ids) for pair in tokenized),
        }
        return tokenized

    def _compute(
        self, model: Model, job: Job, timeline: Timeline, caller: Caller
    ) -> list[Result | RequestError]:
        if not job.pairs:
            timeline.enter("respond")
            return []
        timeline.enter("queue")
        joined = self._queue.put(job)
        if self._cache is not None:
            self._instruments.cache_lookup.add(joined, {"result": "coalesced"})
            self._instruments.cache_lookup.add(len(job.pairs) - joined, {"result": "miss"})
        caller.on_hang_up(job.abandon)
        in_time = job.wait(max(0.0, (job.expires_ns - time.perf_counter_ns()) / 1e9))
        if job.started_ns:
            timeline.enter("compute", job.started_ns)
            timeline.links["compute"] = [
                batch.span.get_span_context() for batch in job.batches if batch.span
            ]
            timeline.attributes["compute"] = {
                **{f"mgeo.batch.{key}": value for key, value in job.batches[-1].shape.items()},
                "mgeo.pairs.coalesced": joined,
                "mgeo.model_version": model.checkpoint.version,
                "mgeo.device": model.backend.device,
            }
        if not in_time:
            timeline.enter("respond")
            if job.is_abandoned:
                raise ClientGone("the client hung up")
            waited = (time.perf_counter_ns() - job.submitted_ns) / 1e9
            raise TimedOut(f"no result within {waited:.3g} s")
        timeline.enter("respond", job.finished_ns)
        rows = job.probabilities.tolist()
        return [
            EngineFailed(str(job.errors[index]))
            if index in job.errors
            else Result(tuple(rows[index]), pair.truncated)
            for index, pair in enumerate(job.pairs)
        ]

    def _count(self, scores: list[Score], model: Model) -> None:
        version = model.checkpoint.version
        for label, count in Counter(score.label for score in scores).items():
            self._instruments.prediction.add(count, {"label": label, "model_version": version})
        if truncated := sum(score.truncated for score in scores):
            self._instruments.input_truncated.add(truncated)


def score_now(model: Model, pair: tuple[str, str]) -> Score:
    """Score one pair on the calling thread, without queue or telemetry: for the command line.

    Raises:
        MissingFields: An address has nothing readable.
    """
    [tokens] = model.tokenizer.encode([pair])
    if not tokens.is_readable:
        raise MissingFields(UNREADABLE)
    [score] = score_batch_now(model, [tokens])
    return score


def score_batch_now(model: Model, pairs: Sequence[TokenizedPair]) -> list[Score]:
    """Score readable pairs in one forward pass on the calling thread, as `score_now` does.

    Raises:
        Exception: What the backend raised, or it returned what are no probabilities.
    """
    return [
        _score(Result(tuple(row), pair.truncated), model.checkpoint.labels)
        for row, pair in zip(model.predict(pairs).tolist(), pairs, strict=True)
    ]


def _outcome(result: Result | RequestError | None, order: Sequence[Label]) -> Score | RequestError:
    if result is None:
        return MissingFields(UNREADABLE)
    return result if isinstance(result, RequestError) else _score(result, order)


def _score(result: Result, order: Sequence[Label]) -> Score:
    by_label = dict(zip(order, result.probabilities, strict=True))
    probabilities = {label: by_label[label] for label in LABELS}
    return Score(
        # At most 1: the probabilities, in 32 bits, may add up to a little more.
        similarity=min(1.0, by_label["exact_match"] + 0.5 * by_label["partial_match"]),
        label=max(probabilities, key=probabilities.__getitem__),
        probabilities=probabilities,
        truncated=result.truncated,
    )
