"""Ends the series of models that are gone.

The SDK keeps each series of a histogram for as long as the process lives, and has no call that
ends one. So what a reader collects is filtered on its way to `/metrics` and to each exporter. A
version that comes back goes on counting where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from opentelemetry.sdk.metrics.export import (
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.util.types import Attributes

Exporter = TypeVar("Exporter", bound=MetricExporter)

_NAMING_A_VERSION = ("model_version", "against")
"""Attributes that name a version of a model."""


class LivingSeries:
    """Leaves out every series that names a version of a model which is not there any more.

    Attributes:
        versions: Reads the versions that are there; None until there can be any.
    """

    def __init__(self) -> None:
        self.versions: Callable[[], Collection[str]] | None = None

    def of(self, data: MetricsData) -> MetricsData:
        """Those that are to be exported."""
        if self.versions is None:
            return data
        there = {"", *self.versions()}
        return MetricsData(
            [
                replace(
                    resource,
                    scope_metrics=[
                        replace(scope, metrics=list(_living(scope.metrics, there)))
                        for scope in resource.scope_metrics
                    ],
                )
                for resource in data.resource_metrics
            ]
        )

    def only(self, exporter: Exporter) -> Exporter:
        """The same exporter, which gets only living series from now on.

        It is not wrapped: a reader takes an exporter's preferences from its private attributes.
        """
        export = exporter.export

        def living(metrics_data: MetricsData, *more: Any, **named: Any) -> MetricExportResult:
            return export(self.of(metrics_data), *more, **named)

        exporter.export = living  # type: ignore[method-assign]
        return exporter


def _living(metrics: Iterable[Metric], there: Collection[str]) -> Iterator[Metric]:
    for metric in metrics:
        points: Any = [one for one in metric.data.data_points if _is_of(one.attributes, there)]
        if points:
            yield replace(metric, data=replace(metric.data, data_points=points))


def _is_of(attributes: Attributes, there: Collection[str]) -> bool:
    return not attributes or all(attributes.get(name, "") in there for name in _NAMING_A_VERSION)
