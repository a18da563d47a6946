"""The HorizontalPodAutoscaler's algorithm (autoscaling/v2) for external metrics.

Read from Kubernetes 1.35.4, `pkg/controller/podautoscaler/{horizontal,replica_calculator}.go`, and
held to that version's own test tables (`tests/kubernetes/hpa_cases.json`). What is left out:
scaling to and from zero, and metrics of pods and resources, which the manifests do not use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TOLERANCE = 0.1
"""`--horizontal-pod-autoscaler-tolerance`: within 10 % of the target nothing changes."""

SYNC_SECONDS = 15.0
"""`--horizontal-pod-autoscaler-sync-period`."""

DOWN_WINDOW_SECONDS = 300.0
"""`--horizontal-pod-autoscaler-downscale-stabilization`, where a manifest names no window."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much may change within a period: so many pods, or so many percent."""

    kind: Literal["Pods", "Percent"]
    value: int
    period: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Policies of one direction, which of them counts, and the stabilising window in seconds."""

    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"
    window: float = 0.0


DEFAULT_UP = Rules((Policy("Pods", 4, 15), Policy("Percent", 100, 15)))
DEFAULT_DOWN = Rules((Policy("Percent", 100, 15),), window=DOWN_WINDOW_SECONDS)
"""What the API server fills in: `pkg/apis/autoscaling/v2/defaults.go`."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """An external metric and its target, over all pods (`Value`) or per pod (`AverageValue`)."""

    name: str
    kind: Literal["Value", "AverageValue"]
    target: float

    def proposal(self, value: float, replicas: int, ready: int) -> int:
        """Replicas that this metric alone asks for.

        Args:
            value: The metric now.
            replicas: Pods that there are (the scale's status).
            ready: Those of them that are ready.
        """
        per_pod = self.kind == "AverageValue"
        ratio = value / (self.target * replicas) if per_pod else value / self.target
        if 1 - TOLERANCE <= ratio <= 1 + TOLERANCE:
            return replicas
        return math.ceil(value / self.target) if per_pod else math.ceil(ratio * ready)


@dataclass
class Autoscaler:
    """One HPA and what it remembers.

    Attributes:
        low: `minReplicas`.
        high: `maxReplicas`.
        metrics: Of which the one that asks for most wins.
        up: Rules for more pods.
        down: Rules for fewer.
    """

    low: int
    high: int
    metrics: tuple[MetricSpec, ...]
    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _added: list[tuple[float, int]] = field(default_factory=list)
    _removed: list[tuple[float, int]] = field(default_factory=list)

    def sync(
        self, now: float, replicas: int, ready: int, values: Mapping[str, float | None]
    ) -> int:
        """One round of the controller.

        Args:
            now: Seconds, growing from call to call.
            replicas: Pods asked for so far, at least 1.
            ready: Pods that are ready.
            values: Each metric's value, None where it cannot be had.

        Returns:
            Pods asked for from now on.
        """
        proposals = [
            metric.proposal(value, replicas, ready)
            for metric in self.metrics
            if (value := values.get(metric.name)) is not None
        ]
        incomplete = len(proposals) < len(self.metrics)
        # With a metric missing it adds pods and takes none away.
        if not proposals or (incomplete and max(proposals) < replicas):
            return replicas
        wanted = self.limit(now, replicas, self.stabilise(now, replicas, max(proposals)))
        if wanted > replicas:
            self._added.append((now, wanted - replicas))
        elif wanted < replicas:
            self._removed.append((now, replicas - wanted))
        return wanted

    def stabilise(self, now: float, replicas: int, wanted: int) -> int:
        """Within the lowest wish of the upward window and the highest of the downward one."""
        recent = [r for at, r in self._recommended if at > now - self.up.window]
        lowest = min([*recent, wanted])
        recent = [r for at, r in self._recommended if at > now - self.down.window]
        highest = max([*recent, wanted])
        longest = max(self.up.window, self.down.window)
        self._recommended = [(at, r) for at, r in self._recommended if at >= now - longest]
        self._recommended.append((now, wanted))
        return min(max(replicas, lowest), highest)

    def limit(self, now: float, replicas: int, wanted: int) -> int:
        """At most as fast as the policies allow, and between the two bounds."""
        if wanted > replicas:
            return min(wanted, self.high, max(replicas, self._allowed(now, replicas, self.up, +1)))
        if wanted < replicas:
            return max(wanted, self.low, min(replicas, self._allowed(now, replicas, self.down, -1)))
        return wanted

    def _allowed(self, now: float, replicas: int, rules: Rules, direction: int) -> int:
        if rules.select == "Disabled":
            return replicas
        limits = []
        for policy in rules.policies:
            before = (
                replicas
                - _since(self._added, now - policy.period)
                + _since(self._removed, now - policy.period)
            )
            if policy.kind == "Pods":
                limits.append(before + direction * policy.value)
            else:
                exact = before * (1 + direction * policy.value / 100)
                # Up, a percentage of few pods must not come to none.
                limits.append(math.ceil(exact) if direction > 0 else int(exact))
        farthest = (rules.select == "Max") == (direction > 0)
        return max(limits) if farthest else min(limits)


def _since(events: Sequence[tuple[float, int]], start: float) -> int:
    return sum(change for at, change in events if at > start)


def quantity(text: str | int) -> float:
    """The number that a Kubernetes quantity such as `250m`, `40` or `2k` means.

    Raises:
        ValueError: It is none of these forms.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mkM]?)", str(text))
    if not match:
        raise ValueError(f"not a quantity: {text!r}")
    return float(match[1]) * {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}[match[2]]


def from_manifest(manifest: Mapping[str, Any]) -> Autoscaler:
    """The autoscaler that a HorizontalPodAutoscaler of external metrics describes.

    Raises:
        ValueError: It has a metric of another type.
    """
    spec = manifest["spec"]
    metrics = []
    for entry in spec["metrics"]:
        if entry["type"] != "External":
            raise ValueError(f"metrics of type External are expected, not {entry['type']}")
        target = entry["external"]["target"]
        key = "averageValue" if target["type"] == "AverageValue" else "value"
        name = entry["external"]["metric"]["name"]
        metrics.append(MetricSpec(name, target["type"], quantity(target[key])))
    behavior = spec.get("behavior", {})
    return Autoscaler(
        low=spec.get("minReplicas", 1),
        high=spec["maxReplicas"],
        metrics=tuple(metrics),
        up=_rules(behavior.get("scaleUp", {}), DEFAULT_UP),
        down=_rules(behavior.get("scaleDown", {}), DEFAULT_DOWN),
    )


def _rules(given: Mapping[str, Any], default: Rules) -> Rules:
    policies = tuple(
        Policy(entry["type"], entry["value"], entry["periodSeconds"])
        for entry in given.get("policies", ())
    )
    return Rules(
        policies or default.policies,
        given.get("selectPolicy", default.select),
        given.get("stabilizationWindowSeconds", default.window),
    )
