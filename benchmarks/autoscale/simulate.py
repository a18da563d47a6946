"""A load, an autoscaler and replicas: what happens, in rounds of 15 s.

In each round requests arrive at random and are spread at random over the pods that are ready; at
its end the autoscaler sees what the telemetry shows by then, and decides. Pods that it adds become
ready later; pods that it takes away finish what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.autoscale.hpa import SYNC_SECONDS, Autoscaler
from benchmarks.autoscale.replica import Floats, Replica, admitted, departures

REQUESTS_METRIC = "mgeo-requests-per-second"
QUEUE_METRIC = "mgeo-queue-age-seconds"

RATE_ROUNDS = 4
"""Rounds in the minute that both metrics look back over (deploy/kubernetes/adapter/rules.yaml)."""

DELAY_ROUNDS = 2
"""How old the newest sample is: up to 15 s until the service exports and up to 15 s until
Prometheus scrapes. Measured: median 15 to 21 s (tests/stack/test_freshness.py); this is the worst.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the service, by rounds of 15 s.

    Attributes:
        requests: Requests a second.
        costs: How many times as long as usual each takes the model.
    """

    requests: tuple[float, ...]
    costs: tuple[float, ...]


@dataclass
class Pod:
    """One pod.

    Attributes:
        ready_at: From when on it gets requests, in seconds.
        busy_until: When it is done with what it has.
    """

    ready_at: float
    busy_until: float = 0.0


@dataclass
class Course:
    """What happened.

    Attributes:
        offered: Requests a second, by round.
        replicas: Pods there were, ready or not, by round.
        p95: Of the requests that arrived in the round, in seconds.
        latencies: Of all requests that were not refused, in seconds.
        refused: Requests answered with 429.
        pod_seconds: What it cost.
    """

    offered: list[float] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)
    p95: list[float] = field(default_factory=list)
    latencies: list[Floats] = field(default_factory=list)
    refused: int = 0
    pod_seconds: float = 0.0

    @property
    def all_latencies(self) -> Floats:
        """Every request's, in seconds."""
        return np.concatenate(self.latencies)


def simulate(
    load: Load,
    replica: Replica,
    autoscaler: Autoscaler | None,
    *,
    pods: int,
    start_seconds: float,
    seed: int = 0,
) -> Course:
    """Run `load` against an autoscaled set of pods.

    Args:
        load: What is asked.
        replica: The queueing model of one pod.
        autoscaler: What decides; None keeps the number of pods.
        pods: How many there are, ready, at the beginning.
        start_seconds: From the decision for a pod to its first request.
        seed: The same seed gives the same course.
    """
    source = np.random.default_rng(seed)
    running = [Pod(ready_at=0.0) for _ in range(pods)]
    course = Course()
    answered = np.zeros(len(load.requests) + 1)
    ages: list[float] = []
    for number, (rate, cost) in enumerate(zip(load.requests, load.costs, strict=True)):
        begin, end = number * SYNC_SECONDS, (number + 1) * SYNC_SECONDS
        ready = [pod for pod in running if pod.ready_at <= begin]
        seconds = []
        for pod in ready:
            count = source.poisson(rate * SYNC_SECONDS / len(ready))
            arrivals = np.sort(source.uniform(begin, end, count))
            services = replica.services(count, source) * cost
            taken = admitted(arrivals, services, pod.busy_until, replica.longest_wait * cost)
            course.refused += count - int(taken.sum())
            # A refusal is an answer, and counts in mgeo_request_total, at once.
            answered[number] += count - int(taken.sum())
            arrivals = arrivals[taken]
            done = departures(arrivals, services[taken], pod.busy_until)
            if done.size:
                pod.busy_until = float(done[-1])
            seconds.append(done - arrivals + replica.base)
            rounds = np.minimum(done // SYNC_SECONDS, len(load.requests)).astype(int)
            answered += np.bincount(rounds, minlength=answered.size)
        together = np.concatenate(seconds)
        course.offered.append(rate)
        course.replicas.append(len(running))
        course.p95.append(float(np.percentile(together, 95)) if together.size else 0.0)
        course.latencies.append(together)
        course.pod_seconds += len(running) * SYNC_SECONDS
        waits = [max(0.0, pod.busy_until - end) for pod in ready]
        ages.append(float(np.mean([replica.seen_age(wait, cost) for wait in waits])))
        if autoscaler:
            values = _seen(answered, ages, number)
            wanted = autoscaler.sync(end, len(running), len(ready), values)
            course.pod_seconds += _scale(running, wanted, end, start_seconds)
    return course


def _seen(answered: Floats, ages: Sequence[float], number: int) -> dict[str, float | None]:
    """The metrics' values at the end of round `number`, None before there are any."""
    last = number + 1 - DELAY_ROUNDS
    first = max(0, last - RATE_ROUNDS)
    if last <= 0:
        return {REQUESTS_METRIC: None, QUEUE_METRIC: None}
    rate = float(answered[first:last].sum()) / ((last - first) * SYNC_SECONDS)
    return {REQUESTS_METRIC: rate, QUEUE_METRIC: float(np.mean(ages[first:last]))}


def _scale(running: list[Pod], wanted: int, now: float, start_seconds: float) -> float:
    """Adds or takes away pods; gives the seconds that those taken away still work."""
    while len(running) < wanted:
        running.append(Pod(ready_at=now + start_seconds, busy_until=now + start_seconds))
    # As the ReplicaSet's controller does: the newest first, and they are those not ready yet.
    removed = [running.pop() for _ in range(len(running) - wanted)]
    return sum(max(0.0, pod.busy_until - now) for pod in removed if pod.ready_at <= now)
