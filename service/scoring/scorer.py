"""Scores the pairs of a request: cache, tokens, queue, wait, result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from service.errors import (
    ClientGone,
    EngineFailed,
    NotReady,
    RequestError,
    TimedOut,
)
from service.lifecycle import Lifecycle, State
from service.scoring import refusal, score
from service.scoring.cache import PairResult, ResultCache
from service.scoring.checkpoint import Label
from service.scoring.events import Events, Lookup
from service.scoring.job import NEVER, Job
from service.scoring.model import LoadedModel
from service.scoring.model_version import Version
from service.scoring.queue import PairQueue, QueueClosed
from service.scoring.score import Score
from service.scoring.split import ANY_MODEL, ModelSelector
from service.scoring.timeline import Timeline
from service.scoring.tokens import TokenizedPair
from service.scoring.versions import Versions

_KNOWN_LINGERS_NS = 10_000_000_000
"""How long after a request was answered from the cache others are expected to be."""

_TRIED = 32
"""Of the requests that would be refused unread, one in this many is read, to look in the cache."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a client has said of the answer that it waits for.

    Attributes:
        expires_ns: Monotonic time after which it no longer waits.
        patience: How long that is, and where it said so, for the error's text.
        on_hang_up: Takes a function, and calls it if the client hangs up; None if nobody can tell.
        selector: Which model it asks for, if it does.
        fresh: Whether the model is to compute the answer, whatever the cache holds.
        trace: Trace context of its request, for `Events`.
    """

    expires_ns: float = NEVER
    patience: str = ""
    on_hang_up: Callable[[Callable[[], None]], None] | None = None
    selector: ModelSelector = ANY_MODEL
    fresh: bool = False
    trace: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with.

    Attributes:
        model: The model that answers.
        outcomes: For each pair, in order, its score, or why there is none.
    """

    model: LoadedModel
    outcomes: list[Score | RequestError]


class Scorer:
    """Scores pairs for any number of request threads at once."""

    def __init__(
        self,
        versions: Versions,
        lifecycle: Lifecycle,
        events: Events,
        *,
        cache: ResultCache | None,
        timeout: float,
    ) -> None:
        self._versions = versions
        self._lifecycle = lifecycle
        self._events = events
        self._cache = cache
        self._timeout = timeout
        # Of threads, which a set takes in and out as a whole; a number would want a lock.
        self._waiting: set[int] = set()
        self._known_ns = -_KNOWN_LINGERS_NS
        self._untried = 0
        if cache is not None:  # from the start, so that the first one is seen as an increment
            for result in get_args(Lookup):
                events.looked_up(result, 0)

    def require_ready(self) -> None:
        """Refuse, before any work, what no model can take now.

        Raises:
            NotReady: The service is starting or has failed.
        """
        # While draining, requests that already arrived are still answered.
        state = self._lifecycle.state
        if state is not State.READY and not (
            state is State.DRAINING and self._versions.table.serving[0][0].model
        ):
            raise NotReady(f"the service is {state.value}; see /readyz", retry_after=1)

    def models(self, selector: ModelSelector = ANY_MODEL) -> list[LoadedModel]:
        """The models that may answer, the one with the most traffic first.

        Raises:
            NotReady: The service is starting or has failed.
            UnknownModel: None has the name or version that is asked for.
        """
        self.require_ready()
        serving = sorted(self._versions.serving(selector), key=lambda one: -one[1])
        models = [version.model for version, _ in serving]
        return [model for model in models if model is not None]

    def score(
        self, pairs: Sequence[tuple[str, str]], timeline: Timeline, context: RequestContext
    ) -> Answer:
        """Score pairs, in their order, all by one model.

        Returns:
            The model, and for each pair its score, or why there is none: an address is
            missing or cannot be read, or the model failed on that very pair.

        Raises:
            NotReady: The service is about to end.
            UnknownModel: No model has the name or version that the caller asks for.
            TooLarge: More pairs than the queue ever takes.
            QueueFull: Too many pairs wait already.
            TooLate: Their results would come too late.
            TimedOut: No result in time.
            ClientGone: The caller hung up.
        """
        expires_ns = self._expiry(context)
        tried: Version | None = None
        while True:
            version = self._versions.choose(context.selector, pairs)
            model = version.model
            try:
                if model is None:
                    raise QueueClosed
                outcomes = self._score_by(
                    version.queue, model, pairs, timeline, context, expires_ns
                )
                break
            except QueueClosed:
                # It was exchanged just now: another one answers. If none does, the process ends.
                if version is tried:
                    raise NotReady("the service is about to end", retry_after=1) from None
                tried = version
        for _, shadow in self._versions.table.shadows:
            shadow.offer(pairs, outcomes, model.checkpoint.version, context.trace)
        return Answer(model, outcomes)

    def _score_by(
        self,
        queue: PairQueue,
        model: LoadedModel,
        pairs: Sequence[tuple[str, str]],
        timeline: Timeline,
        context: RequestContext,
        expires_ns: float,
    ) -> list[Score | RequestError]:
        timeline.model_version = model.checkpoint.version
        results: list[PairResult | RequestError | None] = [None] * len(pairs)
        keys: list[bytes] = []
        # Without keys the queue neither joins an equal pair under way nor asks the cache.
        if self._cache is not None and not context.fresh:
            keys = [self._cache.key(model.checkpoint.version, pair) for pair in pairs]
            results = [*map(self._cache.get, keys)]
        missing = [index for index, result in enumerate(results) if result is None]
        timeline.attributes["admit"] = {
            "mgeo.pairs.cached": len(pairs) - len(missing),
            "mgeo.model_version": model.checkpoint.version,
        }
        hits = len(pairs) - len(missing)
        try:
            if missing:
                tokenized = self._tokenize(model, [pairs[index] for index in missing], timeline)
                readable: dict[int, TokenizedPair] = {}
                for index, tokens in zip(missing, tokenized, strict=True):
                    if refused := refusal.of(pairs[index], tokens):
                        results[index] = refused
                    else:
                        readable[index] = tokens
                job = Job(
                    list(readable.values()),
                    keys=[keys[index] for index in readable] if keys else [],
                    expires_ns=expires_ns,
                    trace=context.trace,
                )
                computed = self._compute(queue, model, job, timeline, context)
                for index, result in zip(readable, computed, strict=True):
                    results[index] = result
            else:
                if pairs:
                    self._known_ns = time.perf_counter_ns()
                timeline.enter("respond")
        except QueueClosed:
            hits = 0  # another model answers, and is looked up for itself
            raise
        finally:  # what the cache knew it knew, also where the rest of the request fails
            if self._cache is not None and hits:
                self._events.looked_up("hit", hits)
        outcomes = [
            _outcome(result, model.checkpoint.labels) for result in results if result is not None
        ]
        self._events.scored(outcomes, model.checkpoint.version)
        return outcomes

    def would_refuse(self, context: RequestContext, requests_ahead: int = 0) -> RequestError | None:
        """Why a pair could not be scored in time, if it is clear before any work.

        Args:
            context: Who waits.
            requests_ahead: Requests that will be scored before and are not in the queue yet.

        Raises:
            UnknownModel: No model has the name or version that the caller asks for.
        """
        expires_ns = self._expiry(context)
        # Which of them it will be its pairs say, and those are not read yet.
        refusal: RequestError | None = None
        for version, _ in self._versions.serving(context.selector):
            refusal = version.queue.would_refuse(expires_ns, requests_ahead)
            if refusal is None:
                return None
        return refusal

    def waiting(self) -> int:
        """Requests that wait for results."""
        return len(self._waiting)

    def may_be_known(self) -> bool:
        """Whether a request that the queue has no place for may be answered by the cache.

        Only its body would say, and reading that costs as much as for any other request. So where
        none was answered so lately, one in `_TRIED` is read.
        """
        if self._cache is None:
            return False
        self._untried += 1
        if self._untried < _TRIED and time.perf_counter_ns() - self._known_ns > _KNOWN_LINGERS_NS:
            return False
        self._untried = 0
        return True

    def retry_after(self) -> int:
        """Seconds until what waits now will be done, 1 to 60: when to try again."""
        serving = self._versions.serving(ANY_MODEL)
        return min(version.queue.retry_after() for version, _ in serving)

    def _expiry(self, context: RequestContext) -> float:
        return min(context.expires_ns, time.perf_counter_ns() + self._timeout * 1e9)

    def _tokenize(
        self, model: LoadedModel, pairs: Sequence[tuple[str, str]], timeline: Timeline
    ) -> list[TokenizedPair]:
        timeline.enter("tokenize")
        tokenized = model.tokenizer.encode(pairs)
        timeline.attributes["tokenize"] = {
            "mgeo.pairs": len(tokenized),
            "mgeo.tokens": sum(len(pair.ids) for pair in tokenized),
        }
        return tokenized

    def _compute(
        self,
        queue: PairQueue,
        model: LoadedModel,
        job: Job,
        timeline: Timeline,
        context: RequestContext,
    ) -> list[PairResult | RequestError]:
        if not job.pairs:
            timeline.enter("respond")
            return []
        timeline.enter("queue")
        expires_ns = job.expires_ns  # before the queue may drop it, which sets it to 0
        joined = queue.put(job)
        if self._cache is not None:
            if joined:
                self._events.looked_up("coalesced", joined)
            if joined < len(job.pairs):
                self._events.looked_up("miss", len(job.pairs) - joined)
        if context.on_hang_up is not None:
            context.on_hang_up(job.abandon)
        self._waiting.add(thread := threading.get_ident())
        in_time = job.wait(max(0.0, (expires_ns - time.perf_counter_ns()) / 1e9))
        self._waiting.discard(thread)
        if job.started_ns:
            timeline.enter("compute", job.started_ns)
            timeline.batches = job.batches
            timeline.attributes["compute"] = {
                "mgeo.batch.size": job.batches[-1].pairs,
                "mgeo.batch.tokens": job.batches[-1].tokens,
                "mgeo.batch.computed_tokens": job.batches[-1].computed_tokens,
                "mgeo.pairs.coalesced": joined,
                "mgeo.model_version": model.checkpoint.version,
                "mgeo.backend": model.backend.name,
                "mgeo.device": model.backend.device,
            }
        if not in_time:
            timeline.enter("respond")
            if job.is_abandoned:
                raise ClientGone("the client hung up")
            own = f"{self._timeout:g} s (MGEO_REQUEST_TIMEOUT)"
            within = context.patience if expires_ns == context.expires_ns else own
            raise TimedOut(f"no result within {within}; allow more time, or send fewer pairs")
        timeline.enter("respond", job.finished_ns)
        return [
            EngineFailed(str(job.errors[index])) if index in job.errors else job.results[index]
            for index in range(len(job.pairs))
        ]


def score_now(model: LoadedModel, pair: tuple[str, str]) -> Score:
    """Score one pair on the calling thread, without queue or telemetry: for the command line.

    Raises:
        RequestError: An address is missing, or cannot be read; see `refusal`.
    """
    [tokens] = model.tokenizer.encode([pair])
    if refused := refusal.of(pair, tokens):
        raise refused
    [scored] = score_batch_now(model, [tokens])
    return scored


def score_batch_now(model: LoadedModel, pairs: Sequence[TokenizedPair]) -> list[Score]:
    """Score readable pairs in one forward pass on the calling thread, as `score_now` does.

    Raises:
        Exception: What the backend raised, or it returned what are no probabilities.
    """
    return [
        score.of(PairResult.of(row, pair), model.checkpoint.labels)
        for row, pair in zip(model.predict(pairs).tolist(), pairs, strict=True)
    ]


def _outcome(result: PairResult | RequestError, order: Sequence[Label]) -> Score | RequestError:
    return result if isinstance(result, RequestError) else score.of(result, order)
