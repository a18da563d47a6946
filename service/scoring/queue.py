"""Pairs waiting for the model, and which of them make the next batch. No threads but its lock.

There are two lanes, so that a request of many pairs does not hold up those of one: a batch comes
from the interactive lane if that has work, except that one in `BULK_TURN` is the bulk lane's. In a
lane, a batch starts with the pair that has waited longest and takes those behind it while the
padded batch stays within the token budget. The engine never waits for a batch to fill: while it
computes, the next one gathers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry.trace import SpanContext, get_current_span

from service.errors import QueueFull
from service.scoring.backends import Probabilities
from service.scoring.tokens import TokenizedPair

INTERACTIVE_PAIRS = 8
"""A job of at most this many pairs, about one batch on a CPU, is interactive; a larger one bulk."""

BULK_TURN = 4
"""One batch in this many is bulk while both lanes have work: slowed down, never starved."""


class Job:
    """The pairs of one request, and the place where their results are put.

    The engine's thread fills it; the request's thread waits on it.

    Attributes:
        pairs: What to score, in the request's order.
        probabilities: Shape [pairs, labels]; complete once `wait` has returned True.
        error: What the engine raised on one of the pairs.
        submitted_ns: Monotonic time of submission.
        started_ns: Monotonic time at which the first of its batches began to compute.
        finished_ns: Monotonic time at which its last result was there.
        span: The request's span, which the span of each batch links to.
        batch: Size and tokens of its last batch, for the trace.
        batch_spans: The spans of its batches, which the request's compute stage links to.
    """

    __slots__ = (
        "_abandoned", "_done", "_remaining", "batch", "batch_spans", "error", "finished_ns",
        "pairs", "probabilities", "span", "started_ns", "submitted_ns",
    )  # fmt: skip

    def __init__(self, pairs: Sequence[TokenizedPair], labels: int) -> None:
        self.pairs = pairs
        self.span = get_current_span().get_span_context()
        self.batch_spans: list[SpanContext] = []
        self.probabilities: Probabilities = np.empty((len(pairs), labels), dtype=np.float32)
        self.error: Exception | None = None
        self.submitted_ns = time.perf_counter_ns()
        self.started_ns = 0
        self.finished_ns = 0
        self.batch: dict[str, int] = {}
        self._remaining = len(pairs)
        self._done = threading.Event()
        self._abandoned = False

    @property
    def is_wanted(self) -> bool:
        """Whether a request still waits for it."""
        return not self._abandoned and self.error is None

    def wait(self, timeout: float) -> bool:
        """Wait for all results, or an error, for at most `timeout` seconds.

        Returns:
            False when time ran out; what has not been computed by then never will be.
        """
        if self._done.wait(timeout):
            return True
        self._abandoned = True
        return False

    def put(self, index: int, probabilities: Probabilities, now_ns: int) -> None:
        """Set one pair's result."""
        self.probabilities[index] = probabilities
        self._remaining -= 1
        if not self._remaining:
            self.finished_ns = now_ns
            self._done.set()

    def fail(self, error: Exception) -> None:
        """End the job with an error."""
        self.error = error
        self.finished_ns = time.perf_counter_ns()
        self._done.set()


@dataclass(frozen=True, slots=True)
class Item:
    """One pair of a job."""

    job: Job
    index: int

    @property
    def pair(self) -> TokenizedPair:
        """The pair itself."""
        return self.job.pairs[self.index]


class PairQueue:
    """A bounded queue of pairs that hands out batches.

    Args:
        max_pairs: Pairs that may wait; a job that does not fit as a whole is refused.
    """

    def __init__(self, *, max_pairs: int) -> None:
        self.max_pairs = max_pairs
        self._interactive: deque[Item] = deque()
        self._bulk: deque[Item] = deque()
        self._since_bulk = 0
        self._ready = threading.Condition()
        self._closed = False

    def put(self, job: Job) -> None:
        """Append all pairs of a job.

        Raises:
            QueueFull: They do not fit; nothing was appended.
        """
        # Longest first within the job: neighbours share a batch, and equal lengths need no padding.
        order = sorted(range(len(job.pairs)), key=lambda i: -len(job.pairs[i].ids))
        lane = self._interactive if len(order) <= INTERACTIVE_PAIRS else self._bulk
        with self._ready:
            if self.depth() + len(order) > self.max_pairs:
                raise QueueFull(
                    f"{self.depth()} pairs are waiting; the limit is {self.max_pairs}",
                    retry_after=1,
                )
            lane.extend(Item(job, index) for index in order)
            self._ready.notify()

    def take(self, budget: int) -> list[Item]:
        """Wait for work and take the next batch; empty once the queue is closed and drained.

        Args:
            budget: Most tokens in the batch, padding counted. A single longer pair still goes.
        """
        with self._ready:
            while True:
                self._ready.wait_for(lambda: self.depth() or self._closed)
                batch = self._next_batch(budget)
                if batch or (self._closed and not self.depth()):
                    return batch

    def close(self) -> None:
        """Have `take` return empty once nothing waits."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def depth(self) -> int:
        """Pairs waiting."""
        return len(self._interactive) + len(self._bulk)

    def oldest_age(self) -> float:
        """Seconds that the oldest pair has waited; 0 when none waits."""
        with self._ready:
            first = [lane[0].job.submitted_ns for lane in (self._interactive, self._bulk) if lane]
            return (time.perf_counter_ns() - min(first)) / 1e9 if first else 0.0

    def _next_batch(self, budget: int) -> list[Item]:
        bulk_turn = not self._interactive or self._since_bulk + 1 >= BULK_TURN
        lane = self._bulk if self._bulk and bulk_turn else self._interactive
        self._since_bulk = 0 if lane is self._bulk or not self._bulk else self._since_bulk + 1
        batch: list[Item] = []
        longest = 0
        while lane:
            item = lane[0]
            if item.job.is_wanted:
                longest = max(longest, len(item.pair.ids))
                if batch and longest * (len(batch) + 1) > budget:
                    break
                batch.append(item)
            lane.popleft()
        return batch
