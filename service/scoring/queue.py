"""Pairs waiting for the model, and which of them make the next batch. No threads but its lock.

There are two lanes, so that a request of many pairs does not hold up those of one: a batch comes
from the interactive lane if that has work, except that one in `BULK_TURN` is the bulk lane's. In a
lane, a batch starts with the pair that has waited longest and takes those behind it while the
padded batch stays within the token budget. The engine never waits for a batch to fill: while it
computes, the next one gathers.

What comes in is bounded in pairs and in tokens, and only taken if it can be done in its time. What
nobody waits for any more is never handed out.

Equal pairs under way are computed once: a pair that is already waiting or being computed is joined.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from service.errors import QueueFull, RequestError, TooLarge, TooLate
from service.scoring.cache import Result, ResultCache
from service.scoring.job import Batch, Item, Job
from service.scoring.pace import Pace

INTERACTIVE_PAIRS = 8
"""A job of at most this many pairs, about one batch on a CPU, is interactive; a larger one bulk."""

_LONGEST_RETRY_SECONDS = 60

BULK_TURN = 4
"""One batch in this many is bulk while both lanes have work: slowed down, never starved."""


_FEWEST_TOKENS = 5
"""Of any pair: one of text for each address, and the three that the model adds."""


class _Lane:
    """Items in the order in which they are computed, and their tokens."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.tokens = 0

    def append(self, item: Item) -> None:
        self.items.append(item)
        self.tokens += len(item.pair.ids)

    def pop(self) -> Item:
        item = self.items.popleft()
        self.tokens -= len(item.pair.ids)
        return item


class PairQueue:
    """A bounded queue of pairs that hands out batches.

    Args:
        max_pairs: Pairs that may wait; a job that does not fit as a whole is refused.
        max_tokens: Tokens that may wait, likewise.
        cache: Given the results of pairs that have a key, and asked for them.
        dropped: Told of the number of pairs taken out because nobody waits for them.
    """

    def __init__(
        self,
        *,
        max_pairs: int,
        max_tokens: int,
        cache: ResultCache | None = None,
        dropped: Callable[[int], None] = lambda pairs: None,
    ) -> None:
        self.max_pairs, self.max_tokens = max_pairs, max_tokens
        self._cache = cache
        self._dropped = dropped
        self._interactive, self._bulk = _Lane(), _Lane()
        self._under_way: dict[bytes, Item] = {}
        self._since_bulk = 0
        self._pace, self._budget = Pace(), 1
        self._tidied = True
        self._changed = threading.Condition()
        self._closed = False
        self._failure: RequestError | None = None

    def put(self, job: Job) -> int:
        """Have all pairs of a job computed.

        Returns:
            How many of them are computed anyway, for this job or another one.

        Raises:
            RequestError: The queue was aborted.
            TooLarge: They are more than the queue ever takes.
            QueueFull: They do not fit now.
            TooLate: At the model's pace they would not be scored before the job expires.
        """
        interactive = len(job.pairs) <= INTERACTIVE_PAIRS
        # Longest first within the job: neighbours share a batch, and equal lengths need no padding.
        order = sorted(range(len(job.pairs)), key=lambda i: -len(job.pairs[i].ids))
        with self._changed:
            if self._failure is not None:
                raise type(self._failure)(str(self._failure))
            new = [
                len(pair.ids)
                for pair, key in zip(job.pairs, job.keys, strict=True)
                if not self._is_joined(self._known(key), interactive)
            ]
            if new:
                self._admit(len(new), sum(new), job.expires_ns, interactive=interactive)
            before = self.depth()
            for index in order:
                self._append(job, index, interactive=interactive)
            self._changed.notify()
            return len(order) - (self.depth() - before)

    def check(self, expires_ns: float) -> None:
        """Refuse early, before any work, what `put` would refuse even of the smallest job.

        Raises:
            QueueFull: Not one more pair fits.
            TooLate: The shortest pair would not be scored in time.
        """
        with self._changed:
            self._admit(1, _FEWEST_TOKENS, expires_ns, interactive=True)

    def take(self, budget: int) -> list[Item]:
        """Wait for work and take the next batch; empty once the queue is closed and drained.

        Args:
            budget: Most tokens in the batch, padding counted. A single longer pair still goes.
        """
        with self._changed:
            self._budget = budget
            while True:
                self._changed.wait_for(lambda: self.depth() or self._closed)
                self._tidied = False
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
        """Tell every job that waits for one of the items why there is no result."""
        with self._changed:
            for item in items:
                self._forget(item)
        now_ns = time.perf_counter_ns()
        for item in items:
            for job, index in item.takers:
                job.fail(index, error, now_ns)

    def abort(self, error: RequestError) -> None:
        """Fail all that waits, and refuse all that comes: nobody will take it any more."""
        with self._changed:
            self._closed, self._failure = True, error
            waiting = [
                lane.pop()
                for lane in (self._interactive, self._bulk)
                for _ in range(len(lane.items))
            ]
        self.fail(waiting, error)

    def computed(self, tokens: int, seconds: float) -> None:
        """Note how fast a batch was, its tokens counted with padding."""
        with self._changed:
            self._pace.observe(tokens, seconds)

    def retry_after(self) -> int:
        """Seconds until what waits now will be done, 1 to 60: when to try again."""
        return _whole_seconds(self._pace.seconds(self.tokens(), self._budget))

    def close(self) -> None:
        """Have `take` return empty once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        """Pairs waiting."""
        return len(self._interactive.items) + len(self._bulk.items)

    def tokens(self) -> int:
        """Tokens waiting, without padding."""
        return self._interactive.tokens + self._bulk.tokens

    def oldest_age(self) -> float:
        """Seconds that the oldest pair has waited; 0 when none waits."""
        with self._changed:
            lanes = (self._interactive.items, self._bulk.items)
            first = [items[0].submitted_ns for items in lanes if items]
            return (time.perf_counter_ns() - min(first)) / 1e9 if first else 0.0

    def _admit(self, pairs: int, tokens: int, expires_ns: float, *, interactive: bool) -> None:
        limits = f"{self.max_pairs} pairs and {self.max_tokens} tokens"
        if pairs > self.max_pairs or tokens > self.max_tokens:
            raise TooLarge(
                f"{pairs} pairs of {tokens} tokens in all are more than the queue takes: {limits}; "
                "send fewer at a time"
            )
        if not self._fits(pairs, tokens):
            self._tidy()
        if not self._fits(pairs, tokens):
            raise QueueFull(
                f"{self.depth()} pairs of {self.tokens()} tokens in all are waiting; "
                f"the limit is {limits}",
                retry_after=self.retry_after(),
            )
        wait = self._pace.seconds(self._ahead(interactive) + tokens, self._budget)
        left = max((expires_ns - time.perf_counter_ns()) / 1e9, 0.0)
        if wait > left:
            raise TooLate(
                f"an answer would take about {wait:.1f} s, and {left:.1f} s are left for it",
                retry_after=_whole_seconds(wait - left),
            )

    def _fits(self, pairs: int, tokens: int) -> bool:
        return self.depth() + pairs <= self.max_pairs and self.tokens() + tokens <= self.max_tokens

    def _ahead(self, interactive: bool) -> int:
        """Tokens that are computed before those of a job that comes now."""
        if not interactive:
            return self.tokens()
        own = self._interactive.tokens
        return own + min(self._bulk.tokens, own // (BULK_TURN - 1))

    def _tidy(self) -> None:
        """Take out what nobody waits for: a full queue must not refuse others for its sake.

        Once a batch at most: under overload each refusal would otherwise read the whole queue.
        """
        if self._tidied:
            return
        self._tidied = True
        for lane in (self._interactive, self._bulk):
            for _ in range(len(lane.items)):
                item = lane.pop()
                if item.is_wanted:
                    lane.append(item)
                else:
                    self._drop(item)

    def _drop(self, item: Item) -> None:
        self._forget(item)
        if item.takers:  # else it was moved to the other lane
            self._dropped(1)

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
        bulk_turn = not self._interactive.items or self._since_bulk + 1 >= BULK_TURN
        lane = self._bulk if self._bulk.items and bulk_turn else self._interactive
        self._since_bulk = 0 if lane is self._bulk or not self._bulk.items else self._since_bulk + 1
        batch: list[Item] = []
        longest = 0
        while lane.items:
            item = lane.items[0]
            if item.is_wanted:
                longest = max(longest, len(item.pair.ids))
                if batch and longest * (len(batch) + 1) > budget:
                    break
                batch.append(item)
                item.is_waiting = False
            else:
                self._drop(item)
            lane.pop()
        return batch


def _whole_seconds(wait: float) -> int:
    return max(1, min(_LONGEST_RETRY_SECONDS, math.ceil(wait)))
