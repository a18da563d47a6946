"""Pairs waiting for the model, and which of them make the next batch. No threads but its lock.

There are two lanes, so that a request of many pairs does not hold up those of one: a batch comes
from the interactive lane if that has work, except that one in `BULK_TURN` is the bulk lane's. In a
lane, a batch starts with the pair that has waited longest and takes those behind it while the
padded batch stays within the token budget. The engine never waits for a batch to fill: while it
computes, the next one gathers.

Equal pairs under way are computed once: a pair that is already waiting or being computed is joined.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry.trace import Span, get_current_span

from service.errors import QueueFull
from service.scoring.backends import Probabilities
from service.scoring.cache import Result, ResultCache
from service.scoring.tokens import TokenizedPair

INTERACTIVE_PAIRS = 8
"""A job of at most this many pairs, about one batch on a CPU, is interactive; a larger one bulk."""

_LONGEST_RETRY_SECONDS = 60

BULK_TURN = 4
"""One batch in this many is bulk while both lanes have work: slowed down, never starved."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One forward pass, as the requests in it report it.

    Attributes:
        shape: Its size and tokens.
        started_ns: Monotonic time at which it began.
        span: Its span, if one of its requests is sampled.
    """

    shape: dict[str, int]
    started_ns: int
    span: Span | None


class Job:
    """The pairs of one request, and the place where their results are put.

    The engine's thread fills it; the request's thread waits on it.

    Args:
        pairs: What to score, in the request's order.
        labels: Length of a result.
        keys: The cache's key of each pair, or none if equal pairs are to be computed each.

    Attributes:
        pairs: As given.
        keys: As given, None for each pair without one.
        probabilities: Shape [pairs, labels]; complete once `wait` has returned True.
        error: What the engine raised on one of the pairs.
        submitted_ns: Monotonic time of submission.
        started_ns: Monotonic time at which the first of its batches began to compute.
        finished_ns: Monotonic time at which its last result was there.
        span: The request's span, which the span of each batch links to.
        batches: The batches that computed its pairs.
    """

    __slots__ = (
        "_abandoned", "_done", "_remaining", "batches", "error", "finished_ns", "keys", "pairs",
        "probabilities", "span", "started_ns", "submitted_ns",
    )  # fmt: skip

    def __init__(
        self, pairs: Sequence[TokenizedPair], labels: int, keys: Sequence[bytes] = ()
    ) -> None:
        self.pairs = pairs
        self.keys: Sequence[bytes | None] = keys or [None] * len(pairs)
        self.span = get_current_span().get_span_context()
        self.batches: list[Batch] = []
        self.probabilities: Probabilities = np.empty((len(pairs), labels), dtype=np.float32)
        self.error: Exception | None = None
        self.submitted_ns = time.perf_counter_ns()
        self.started_ns = 0
        self.finished_ns = 0
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

    def begin(self, batch: Batch) -> None:
        """Note a batch that computes pairs of this job."""
        # A job that joins a batch under way does not wait: it began when it was submitted.
        self.started_ns = self.started_ns or max(batch.started_ns, self.submitted_ns)
        if not self.batches or self.batches[-1] is not batch:
            self.batches.append(batch)

    def put(self, index: int, probabilities: Sequence[float], now_ns: int) -> None:
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


class Item:
    """One pair to compute, and every place that its result goes to.

    Attributes:
        pair: The pair itself.
        key: The cache's key of it, or None if equal pairs are computed each.
        takers: The jobs that hold it, with its index there.
        submitted_ns: Monotonic time at which the first of them was submitted.
        interactive: Whether its lane is the interactive one.
        is_waiting: Whether no batch has taken it yet.
        batch: The batch that computes it, once there is one.
    """

    __slots__ = ("batch", "interactive", "is_waiting", "key", "pair", "submitted_ns", "takers")

    def __init__(self, job: Job, index: int, *, interactive: bool) -> None:
        self.pair = job.pairs[index]
        self.key = job.keys[index]
        self.takers = [(job, index)]
        self.submitted_ns = job.submitted_ns
        self.interactive = interactive
        self.is_waiting = True
        self.batch: Batch | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether a request still waits for it."""
        return any(job.is_wanted for job, _ in self.takers)


class PairQueue:
    """A bounded queue of pairs that hands out batches.

    Args:
        max_pairs: Pairs that may wait; a job that does not fit as a whole is refused.
        cache: Given the results of pairs that have a key, and asked for them.
    """

    def __init__(self, *, max_pairs: int, cache: ResultCache | None = None) -> None:
        self.max_pairs = max_pairs
        self._cache = cache
        self._interactive: deque[Item] = deque()
        self._bulk: deque[Item] = deque()
        self._under_way: dict[bytes, Item] = {}
        self._since_bulk = 0
        self._rate = 0.0
        self._changed = threading.Condition()
        self._closed = False

    def put(self, job: Job) -> int:
        """Have all pairs of a job computed.

        Returns:
            How many of them are computed anyway, for this job or another one.

        Raises:
            QueueFull: They do not fit; nothing was appended.
        """
        interactive = len(job.pairs) <= INTERACTIVE_PAIRS
        # Longest first within the job: neighbours share a batch, and equal lengths need no padding.
        order = sorted(range(len(job.pairs)), key=lambda i: -len(job.pairs[i].ids))
        with self._changed:
            new = sum(not self._is_joined(self._known(key), interactive) for key in job.keys)
            if self.depth() + new > self.max_pairs:
                raise QueueFull(
                    f"{self.depth()} pairs are waiting; the limit is {self.max_pairs}",
                    retry_after=self._seconds_to_drain(),
                )
            before = self.depth()
            for index in order:
                self._append(job, index, interactive=interactive)
            self._changed.notify()
            return len(order) - (self.depth() - before)

    def take(self, budget: int) -> list[Item]:
        """Wait for work and take the next batch; empty once the queue is closed and drained.

        Args:
            budget: Most tokens in the batch, padding counted. A single longer pair still goes.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self.depth() or self._closed)
                batch = self._next_batch(budget)
                if batch or (self._closed and not self.depth()):
                    return batch

    def begin(self, items: Sequence[Item], batch: Batch) -> None:
        """Note that `batch` computes these items now; whoever joins one later is told as well."""
        with self._changed:
            for item in items:
                item.batch = batch
                for job, _ in item.takers:
                    job.begin(batch)

    def finish(self, items: Sequence[Item], rows: Sequence[Sequence[float]], now_ns: int) -> None:
        """Hand the items' results, one row each, to every job that waits for them."""
        with self._changed:
            for item, row in zip(items, rows, strict=True):
                if item.key is not None and self._cache is not None:
                    self._cache.put(item.key, Result(tuple(row), item.pair.truncated))
                self._forget(item)
        # Nobody joins them any more: the jobs are woken without the lock, which they may take next.
        for item, row in zip(items, rows, strict=True):
            for job, index in item.takers:
                job.put(index, row, now_ns)

    def fail(self, items: Sequence[Item], error: Exception) -> None:
        """End every job that waits for one of the items with an error."""
        with self._changed:
            for item in items:
                self._forget(item)
        for item in items:
            for job, _ in item.takers:
                job.fail(error)

    def computed(self, pairs: int, seconds: float) -> None:
        """Note how fast a batch was: what `Retry-After` is reckoned from."""
        rate = pairs / max(seconds, 1e-6)
        # A moving average over about the last ten batches: one odd one does not show.
        self._rate += (rate - self._rate) * (0.1 if self._rate else 1.0)

    def close(self) -> None:
        """Have `take` return empty once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        """Pairs waiting."""
        return len(self._interactive) + len(self._bulk)

    def oldest_age(self) -> float:
        """Seconds that the oldest pair has waited; 0 when none waits."""
        with self._changed:
            first = [lane[0].submitted_ns for lane in (self._interactive, self._bulk) if lane]
            return (time.perf_counter_ns() - min(first)) / 1e9 if first else 0.0

    def _seconds_to_drain(self) -> int:
        seconds = self.depth() / self._rate if self._rate else 1.0
        return max(1, min(_LONGEST_RETRY_SECONDS, math.ceil(seconds)))

    def _append(self, job: Job, index: int, *, interactive: bool) -> None:
        key = job.keys[index]
        known = self._known(key)
        if isinstance(known, Result):
            job.put(index, known.probabilities, time.perf_counter_ns())
            return
        if known is not None and self._is_joined(known, interactive):
            known.takers.append((job, index))
            if known.batch:
                job.begin(known.batch)
                if known.batch.span and job.span.trace_flags.sampled:
                    known.batch.span.add_link(job.span)
            return
        item = Item(job, index, interactive=interactive)
        if known is not None:
            # It waits in the bulk lane, where this job would wait too long: moved to the front one.
            item.takers += known.takers
            item.submitted_ns = known.submitted_ns
            known.takers = []
        if key is not None:
            self._under_way[key] = item
        (self._interactive if interactive else self._bulk).append(item)

    def _known(self, key: bytes | None) -> Item | Result | None:
        """Who computes this pair already, or its result."""
        if key is None:
            return None
        if (item := self._under_way.get(key)) is not None:
            return item
        # Asked already, before tokenising; but the result may have come since.
        return self._cache.get(key) if self._cache is not None else None

    @staticmethod
    def _is_joined(known: Item | Result | None, interactive: bool) -> bool:
        """Whether a pair needs no place in a lane. The interactive do not wait in the bulk one."""
        if isinstance(known, Item):
            return not known.is_waiting or known.interactive or not interactive
        return known is not None

    def _forget(self, item: Item) -> None:
        if item.key is not None and self._under_way.get(item.key) is item:
            del self._under_way[item.key]

    def _next_batch(self, budget: int) -> list[Item]:
        bulk_turn = not self._interactive or self._since_bulk + 1 >= BULK_TURN
        lane = self._bulk if self._bulk and bulk_turn else self._interactive
        self._since_bulk = 0 if lane is self._bulk or not self._bulk else self._since_bulk + 1
        batch: list[Item] = []
        longest = 0
        while lane:
            item = lane[0]
            if item.is_wanted:
                longest = max(longest, len(item.pair.ids))
                if batch and longest * (len(batch) + 1) > budget:
                    break
                batch.append(item)
                item.is_waiting = False
            else:
                self._forget(item)
            lane.popleft()
        return batch
