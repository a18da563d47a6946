"""Which loads and which settings are compared, and the figures that come out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.autoscale import hpa
from benchmarks.autoscale.hpa import Autoscaler
from benchmarks.autoscale.replica import Replica
from benchmarks.autoscale.simulate import (
    QUEUE_METRIC,
    REQUESTS_METRIC,
    Course,
    Load,
    simulate,
)

MANIFEST = (
    Path(__file__).parent.parent.parent
    / "deploy" / "kubernetes" / "base" / "horizontalpodautoscaler.yaml"
)  # fmt: skip

LOW, HIGH = 200.0, 1500.0
"""Requests a second before and at the height of each load: less than half of one pod, and more than
three."""

STEADY = 600.0
"""Requests a second of that load."""

START_SECONDS = 20.0
"""From the decision for a pod to its first request, the image being on the node: an assumption.
The process itself takes 1 s to its first answer with the bundled model; scheduling, the container
and the readiness probe's 5 s make up the rest."""

SLOW_SECONDS = 0.25
"""Slower answers are counted; a bound of the service's own histogram."""

LONGER = 2.5
"""How many times as long each pair takes in the load called so: addresses written out in full."""


def _load(*requests: float, costs: tuple[float, ...] = ()) -> Load:
    return Load(requests, costs or (1.0,) * len(requests))


LOADS: Mapping[str, Load] = {
    # 5 minutes of quiet, then 25 at once, then 30 to see the pods go again.
    "step": _load(*(LOW,) * 20, *(HIGH,) * 100, *(LOW,) * 120),
    # The same height reached in 10 minutes.
    "ramp": _load(
        *(LOW,) * 20,
        *(LOW + (HIGH - LOW) * k / 40 for k in range(1, 41)),
        *(HIGH,) * 60,
        *(LOW,) * 120,
    ),
    # Two minutes of it.
    "spike": _load(*(LOW,) * 20, *(HIGH,) * 8, *(LOW,) * 212),
    # As many requests all the time, of pairs that take longer for 25 minutes.
    "longer pairs": _load(*(STEADY,) * 240, costs=(1.0,) * 20 + (LONGER,) * 100 + (1.0,) * 120),
}
"""An hour each."""


def shipped() -> Autoscaler:
    """The autoscaler of deploy/kubernetes/base."""
    return hpa.from_manifest(yaml.safe_load(MANIFEST.read_text("utf-8")))


def _target(requests: float) -> Autoscaler:
    autoscaler = shipped()
    autoscaler.metrics = tuple(
        replace(metric, target=requests) if metric.name == REQUESTS_METRIC else metric
        for metric in autoscaler.metrics
    )
    return autoscaler


def _only(name: str) -> Autoscaler:
    autoscaler = shipped()
    autoscaler.metrics = tuple(m for m in autoscaler.metrics if m.name == name)
    return autoscaler


def _at_least_four() -> Autoscaler:
    autoscaler = shipped()
    autoscaler.low = 4
    return autoscaler


def _default_behaviour() -> Autoscaler:
    autoscaler = shipped()
    autoscaler.up, autoscaler.down = hpa.DEFAULT_UP, hpa.DEFAULT_DOWN
    return autoscaler


SETTINGS: Mapping[str, Callable[[], Autoscaler | None]] = {
    "as shipped": shipped,
    "at least 4 pods": _at_least_four,
    "120 a pod": lambda: _target(120),
    "300 a pod": lambda: _target(300),
    "requests alone": lambda: _only(REQUESTS_METRIC),
    "queue age alone": lambda: _only(QUEUE_METRIC),
    "Kubernetes' default speed": _default_behaviour,
    "8 pods, not scaled": lambda: None,
}
"""What is compared, by the name that the table gives it."""

FIXED_PODS = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of the table.

    Attributes:
        most: Most pods at once.
        p95_ms: Of all requests of the hour.
        worst_ms: P95 of the worst round of 15 s.
        slow: Share of those not refused that took longer than `SLOW_SECONDS`.
        refused: Share of requests answered with 429.
        pod_minutes: Cost.
    """

    most: int
    p95_ms: float
    worst_ms: float
    slow: float
    refused: float
    pod_minutes: float


def run(load: str, setting: str, replica: Replica) -> Course:
    """The course of one load under one setting; the same each time."""
    autoscaler = copy.deepcopy(SETTINGS[setting]())
    pods = autoscaler.low if autoscaler else FIXED_PODS
    if autoscaler and load == "longer pairs":
        pods = max(pods, 3)  # what STEADY has long had
    return simulate(LOADS[load], replica, autoscaler, pods=pods, start_seconds=START_SECONDS)


def figures(course: Course) -> Figures:
    """What the table shows of a course."""
    latencies = course.all_latencies
    return Figures(
        most=max(course.replicas),
        p95_ms=round(float(np.percentile(latencies, 95)) * 1e3),
        worst_ms=round(max(course.p95) * 1e3),
        slow=round(float(np.mean(latencies > SLOW_SECONDS)), 4),
        refused=round(course.refused / (course.refused + latencies.size), 4),
        pod_minutes=round(course.pod_seconds / 60),
    )


def as_document(course: Course) -> dict[str, Any]:
    """What is kept of a course: the lines of the picture, and the figures of the table."""
    found = figures(course)
    return {
        "figures": {name: getattr(found, name) for name in Figures.__dataclass_fields__},
        "replicas": course.replicas,
        "p95_ms": [round(value * 1e3, 1) for value in course.p95],
    }
