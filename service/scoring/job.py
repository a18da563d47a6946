"""The work of one request on its way through the queue: its pairs, and where their results go."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from service.scoring.cache import PairResult
from service.scoring.events import Batch
from service.scoring.tokens import TokenizedPair

NEVER = math.inf
"""The expiry of a job that may take for ever."""


class Job:
    """The pairs of one request, and the place where their results are put.

    The engine's threads fill it, each the pairs of its batch; the request's thread waits on it.

    Args:
        pairs: What to score, in the request's order.
        keys: The cache's key of each pair, or none if equal pairs are to be computed each.
        expires_ns: Monotonic time after which nobody waits for it, and it is not computed.
        trace: Trace context of the request.

    Attributes:
        pairs: As given.
        expires_ns: As given, or 0 once its time ran out.
        is_abandoned: Whether it was given up before its time ran out.
        keys: As given, None for each pair without one.
        results: Of each pair, by its index; once `wait` has returned True, of all but those in
            `errors`.
        errors: Why a pair has no result, by its index.
        submitted_ns: Monotonic time of submission.
        started_ns: Monotonic time at which the first of its batches began to compute.
        finished_ns: Monotonic time at which its last result was there.
        trace: As given.
        batches: The batches that computed its pairs.
    """

    __slots__ = (
        "_done", "_remaining", "_settling", "batches", "errors", "expires_ns", "finished_ns",
        "is_abandoned", "keys", "pairs", "results", "started_ns", "submitted_ns", "trace",
    )  # fmt: skip

    def __init__(
        self,
        pairs: Sequence[TokenizedPair],
        keys: Sequence[bytes] = (),
        expires_ns: float = NEVER,
        trace: Any = None,
    ) -> None:
        self.pairs = pairs
        self.expires_ns = expires_ns
        self.keys: Sequence[bytes | None] = keys or [None] * len(pairs)
        self.trace = trace
        self.batches: list[Batch] = []
        self.results: dict[int, PairResult] = {}
        self.errors: dict[int, Exception] = {}
        self.submitted_ns = time.perf_counter_ns()
        self.started_ns = 0
        self.finished_ns = 0
        self._remaining = len(pairs)
        # Several of the engine's threads may each settle a part of it at once.
        self._settling = threading.Lock()
        # Held until the last result is there. An Event does the same in Python code, on the way of
        # every request; this is one call into the interpreter at each end.
        self._done = threading.Lock()
        self._done.acquire()
        self.is_abandoned = False

    def is_wanted_at(self, now_ns: float) -> bool:
        """Whether a request will still wait for it then, as far as is known now."""
        return not self.is_abandoned and now_ns < self.expires_ns

    def wait(self, timeout: float) -> bool:
        """Wait until each pair has a result or an error, for at most `timeout` seconds.

        Returns:
            False when time ran out, or will before it can be done, or the job was abandoned; what
            has not been computed by then never will be.
        """
        if self._done.acquire(timeout=timeout):
            return not self._remaining
        self.expires_ns = 0
        return False

    def expire(self) -> None:
        """End the wait: it can no longer be done in time."""
        self.expires_ns = 0
        self._release()

    def abandon(self) -> None:
        """Give the job up: nobody waits for it any more."""
        if self._done.locked():
            self.is_abandoned = True
            self._release()

    def begin(self, batch: Batch) -> None:
        """Note a batch that computes pairs of this job, there too."""
        if not self.batches or self.batches[-1] is not batch:
            self.batches.append(batch)
            batch.requests.append(self.trace)
        # After its batch is there: a request's thread whose time runs out now may read both.
        # A job that joins a batch under way does not wait: it began when it was submitted.
        self.started_ns = self.started_ns or max(batch.started_ns, self.submitted_ns)

    def put(self, index: int, result: PairResult, now_ns: int) -> None:
        """Set one pair's result."""
        self.results[index] = result
        self._settle(now_ns)

    def fail(self, index: int, error: Exception, now_ns: int) -> None:
        """Set why one pair has no result."""
        self.errors[index] = error
        self._settle(now_ns)

    def _settle(self, now_ns: int) -> None:
        with self._settling:
            self._remaining -= 1
            is_last = not self._remaining
        if is_last:
            self.finished_ns = now_ns
            self._release()

    def _release(self) -> None:
        # A client may hang up as its last result comes: the second of the two finds it released.
        with contextlib.suppress(RuntimeError):
            self._done.release()


class Item:
    """One pair to compute, and every place that its result goes to.

    Attributes:
        pair: The pair itself.
        key: The cache's key of it, or None if equal pairs are computed each.
        waiters: The jobs that hold it, with its index there.
        submitted_ns: Monotonic time at which the first of them was submitted.
        interactive: Whether its lane is the interactive one.
        is_waiting: Whether no batch has taken it yet.
        batch: The batch that computes it, once there is one.
    """

    __slots__ = ("batch", "interactive", "is_waiting", "key", "pair", "submitted_ns", "waiters")

    def __init__(self, job: Job, index: int, *, interactive: bool) -> None:
        self.pair = job.pairs[index]
        self.key = job.keys[index]
        self.waiters = [(job, index)]
        self.submitted_ns = job.submitted_ns
        self.interactive = interactive
        self.is_waiting = True
        self.batch: Batch | None = None

    def is_wanted_at(self, now_ns: float) -> bool:
        """Whether a request will still wait for it then, as far as is known now."""
        return any(job.is_wanted_at(now_ns) for job, _ in self.waiters)
