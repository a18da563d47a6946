"""How fast the model is, learnt from the batches it has computed: what waits are reckoned from."""

from __future__ import annotations

_WEIGHT = 0.1
"""Of the newest batch: about the last ten count, so that one odd one does not show."""


class LatencyModel:
    """The time of a batch as a straight line, `fixed + per_token * tokens`, through recent ones.

    Both ends matter. On a CPU nearly all is per token; on a GPU nearly all is fixed, and a pace in
    pairs a second that was learnt from single pairs would take a queue for ten times its length.
    Where the batches seen do not tell the two apart, all counts as fixed: an estimate that errs
    low refuses nobody who could be served.
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
