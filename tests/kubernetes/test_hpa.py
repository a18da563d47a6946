"""The simulation's autoscaler does what Kubernetes' own does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.autoscale.hpa import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Autoscaler,
    MetricSpec,
    Policy,
    Rules,
    from_manifest,
    quantity,
)

CASES = json.loads((Path(__file__).parent / "hpa_cases.json").read_text("utf-8"))


def _named(rows: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", rows, ids=[row["name"] for row in rows])


def _rules(numbers: list[int] | None, default: Rules) -> Rules:
    """The table's shorthand: pods, their period, percent, its period, window."""
    if numbers is None:
        return default
    pods, pods_period, percent, percent_period, window = numbers
    policies = []
    if pods:
        policies.append(Policy("Pods", pods, pods_period))
    if percent:
        policies.append(Policy("Percent", percent, percent_period))
    return Rules(tuple(policies) or default.policies, "Max", window)


def _events(spread: dict[str, Any] | None) -> list[tuple[float, int]]:
    """Changes in the middles of equal parts of the period that ends now, at 0."""
    if spread is None:
        return []
    part = spread["period"] / len(spread["changes"]) if spread["changes"] else 0
    return [
        # Whole seconds, as the table's own function cuts them.
        (-int(spread["period"] - part * (k + 1) + part / 2), change)
        for k, change in enumerate(spread["changes"])
    ]


@_named(CASES["limits"])
def test_changes_are_limited_as_kubernetes_limits_them(case: dict[str, Any]) -> None:
    autoscaler = Autoscaler(
        low=case["low"],
        high=case["high"],
        metrics=(),
        up=_rules(case["up"], DEFAULT_UP),
        down=_rules(case["down"], DEFAULT_DOWN),
        _added=_events(case["added"]),
        _removed=_events(case["removed"]),
    )
    assert autoscaler.limit(0.0, case["replicas"], case["wanted"]) == case["expected"]


@_named(CASES["stabilisation"])
def test_wishes_are_stabilised_as_kubernetes_stabilises_them(case: dict[str, Any]) -> None:
    autoscaler = Autoscaler(
        low=1,
        high=1000,
        metrics=(),
        up=Rules(DEFAULT_UP.policies, window=case["up_window"]),
        down=Rules(DEFAULT_DOWN.policies, window=case["down_window"]),
        _recommended=[(at, wish) for at, wish in case["recommended"]],
    )
    assert autoscaler.stabilise(0.0, case["replicas"], case["wanted"]) == case["expected"]


@pytest.mark.parametrize(
    ("kind", "target", "value", "replicas", "ready", "proposal"),
    [
        # "if the current metric value is 200m, and the desired value is 100m, the number of
        # replicas will be doubled [...]. If the current value is instead 50m, you'll halve"
        # (kubernetes.io/docs, Horizontal Pod Autoscaling, Algorithm details)
        ("Value", 0.1, 0.2, 3, 3, 6),
        ("Value", 0.1, 0.05, 4, 4, 2),
        # "skips any scaling action if the ratio is sufficiently close to 1.0 (within a [...]
        # tolerance, 0.1 by default)"
        ("Value", 0.1, 0.11, 3, 3, 3),
        ("Value", 0.1, 0.111, 3, 3, 4),
        ("Value", 0.1, 0.09, 3, 3, 3),
        # Pods that are not ready yet count for nothing where the metric is of all together.
        ("Value", 0.1, 0.2, 4, 2, 4),
        # Over all pods divided by the target for one, rounded up.
        ("AverageValue", 40, 150, 3, 3, 4),
        ("AverageValue", 40, 130, 3, 3, 3),
        ("AverageValue", 40, 0, 3, 3, 0),
        # TestScaleUpPerPodCMExternal and TestScaleDownPerPodCMExternal of Kubernetes 1.35.4.
        ("AverageValue", 2.222, 8.6, 3, 3, 4),
        ("AverageValue", 3.0, 8.6, 5, 5, 3),
        # TestScaleUpCMExternal and TestScaleDownCMExternal.
        ("Value", 6.666, 8.6, 3, 3, 4),
        ("Value", 14.4, 8.6, 5, 5, 3),
    ],
)
def test_proposals_by_hand(
    kind: Any, target: float, value: float, replicas: int, ready: int, proposal: int
) -> None:
    assert MetricSpec("m", kind, target).proposal(value, replicas, ready) == proposal


def test_removing_ten_percent_or_four_pods_as_documented() -> None:
    """The documentation's example: 10 % a minute, but 4 pods where that is more."""
    down = Rules((Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    autoscaler = Autoscaler(
        low=1, high=100, metrics=(MetricSpec("m", "AverageValue", 1),), down=down
    )
    replicas, seen = 80, [80]
    for minute in range(1, 6):
        replicas = autoscaler.sync(60.0 * minute, replicas, replicas, {"m": 10})
        seen.append(replicas)
    assert seen == [80, 72, 64, 57, 51, 45]
    for minute in range(6, 12):
        replicas = autoscaler.sync(60.0 * minute, replicas, replicas, {"m": 10})
        seen.append(replicas)
    assert seen[6:] == [40, 36, 32, 28, 24, 20]


def test_the_metric_that_asks_for_most_wins() -> None:
    metrics = (MetricSpec("a", "AverageValue", 10), MetricSpec("b", "Value", 1))
    assert Autoscaler(1, 50, metrics).sync(0, 4, 4, {"a": 60, "b": 2}) == 8
    assert Autoscaler(1, 50, metrics).sync(0, 4, 4, {"a": 70, "b": 0.1}) == 7


def test_a_missing_metric_adds_pods_and_takes_none_away() -> None:
    metrics = (MetricSpec("a", "AverageValue", 10), MetricSpec("b", "Value", 1))
    down = Rules(DEFAULT_DOWN.policies, window=0)
    assert Autoscaler(1, 50, metrics, down=down).sync(0, 4, 4, {"a": 10, "b": None}) == 4
    assert Autoscaler(1, 50, metrics, down=down).sync(0, 4, 4, {"a": 60, "b": None}) == 6
    assert Autoscaler(1, 50, metrics, down=down).sync(0, 4, 4, {"a": None, "b": None}) == 4
    assert Autoscaler(1, 50, metrics, down=down).sync(0, 4, 4, {"a": 10, "b": 0.0}) == 1


@given(
    low=st.integers(1, 5),
    more=st.integers(0, 40),
    loads=st.lists(st.floats(0, 5000), min_size=1, max_size=60),
)
def test_it_stays_within_bounds_and_settles_where_the_load_asks(
    low: int, more: int, loads: list[float]
) -> None:
    autoscaler = Autoscaler(low, low + more, (MetricSpec("rps", "AverageValue", 20),))
    replicas, now = low, 0.0
    for load in loads:
        now += 15
        replicas = autoscaler.sync(now, replicas, replicas, {"rps": load})
        assert low <= replicas <= low + more
    for _ in range(60):
        now += 15
        replicas = autoscaler.sync(now, replicas, replicas, {"rps": loads[-1]})
    enough = min(max(math.ceil(loads[-1] / 20), low), low + more)
    # Within the tolerance of the target, or at a bound.
    assert replicas == enough or abs(loads[-1] / (20 * replicas) - 1) <= 0.1


@pytest.mark.parametrize(("text", "number"), [("250m", 0.25), ("40", 40), (7, 7), ("1k", 1000)])
def test_quantities(text: str | int, number: float) -> None:
    assert quantity(text) == number


def test_what_a_manifest_leaves_out_is_kubernetes_default() -> None:
    metric = {
        "type": "External",
        "external": {"metric": {"name": "a"}, "target": {"type": "Value", "value": "500m"}},
    }
    bare = from_manifest({"spec": {"maxReplicas": 9, "metrics": [metric]}})
    assert (bare.low, bare.high) == (1, 9)
    assert bare.metrics == (MetricSpec("a", "Value", 0.5),)
    assert (bare.up, bare.down) == (DEFAULT_UP, DEFAULT_DOWN)
    with pytest.raises(ValueError, match="External"):
        from_manifest({"spec": {"maxReplicas": 9, "metrics": [{"type": "Resource"}]}})
