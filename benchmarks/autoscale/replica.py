"""One replica as a queue: requests arrive at random, one server works on them in order.

What the server takes for a request is drawn from a gamma distribution: its mean is the inverse of
the measured full rate, its spread the one that gives back the measured waiting best. The spread is
large (batches, Python's lock, the machine's other work), which is why a replica must not be run
near its full rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HTTP_THREADS = 64
"""`MGEO_HTTP_THREADS`: so many requests at most are seen by the queue's gauges, the rest wait
before them (`tests/kubernetes/test_autoscale.py` holds it to the setting)."""

PLACES = HTTP_THREADS + 64
"""Requests that one replica can hold: with a thread, or waiting for one
(`MGEO_MAX_WAITING_REQUESTS`). One more is refused with 429."""

_SPREADS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
_FIT_REQUESTS = 100_000


@dataclass(frozen=True, slots=True)
class Replica:
    """The queueing model of one replica.

    Attributes:
        mean: Seconds of the server that a request takes on average.
        spread: Squared coefficient of variation of that.
        base: Seconds that every request takes besides, waiting for nobody.
    """

    mean: float
    spread: float
    base: float

    def services(self, count: int, source: np.random.Generator) -> Floats:
        """What the server takes for each of `count` requests, in seconds."""
        return source.gamma(1 / self.spread, self.mean * self.spread, count)

    @property
    def longest_wait(self) -> float:
        """Seconds that the last request waits when every place is taken."""
        return PLACES * self.mean

    def seen_age(self, work: float, cost: float) -> float:
        """The age of the queue that the gauge shows.

        Args:
            work: Seconds of the server that what waits will take.
            cost: How many times as long as usual a request takes.
        """
        return min(work, HTTP_THREADS * self.mean * cost)


def departures(arrivals: Floats, services: Floats, busy_until: float) -> Floats:
    """When each request is done, in order of arrival; all in seconds (Lindley's recursion)."""
    done = np.cumsum(services)
    result: Floats = done + np.maximum.accumulate(
        np.maximum(arrivals - done + services, busy_until)
    )
    return result


def admitted(
    arrivals: Floats, services: Floats, busy_until: float, longest: float
) -> npt.NDArray[np.bool_]:
    """Which requests are taken, where one that would wait more than `longest` seconds is not."""
    waits = departures(arrivals, services, busy_until) - services - arrivals
    if not waits.size or waits.max() <= longest:
        return np.ones(waits.size, dtype=bool)
    taken = np.zeros(waits.size, dtype=bool)
    # One by one: whether a request is taken depends on all before it.
    for k, (at, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        if busy_until - at <= longest:
            taken[k] = True
            busy_until = max(busy_until, at) + service
    return taken


def latencies(replica: Replica, rate: float, count: int, seed: int = 0) -> Floats:
    """Seconds from arrival to answer of `count` requests, `rate` a second at random."""
    source = np.random.default_rng(seed)
    arrivals = np.cumsum(source.exponential(1 / rate, count))
    done = departures(arrivals, replica.services(count, source), 0.0)
    result: Floats = done - arrivals + replica.base
    return result


def fit(measured: Mapping[str, Any]) -> Replica:
    """The model that gives back best what `measure` found."""
    mean = 1 / measured["requests_per_second"]
    base = max(0.0, measured["alone_p50_ms"] / 1e3 - mean)
    candidates = [Replica(mean, spread, base) for spread in _SPREADS]
    return min(candidates, key=lambda replica: _error(replica, measured))


def _error(replica: Replica, measured: Mapping[str, Any]) -> float:
    return sum(
        abs(math.log(p95(replica, point["requests_per_second"]) / (point["p95_ms"] / 1e3)))
        for point in measured["open_loop"]
    )


def p95(replica: Replica, rate: float) -> float:
    """The model's P95 at a steady rate, in seconds."""
    return float(np.percentile(latencies(replica, rate, _FIT_REQUESTS), 95))
