"""Whether more may wait for the model: what fits into the queue, and what would be done in time.

How long a batch takes is learnt from those that were computed. `Admission` reads the lanes and owns
no lock: that is the queue's.
"""

from __future__ import annotations

import math
import time

from service.errors import QueueFull, RequestError, TooLate
from service.scoring.batching import Lanes

_LONGEST_RETRY_SECONDS = 60

_CAUTION = 1.25
"""Safety factor on the estimated wait: a batch may be slower than the last ones, and an answer has
to be written and sent."""


_WEIGHT = 0.1
"""Weight of the newest batch: about the last ten count, so that a single odd one has no effect."""


class LatencyModel:
    """The time of a batch as a straight line, `fixed + per_token * tokens`, through recent ones.

    Both parts matter. On a CPU nearly all of the time is per token. On a GPU nearly all is fixed: a
    rate in pairs a second, learnt from single pairs, would overestimate a queue tenfold. If the
    batches so far do not tell the two apart, all counts as fixed: an estimate that is too low
    refuses nobody who could be served.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._tokens = self._seconds = 0.0
        self._variance = self._covariance = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """Note that a batch of `tokens`, padding counted, took `seconds`."""
        self._batches += 1
        weight = max(_WEIGHT, 1 / self._batches)
        off_tokens, off_seconds = tokens - self._tokens, seconds - self._seconds
        self._tokens += weight * off_tokens
        self._seconds += weight * off_seconds
        self._variance = (1 - weight) * (self._variance + weight * off_tokens**2)
        self._covariance = (1 - weight) * (self._covariance + weight * off_tokens * off_seconds)

    def seconds(self, tokens: int, budget: int, last: int = 0, streams: int = 1) -> float:
        """Expected time for `tokens` in batches of up to `budget`; 0 before the first batch.

        Args:
            tokens: All of them.
            budget: Most tokens in a batch.
            last: The last batch holds at least as many: others may join it.
            streams: Batches that are computed side by side.
        """
        if not tokens:
            return 0.0
        before, rest = divmod(tokens - 1, max(budget, 1))
        return before * self.batch(budget) / streams + self.batch(max(rest + 1, min(last, budget)))

    def batch(self, tokens: int) -> float:
        """Expected time of one batch; 0 before the first one."""
        if not self._batches:
            return 0.0
        per_token, variance = 0.0, self._variance  # once: another thread may be observing
        if variance:
            steepest = self._seconds / self._tokens
            per_token = min(max(self._covariance / variance, 0.0), steepest)
        return self._seconds + per_token * (tokens - self._tokens)


class Admission:
    """Decides what may join the queue.

    Args:
        lanes: What waits.
        max_pairs: Pairs that may wait.
        max_tokens: Tokens that may wait.

    Attributes:
        max_pairs: As given.
        max_tokens: As given.
        latency: How long the model takes.
        budget: Tokens of a full batch.
        streams: Batches computed side by side.
        computing: Of each thread that computes: until when, and how many tokens.
    """

    def __init__(self, lanes: Lanes, max_pairs: int, max_tokens: int) -> None:
        self._lanes, self.max_pairs, self.max_tokens = lanes, max_pairs, max_tokens
        self.latency, self.budget, self.streams = LatencyModel(), 1, 1
        self.computing: dict[int, tuple[float, int]] = {}

    def fits(self, pairs: int, tokens: int) -> bool:
        """Whether the queue has room for this many more pairs and tokens."""
        return (
            self._lanes.depth() + pairs <= self.max_pairs
            and self._lanes.tokens() + tokens <= self.max_tokens
        )

    def refusal(
        self, pairs: int, tokens: int, expires_ns: float, *, interactive: bool
    ) -> RequestError | None:
        """Why a job is refused: it does not fit, or would miss its deadline. None if it may wait.

        Args:
            pairs: Its pairs.
            tokens: Tokens of its pairs.
            expires_ns: Its deadline, in monotonic time.
            interactive: Whether it is in the interactive lane.
        """
        if not self.fits(pairs, tokens):
            return QueueFull(
                f"{self._lanes.depth()} pairs of {self._lanes.tokens()} tokens in all are waiting; "
                f"the limit is {self.limits()}",
                retry_after=self.retry_after(),
            )
        wait = self._wait(tokens, interactive=interactive)
        left = max((expires_ns - time.perf_counter_ns()) / 1e9, 0.0)
        if wait <= left:
            return None
        return TooLate(
            f"an answer would take about {_said(wait)}, and {_said(left)} are left for it; "
            "allow more time, or ask again later",
            retry_after=_whole_seconds(wait - left),
        )

    def retry_after(self) -> int:
        """Seconds until what waits now will be done, 1 to 60: when to try again."""
        waiting = self.latency.seconds(self._lanes.tokens(), self.budget, streams=self.streams)
        return _whole_seconds(waiting)

    def limits(self) -> str:
        """What may wait, for messages."""
        return f"{self.max_pairs} pairs and {self.max_tokens} tokens"

    def _wait(self, tokens: int, *, interactive: bool) -> float:
        """Seconds until a job with this many tokens would be done, if it came now."""
        ahead = self._lanes.ahead(interactive=interactive)
        budget = self.budget
        if not interactive:
            budget = self._lanes.bulk_limit(budget, time.perf_counter_ns(), self.latency.batch)
        computing = list(self.computing.values())
        is_idle = len(computing) < self.streams
        if not ahead and is_idle:
            # Whatever the latency was: only a batch can show that it is better now.
            return 0.0
        first_ns = 0.0 if is_idle else min(until_ns for until_ns, _ in computing)
        under_way = max(0.0, (first_ns - time.perf_counter_ns()) / 1e9)
        # Until its turn comes, others join its batch, and all results come at the end of the batch.
        # So its batch counts as no smaller than those under way.
        last = max((tokens for _, tokens in computing), default=0)
        waiting = self.latency.seconds(ahead + tokens, budget, last, self.streams)
        return _CAUTION * (under_way + waiting)


def _said(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _whole_seconds(wait: float) -> int:
    return max(1, min(_LONGEST_RETRY_SECONDS, math.ceil(wait)))
