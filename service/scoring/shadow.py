"""A model that is shown a copy of the traffic, and answers nobody.

A request's thread leaves a copy of its pairs and answers here, which takes a microsecond, and goes
its way. The copies are scored a few pairs at a time, while every model that answers is idle, on one
thread of the lowest priority that the system has (`backends/background.py`). What does not fit in
the meantime is dropped and counted: the comparison is then of a sample.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from service.errors import RequestError
from service.scoring import refusal, score
from service.scoring.batching import INTERACTIVE_PAIRS
from service.scoring.engine import Engine
from service.scoring.events import Compared, Events, ShadowPass
from service.scoring.job import Job
from service.scoring.model import LoadedModel
from service.scoring.queue import PairQueue
from service.scoring.score import Score

log = logging.getLogger(__name__)

MOST_PAIRS = 1024
"""Pairs that may wait: at most about 2 MB of addresses of 512 characters."""

_AT_ONCE = INTERACTIVE_PAIRS
"""Pairs of one pass, so that a request that comes meanwhile finds little under way."""

_LOOK_SECONDS = 0.25
"""How often it is seen whether there is something to do. Waking another thread would cost the
request's; and what has gathered meanwhile shares a pass, whose Python holds up others once."""

_PATIENCE_SECONDS = 60.0
"""For one pass: a thread of the lowest priority gets little of a busy machine."""


class Copy(NamedTuple):
    """A pair that was answered, and by whom.

    Attributes:
        pair: The addresses.
        answered: What the answer said of them.
        against: The version that answered.
        trace: Trace context of the request.
    """

    pair: tuple[str, str]
    answered: Score
    against: str
    trace: Any


class Shadow:
    """Scores copies by one model, and compares.

    Args:
        engine: Has the model.
        queue: The engine's.
        idle: Whether every model that answers is idle.
        events: Told of the comparison.
    """

    def __init__(
        self, engine: Engine, queue: PairQueue, idle: Callable[[], bool], events: Events
    ) -> None:
        self._engine, self._queue, self._idle = engine, queue, idle
        self._events = events
        self._copies: deque[Copy] = deque()
        self._under_way = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Begin to score copies."""
        self._thread.start()

    def compares_with(self, versions: Sequence[str]) -> None:
        """Begin the series of comparisons with versions that answer."""
        if model := self._engine.model:
            for version in versions:
                self._events.compares(model.checkpoint.version, version, model.checkpoint.labels)

    def stop(self) -> None:
        """Take nothing more, and drop what waits, after the pass under way."""
        self._stop.set()

    def offer(
        self,
        pairs: Sequence[tuple[str, str]],
        outcomes: Sequence[Score | RequestError],
        against: str,
        trace: Any = None,
    ) -> None:
        """Take a copy of an answer if there is room for it. Never waits, and never fails.

        Once it has stopped there is nothing to compare: what it is not shown is not counted.
        """
        if self._stop.is_set():
            return
        copies = [
            Copy(pair, outcome, against, trace)
            for pair, outcome in zip(pairs, outcomes, strict=True)
            if isinstance(outcome, Score)
        ]
        if len(self._copies) + len(copies) > MOST_PAIRS:
            self._dropped(len(copies))
        else:
            self._copies.extend(copies)

    def waiting(self) -> int:
        """Pairs that wait or are being scored."""
        return len(self._copies) + self._under_way

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            while self._copies and self._idle() and not self._stop.is_set():
                self._under_way = min(len(self._copies), _AT_ONCE)
                copies = [self._copies.popleft() for _ in range(self._under_way)]
                try:
                    self._score(copies)
                except Exception:
                    # Of no concern to any client; and the next copies may do better.
                    log.exception("shadow failed", extra={"pairs": len(copies)})
                finally:
                    self._under_way = 0
        # Without room: a request's thread that saw it running a moment ago leaves no addresses.
        self._copies = deque(maxlen=0)

    def _score(self, copies: Sequence[Copy]) -> None:
        model = self._engine.model
        if model is None:
            return
        tokenized = model.tokenizer.encode([copy.pair for copy in copies])
        # What one vocabulary can read another may not.
        readable = [
            place
            for place, tokens in enumerate(tokenized)
            if refusal.of(copies[place].pair, tokens) is None
        ]
        if not readable:
            return
        shown = ShadowPass(model.checkpoint.version, len(copies), [copy.trace for copy in copies])
        with self._events.shadow_pass(shown):
            job = Job([tokenized[place] for place in readable], trace=shown.trace)
            self._queue.put(job)
            if not job.wait(_PATIENCE_SECONDS):
                self._dropped(len(readable))
                return
            shown.agreed = self._compare(model, [copies[place] for place in readable], job)

    def _compare(self, model: LoadedModel, copies: Sequence[Copy], job: Job) -> int:
        """Record what this model says beside what was answered; returns how often they agree."""
        agreed = 0
        for place, copy in enumerate(copies):
            if place in job.errors:  # counted by the engine
                continue
            mine = score.of(job.results[place], model.checkpoint.labels)
            self._events.compared(
                Compared(
                    model.checkpoint.version, mine.label, copy.against, copy.answered.label,
                    abs(mine.similarity - copy.answered.similarity),
                )
            )  # fmt: skip
            agreed += mine.label == copy.answered.label
            # A request's thread that waits for the interpreter gets it now, not when this is done.
            time.sleep(0)
        return agreed

    def _dropped(self, pairs: int) -> None:
        model = self._engine.model
        version = model.checkpoint.version if model else ""
        self._events.shadow_dropped(pairs, version)
