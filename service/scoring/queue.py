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

from service.errors import QueueFull
from service.scoring.cache import Result, ResultCache
from service.scoring.job import Batch, Item, Job

INTERACTIVE_PAIRS = 8
"""A job of at most this many pairs, about one batch on a CPU, is interactive; a larger one bulk."""

_LONGEST_RETRY_SECONDS = 60

BULK_TURN = 4
"""One batch in this many is bulk while both lanes have work: slowed down, never starved."""


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
