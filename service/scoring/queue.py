"""The queue of pairs that wait for the model, and the lock around it.

`admission.py` decides what may join it, and `batching.py` which pairs make the next batch. A pair
that nobody waits for any more is never handed out. Equal pairs are computed once: a request joins a
pair that is already waiting or being computed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.errors import QueueFull, RequestError, TooLarge
from service.scoring.admission import Admission
from service.scoring.backends.layout import Padding
from service.scoring.batching import INTERACTIVE_PAIRS, RETURN_SECONDS, Lanes, share
from service.scoring.cache import PairResult, ResultCache
from service.scoring.events import Batch
from service.scoring.job import Item, Job

_FEWEST_TOKENS = 5
"""Of any pair: one of text for each address, and the three that the model adds."""


class QueueClosed(Exception):
    """The queue takes no more: its engine stops. Another one may take the pairs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What waits in a queue without what its clients have given up, as the metrics have it.

    Attributes:
        pairs: Number of pairs.
        tokens: Their tokens, without padding.
        oldest_age: Seconds that the oldest of them has waited; 0 when there is none.
    """

    pairs: int
    tokens: int
    oldest_age: float


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
        self._cache = cache
        self._dropped = dropped
        self._lanes = Lanes()
        self._under_way: dict[bytes, Item] = {}
        self._admission = Admission(self._lanes, max_pairs, max_tokens)
        # Threads whose last batch was interactive.
        self._interactive: set[int] = set()
        self._tidied = False
        # Taken directly where nobody waits: a condition's own methods are Python code.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closed = False
        self._failure: RequestError | None = None

    def put(self, job: Job) -> int:
        """Have all pairs of a job computed.

        Returns:
            How many of them are computed anyway, for this job or another one.

        Raises:
            RequestError: The queue was aborted.
            QueueClosed: It was closed.
            TooLarge: They are more than the queue ever takes.
            QueueFull: They do not fit now.
            TooLate: At the model's pace they would not be scored before the job expires.
        """
        interactive = len(job.pairs) <= INTERACTIVE_PAIRS
        # Longest first within the job: neighbours share a batch, and equal lengths need no padding.
        order = sorted(range(len(job.pairs)), key=lambda i: -len(job.pairs[i].ids))
        with self._lock:
            if self._failure is not None:
                raise type(self._failure)(str(self._failure))
            if self._closed:
                raise QueueClosed
            results = self._results(job)
            new = self._lengths_of_new(job, results, interactive=interactive)
            if len(new) > self._admission.max_pairs or sum(new) > self._admission.max_tokens:
                raise TooLarge(
                    f"{len(new)} pairs of {sum(new)} tokens in all are more than the queue takes: "
                    f"{self._admission.limits()}; send fewer at a time"
                )
            if new and (
                refused := self._refusal(
                    len(new), sum(new), job.expires_ns, interactive=interactive
                )
            ):
                raise refused
            before = self._lanes.depth()
            for index in order:
                self._append(job, index, results, interactive=interactive)
            self._changed.notify()
            return len(order) - (self._lanes.depth() - before)

    def _results(self, job: Job) -> dict[bytes, PairResult]:
        """Those of a job's pairs that came since it asked the cache, before it was tokenised."""
        if self._cache is None:
            return {}
        keys = {key for key in job.keys if key is not None}
        return {key: found for key in keys if (found := self._cache.get(key)) is not None}

    def _lengths_of_new(
        self, job: Job, results: Mapping[bytes, PairResult], *, interactive: bool
    ) -> list[int]:
        """Tokens of each pair of a job that needs a place in a lane; equal ones need one place."""
        seen: set[bytes] = set()
        lengths = []
        for pair, key in zip(job.pairs, job.keys, strict=True):
            if key is not None:
                if key in seen:
                    continue
                seen.add(key)
                if key in results or self._is_joined(self._under_way.get(key), interactive):
                    continue
            lengths.append(len(pair.ids))
        return lengths

    def put_back(self, items: Sequence[Item]) -> None:
        """Have pairs wait again that a batch could not compute, before all others of their lane."""
        with self._lock:
            for item in items:
                item.is_waiting, item.batch = True, None
            self._lanes.push(items)
            self._changed.notify()

    def would_refuse(self, expires_ns: float, pairs_ahead: int = 0) -> RequestError | None:
        """Why `put` would refuse even the smallest job now. It never waits for the lock.

        So each number is read as a whole, but no two need be of the same moment.

        Args:
            expires_ns: When nobody waits for it any more.
            pairs_ahead: Pairs that will come before it and are not here yet; taken for as long as
                those that are.
        """
        depth = self._lanes.depth()
        tokens = _FEWEST_TOKENS
        if pairs_ahead:
            tokens += pairs_ahead * (self.tokens() // depth if depth else _FEWEST_TOKENS)
        return self._refusal(1 + pairs_ahead, tokens, expires_ns, interactive=True)

    def take(self, budget: Callable[[], int], *, padding: Padding, streams: int = 1) -> list[Item]:
        """Wait for work and take the next batch; empty once the queue is closed and drained.

        By a thread that has done with the batch that it took before.

        Args:
            budget: Most tokens computed at once, by all streams, when the wait is over: another
                thread may run out of memory meanwhile. A single longer pair still goes.
            padding: What is computed besides the pairs' tokens.
            streams: How many threads take batches and compute them side by side.
        """
        with self._lock:
            thread = threading.get_ident()
            self._admission.computing.pop(thread, None)
            while True:
                self._changed.wait_for(lambda: self._lanes.depth() or self._closed)
                self._await_return(thread)
                self._tidied = False
                most = budget()
                self._admission.streams = streams
                self._admission.budget = most // streams
                now_ns = time.perf_counter_ns()
                idle = streams - len(self._admission.computing)
                pairs, tokens = self._lanes.depth(), self._lanes.tokens()
                own = share(most, streams=streams, idle=idle, pairs=pairs, tokens=tokens)
                batch, unwanted = self._lanes.next_batch(
                    own, padding=padding, now_ns=now_ns, seconds=self._admission.latency.batch
                )
                for item in batch:
                    item.is_waiting = False
                if batch:
                    tokens = sum(len(item.pair.ids) for item in batch)
                    self._admission.computing[thread] = (
                        now_ns + self._admission.latency.batch(tokens) * 1e9,
                        tokens,
                    )
                    if batch[0].interactive:
                        self._interactive.add(thread)
                self._drop(unwanted)
                if self._lanes.depth():
                    self._changed.notify()  # of what came at once, another thread takes the rest
                if batch or (self._closed and not self._lanes.depth()):
                    return batch

    def _await_return(self, thread: int) -> None:
        """Where bulk work alone waits, give the client that was just answered time to ask again.

        Only while another stream computes: the device is not to be idle for what may not come.
        """
        if thread not in self._interactive:
            return
        self._interactive.discard(thread)
        if self._admission.computing and not self._lanes.interactive.items:
            self._changed.notify()  # another thread may have nothing to do
            self._changed.wait_for(
                lambda: self._lanes.interactive.items or self._closed, RETURN_SECONDS
            )

    def begin(self, items: Sequence[Item], batch: Batch) -> None:
        """Note that `batch` computes these items now. A job that joins one later notes it too."""
        with self._lock:
            for item in items:
                item.batch = batch
                for job, _ in item.waiters:
                    job.begin(batch)

    def finish(self, items: Sequence[Item], rows: Sequence[Sequence[float]], now_ns: int) -> None:
        """Hand the items' results, one row each, to every job that waits for them."""
        results = [
            (item, PairResult.of(row, item.pair)) for item, row in zip(items, rows, strict=True)
        ]
        with self._lock:
            for item, result in results:
                if item.key is not None and self._cache is not None:
                    self._cache.put(item.key, result)
                self._forget(item)
        # Nobody can join them now. Without the lock, for a woken thread may need it next.
        for item, result in results:
            for job, index in item.waiters:
                job.put(index, result, now_ns)

    def fail(self, items: Sequence[Item], error: Exception) -> None:
        """Tell every job that waits for one of the items why there is no result."""
        with self._lock:
            for item in items:
                self._forget(item)
        now_ns = time.perf_counter_ns()
        for item in items:
            for job, index in item.waiters:
                job.fail(index, error, now_ns)

    def abort(self, error: RequestError) -> None:
        """Fail all that waits, and refuse all that comes: nobody will take it any more."""
        with self._lock:
            self._closed, self._failure = True, error
            waiting = self._lanes.clear()
            self._changed.notify_all()
        self.fail(waiting, error)

    def computed(self, tokens: int, seconds: float) -> None:
        """Note how fast a batch, or a part of one, was computed.

        Args:
            tokens: As they were computed, padding counted.
            seconds: How long that took.
        """
        with self._lock:
            self._admission.latency.observe(tokens, seconds)

    def done(self) -> None:
        """Note that the calling thread computes nothing more of the batch that it took."""
        with self._lock:
            self._admission.computing.pop(threading.get_ident(), None)

    @property
    def max_pairs(self) -> int:
        """Pairs that may wait."""
        return self._admission.max_pairs

    @property
    def max_tokens(self) -> int:
        """Tokens that may wait."""
        return self._admission.max_tokens

    def retry_after(self) -> int:
        """Seconds until what waits now will be done, 1 to 60: when to try again."""
        return self._admission.retry_after()

    def close(self) -> None:
        """Take no more, and have `take` return empty once nothing waits."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        """Pairs waiting."""
        return self._lanes.depth()

    def tokens(self) -> int:
        """Tokens waiting, without padding."""
        return self._lanes.tokens()

    def oldest_age(self) -> float:
        """Seconds that the oldest pair has waited; 0 when none waits."""
        with self._lock:
            oldest_ns = self._lanes.oldest_ns()
        return 0.0 if oldest_ns is None else (time.perf_counter_ns() - oldest_ns) / 1e9

    def wanted(self) -> Wanted:
        """What waits and is waited for: what is left of it will be computed."""
        now_ns = time.perf_counter_ns()
        with self._lock:
            items = [item for item in self._lanes.items() if item.is_wanted_at(now_ns)]
        oldest_ns = min((item.submitted_ns for item in items), default=now_ns)
        tokens = sum(len(item.pair.ids) for item in items)
        return Wanted(len(items), tokens, max(0.0, (now_ns - oldest_ns) / 1e9))

    def _refusal(
        self, pairs: int, tokens: int, expires_ns: float, *, interactive: bool
    ) -> RequestError | None:
        refused = self._admission.refusal(pairs, tokens, expires_ns, interactive=interactive)
        if isinstance(refused, QueueFull) and self._tidy():
            return self._admission.refusal(pairs, tokens, expires_ns, interactive=interactive)
        return refused

    def _tidy(self) -> bool:
        """Take out what nobody waits for: a full queue must not refuse others for its sake.

        Not while another thread has the lock; `put` has it itself. Once a batch at most: under
        overload each refusal would otherwise read the whole queue.

        Returns:
            Whether there was any.
        """
        if self._tidied or not self._lock.acquire(blocking=False):
            return False
        try:
            self._tidied = True
            unwanted = self._lanes.tidy(time.perf_counter_ns())
            self._drop(unwanted)
        finally:
            self._lock.release()
        return bool(unwanted)

    def _drop(self, unwanted: Sequence[Item]) -> None:
        for item in unwanted:
            self._forget(item)
            for job, _ in item.waiters:
                job.expire()  # what waits for it need not wait until its time is up
        # One without waiters was moved to the other lane.
        if dropped := sum(bool(item.waiters) for item in unwanted):
            self._dropped(dropped)

    def _append(
        self, job: Job, index: int, results: Mapping[bytes, PairResult], *, interactive: bool
    ) -> None:
        key = job.keys[index]
        if key is not None and (result := results.get(key)):
            job.put(index, result, time.perf_counter_ns())
            return
        known = None if key is None else self._under_way.get(key)
        if known is not None and self._is_joined(known, interactive):
            known.waiters.append((job, index))
            if known.batch:
                job.begin(known.batch)
            return
        item = Item(job, index, interactive=interactive)
        if known is not None:
            # It waits in the bulk lane, where this job would wait too long: moved to the front one.
            item.waiters += known.waiters
            item.submitted_ns = known.submitted_ns
            known.waiters = []
        if key is not None:
            self._under_way[key] = item
        self._lanes.append(item)

    @staticmethod
    def _is_joined(known: Item | None, interactive: bool) -> bool:
        """Whether a pair needs no place in a lane. The interactive do not wait in the bulk one."""
        return known is not None and (not known.is_waiting or known.interactive or not interactive)

    def _forget(self, item: Item) -> None:
        if item.key is not None and self._under_way.get(item.key) is item:
            del self._under_way[item.key]
