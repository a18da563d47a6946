"""A model that is shown a copy of the traffic, and answers nobody.

A request's thread leaves a copy of its pairs and answers here, which takes a microsecond, and goes
its way. The copies are scored a few pairs at a time, while every model that answers is idle, on one
thread of the lowest priority that the system has (`backends/background.py`). What does not fit in
the meantime is dropped and counted: the comparison is then of a sample.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    get_current_span,
    set_span_in_context,
    use_span,
)

from service.errors import RequestError
from service.scoring import score
from service.scoring.batching import INTERACTIVE_PAIRS
from service.scoring.cache import Result
from service.scoring.engine import Engine
from service.scoring.job import Job
from service.scoring.model import Model
from service.scoring.queue import PairQueue
from service.scoring.score import Score
from telemetry.setup import Telemetry

log = logging.getLogger(__name__)

MOST_PAIRS = 1024
"""Pairs that may wait: at most about 2 MB of addresses of 512 characters."""

_AT_ONCE = INTERACTIVE_PAIRS
"""Pairs of one pass, so that a request that comes meanwhile finds little under way."""

_LOOK_SECONDS = 0.01
"""How often it is seen whether there is something to do. Looking costs a request's thread nothing,
as waking another thread would."""

_PATIENCE_SECONDS = 60.0
"""For one pass: a thread of the lowest priority gets little of a busy machine."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Pairs that were answered, and by whom.

    Attributes:
        pairs: The addresses.
        scores: What the answer said of them.
        against: The version that answered.
        span: The request's span.
    """

    pairs: Sequence[tuple[str, str]]
    scores: Sequence[Score]
    against: str
    span: SpanContext


class Shadow:
    """Scores copies by one model, and compares.

    Args:
        engine: Has the model.
        queue: The engine's.
        idle: Whether every model that answers is idle.
        telemetry: What the comparison is recorded in.
    """

    def __init__(
        self, engine: Engine, queue: PairQueue, idle: Callable[[], bool], telemetry: Telemetry
    ) -> None:
        self._engine, self._queue, self._idle = engine, queue, idle
        self._instruments, self._tracer = telemetry.instruments, telemetry.tracer
        self._copies: deque[Copy] = deque()
        self._pairs = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Begin to score copies."""
        self._thread.start()

    def compares_with(self, versions: Sequence[str]) -> None:
        """Begin the series of comparisons with versions that answer."""
        if model := self._engine.model:
            for version in versions:
                self._instruments.compares(
                    model.checkpoint.version, version, model.checkpoint.labels
                )

    def stop(self) -> None:
        """Drop what waits, and end after the pass under way."""
        self._stop.set()

    def offer(
        self,
        pairs: Sequence[tuple[str, str]],
        outcomes: Sequence[Score | RequestError],
        against: str,
    ) -> None:
        """Take a copy of an answer if there is room for it. Never waits, and never fails."""
        scored = [
            (pair, outcome)
            for pair, outcome in zip(pairs, outcomes, strict=True)
            if isinstance(outcome, Score)
        ]
        with self._lock:
            fits = self._pairs + len(scored) <= MOST_PAIRS
            if fits:
                self._pairs += len(scored)
        if not fits:
            self._dropped(len(scored))
            return
        span = get_current_span().get_span_context()
        for at in range(0, len(scored), _AT_ONCE):
            some = scored[at : at + _AT_ONCE]
            self._copies.append(
                Copy([pair for pair, _ in some], [was for _, was in some], against, span)
            )

    def waiting(self) -> int:
        """Pairs that wait."""
        return self._pairs

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            while self._copies and self._idle() and not self._stop.is_set():
                copy = self._copies.popleft()
                try:
                    self._score(copy)
                except Exception:
                    # Of no concern to any client; and the next copy may do better.
                    log.exception("shadow failed", extra={"pairs": len(copy.pairs)})
                finally:
                    with self._lock:
                        self._pairs -= len(copy.pairs)

    def _score(self, copy: Copy) -> None:
        model = self._engine.model
        if model is None:
            return
        tokenized = model.tokenizer.encode(copy.pairs)
        # What one vocabulary can read another may not.
        readable = [index for index, tokens in enumerate(tokenized) if tokens.is_readable]
        if not readable:
            return
        with self._span(copy, model) as span:
            job = Job([tokenized[index] for index in readable], labels=len(model.checkpoint.labels))
            self._queue.put(job)
            if not job.wait(_PATIENCE_SECONDS):
                self._dropped(len(readable))
                return
            agreed = self._compare(model, copy, readable, job)
            span.set_attribute("mgeo.shadow.agreed", agreed)

    @contextlib.contextmanager
    def _span(self, copy: Copy, model: Model) -> Iterator[Span]:
        """A span in the trace of the request that is copied, if that is sampled; after its end."""
        if not copy.span.trace_flags.sampled:
            yield INVALID_SPAN
            return
        span = self._tracer.start_span(
            "shadow",
            context=set_span_in_context(NonRecordingSpan(copy.span)),
            links=[Link(copy.span)],
            attributes={
                "mgeo.model_version": model.checkpoint.version,
                "mgeo.pairs": len(copy.pairs),
            },
        )
        with use_span(span, end_on_exit=True):
            yield span

    def _compare(self, model: Model, copy: Copy, readable: Sequence[int], job: Job) -> int:
        """Record what this model says beside what was answered; returns how often they agree."""
        version = model.checkpoint.version
        of_both = {"model_version": version, "against": copy.against}
        labels: Counter[tuple[str, str]] = Counter()
        rows = job.probabilities.tolist()
        for place, index in enumerate(readable):
            if place in job.errors:  # counted by the engine
                continue
            mine = score.of(Result(tuple(rows[place]), False), model.checkpoint.labels)
            answered = copy.scores[index]
            labels[mine.label, answered.label] += 1
            shift = abs(mine.similarity - answered.similarity)
            self._instruments.shadow_shift.record(shift, of_both)
        for (label, against_label), count in labels.items():
            self._instruments.shadow_prediction.add(
                count, {**of_both, "label": label, "against_label": against_label}
            )
        return sum(count for (label, other), count in labels.items() if label == other)

    def _dropped(self, pairs: int) -> None:
        model = self._engine.model
        version = model.checkpoint.version if model else ""
        self._instruments.shadow_dropped.add(pairs, {"model_version": version})
