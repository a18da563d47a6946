"""Holds received telemetry to the registry, as `weaver registry live-check` does."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.semconv._incubating import attributes as standard_attributes
from opentelemetry.semconv._incubating import metrics as standard_metrics

from telemetry.conventions import ATTRIBUTES
from tests.telemetry.collector import Collector, Metric, Span
from tests.telemetry.semconv import names
from tools import registry

_TYPES = {"string": str, "int": int}


class LiveCheck:
    """One comparison.

    Attributes:
        findings: What was received and is not as the registry says, each said once.
        unseen: What the registry has and was not received: metrics, spans, and attributes of each.
    """

    def __init__(self, collector: Collector, documents: registry.Registry) -> None:
        groups = [group for one in documents.values() for group in one.get("groups", ())]
        self._defined = {
            one["id"]: one for group in groups for one in group.get("attributes", ()) if "id" in one
        }
        self._metrics = {group["metric_name"]: group for group in groups if "metric_name" in group}
        self._spans = {
            registry_name(group): group for group in groups if group["type"] in ("span", "event")
        }
        [self._resource] = [group for group in groups if group["id"] == "resource.mgeo"]
        bare = re.findall(r"`(\w+)`", self._spans["server"]["note"])
        self._spans |= {name: {"span_kind": "internal"} for name in bare}
        self._imported = documents["metrics.yaml"]["imports"]["metrics"]
        self._standard_metrics = names(standard_metrics)
        self._standard_attributes = names(standard_attributes)
        self._seen: set[str] = set()
        found = [*self._of_metrics(collector.every_metric), *self._of_spans(collector.spans)]
        for resource in [one.resource for one in (*collector.spans, *collector.every_metric)]:
            found += self._of_attributes("resource", self._resource, resource)
        self.findings = sorted(set(found))
        wanted = {
            f"{name}{{{one['ref']}}}"
            for name, group in {**self._metrics, **self._spans}.items()
            for one in group.get("attributes", ())
        }
        self.unseen = (wanted | self._metrics.keys() | self._spans.keys()) - self._seen

    def _of_metrics(self, metrics: Iterable[Metric]) -> Iterator[str]:
        for metric in metrics:
            group = self._metrics.get(metric.name)
            if group is None:
                yield from self._of_imported(metric)
                continue
            self._seen.add(metric.name)
            for what, given, wanted in (
                ("instrument", metric.kind, group["instrument"]),
                ("unit", metric.unit, group["unit"]),
            ):
                if given != wanted:
                    yield f"{metric.name}: its {what} is {given}, not {wanted}"
            for point in metric.points:
                yield from self._of_attributes(metric.name, group, point.attributes)

    def _of_imported(self, metric: Metric) -> Iterator[str]:
        """A metric that a library makes, by the conventions' own names."""
        imported = any(fnmatch.fnmatch(metric.name, pattern) for pattern in self._imported)
        if not imported or metric.name not in self._standard_metrics:
            yield f"{metric.name}: no such metric"
            return
        for key in {key for point in metric.points for key in point.attributes}:
            if key not in self._standard_attributes:
                yield f"{metric.name}: no attribute {key}"

    def _of_spans(self, spans: Iterable[Span]) -> Iterator[str]:
        for span in spans:
            name = "server" if span.kind == "server" else span.name
            group = self._spans.get(name)
            if group is None or group["span_kind"] != span.kind:
                yield f"{span.kind} span {name}: no such span"
                continue
            self._seen.add(name)
            yield from self._of_attributes(name, group, span.attributes)
            for event, attributes in span.events:
                if event not in self._spans:
                    yield f"{name}: no event {event}"
                    continue
                self._seen.add(event)
                yield from self._of_attributes(event, self._spans[event], attributes)

    def _of_attributes(
        self, name: str, group: Mapping[str, Any], given: Mapping[str, Any]
    ) -> Iterator[str]:
        levels = {one["ref"]: one["requirement_level"] for one in group.get("attributes", ())}
        for key, level in levels.items():
            if level == "required" and key not in given:
                yield f"{name}: {key} is missing"
        for key, value in given.items():
            if key not in levels:
                yield f"{name}: no attribute {key}"
                continue
            self._seen.add(f"{name}{{{key}}}")
            # The conventions' own have their types there, which no package has.
            kind = self._defined.get(key, {"type": ATTRIBUTES[key].type})["type"]
            if not isinstance(kind, str):
                if value not in [member["value"] for member in kind["members"]]:
                    yield f"{name}: {key} has no value {value!r}"
            elif type(value) is not _TYPES[kind]:
                yield f"{name}: {key} is {type(value).__name__}, not {kind}"


def registry_name(group: Mapping[str, Any]) -> str:
    """The name of a span's or an event's group."""
    return str(group["id"].rpartition(".")[2])
