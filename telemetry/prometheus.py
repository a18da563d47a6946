"""`/metrics`: the stock OpenTelemetry exporter, with exemplars and without its four defects.

`opentelemetry-exporter-prometheus` 0.66b1 drops exemplars, serves every series several times after
`MeterProvider.force_flush()` or overlapping scrapes, names unit-`1` gauges differently from the
Collector (no `_ratio`), and fails the whole scrape over one exponential histogram. This wraps it by
its public interface: the exporter fills a registry of its own, and one outer collector mends what
comes out.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import replace

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Exemplar as OtelExemplar
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ScopeMetrics,
    Sum,
)
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from typing_extensions import override

from telemetry.series import LivingSeries

log = logging.getLogger(__name__)

KEEP_EXEMPLAR_SECONDS = 300.0
"""An exemplar stays until a newer one takes its bucket, so that a second scraper sees it too, but
not for ever: the trace it names ages out of its store."""

_Key = tuple[str, frozenset[tuple[str, str]], str | None]
"""OpenTelemetry's name without `_total`, the labels that are not empty, and `le` for a bucket."""

# How the exporter makes names and labels, so that a series is recognised in what it exports.
_NOT_IN_NAME = re.compile("[^a-zA-Z0-9:]+")
_NOT_IN_LABEL = re.compile("^[0-9][^a-zA-Z0-9]*|[^a-zA-Z0-9]+")


class PrometheusEndpoint(Collector):
    """Renders all metrics of a meter provider as Prometheus text or OpenMetrics.

    Pass `reader` to the MeterProvider, then call `render` for each scrape.

    Args:
        series: Those that are shown; all if it is not given.
    """

    def __init__(self, series: LivingSeries | None = None) -> None:
        self._scrape_lock = threading.Lock()
        self._inner = CollectorRegistry()
        self._outer = CollectorRegistry()
        self._outer.register(self)
        self.reader = _ScrapedReader(self._inner, series or LivingSeries())

    def render(self, accept: str, names: Collection[str] = ()) -> tuple[bytes, str]:
        """The exposition and its content type.

        Args:
            accept: The media type that the scraper prefers. Exemplars exist in OpenMetrics only.
            names: Of the metrics or samples that it asks for; all if there are none.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(_Named(self, names) if names else self._outer), content_type

    @override
    def collect(self) -> Iterator[PrometheusMetric]:
        # One scrape at a time: the exporter interleaves overlapping ones.
        with self._scrape_lock:
            with self.reader.scraping():
                families = list(self._inner.collect())
            for family in families:
                self._mend(family)
        yield from families

    def _mend(self, family: PrometheusMetric) -> None:
        if family.type == "gauge" and family.name in self.reader.ratios:
            family.name += "_ratio"
            family.samples = [s._replace(name=family.name) for s in family.samples]
        elif family.type in ("histogram", "counter"):
            # The exporter adds the unit only to names that do not end with it.
            names = (family.name.removesuffix(f"_{family.unit}"), family.name)
            family.samples = [self._with_exemplar(names, sample) for sample in family.samples]

    def _with_exemplar(self, names: tuple[str, ...], sample: Sample) -> Sample:
        if not sample.name.endswith(("_bucket", "_total")):
            return sample
        labels = frozenset((k, v) for k, v in sample.labels.items() if k != "le" and v)
        for name in names:
            if found := self.reader.exemplars.get((name, labels, sample.labels.get("le"))):
                return sample._replace(exemplar=found)
        return sample


class _Named(Collector):
    """Those of the metrics that have one of some names."""

    def __init__(self, metrics: Collector, names: Collection[str]) -> None:
        self._metrics, self._names = metrics, frozenset(names)

    @override
    def collect(self) -> Iterator[PrometheusMetric]:
        for family in self._metrics.collect():
            if family.name not in self._names:
                family.samples = [one for one in family.samples if one.name in self._names]
            if family.samples:
                yield family


class _ScrapedReader(PrometheusMetricReader):
    """The exporter's reader. It takes data only while a scrape asks, and notes its exemplars.

    `_receive_metrics` is the method that the SDK's documentation of `MetricReader` tells subclasses
    to override.

    Attributes:
        exemplars: Last exemplar of each bucket or counter.
        ratios: Exported names of the gauges of unit 1.
    """

    def __init__(self, registry: CollectorRegistry, series: LivingSeries) -> None:
        self._series = series
        self.exemplars: dict[_Key, Exemplar] = {}
        self.ratios: set[str] = set()
        self._left_out: set[str] = set()
        self._scraper = threading.local()
        super().__init__(registry=registry, scope_info_enabled=False)

    def scraping(self) -> _Scraping:
        """Marks this thread as a scrape while the context lasts."""
        return _Scraping(self._scraper)

    def _receive_metrics(
        self, metrics_data: MetricsData | None, timeout_millis: float = 10_000, **kwargs: object
    ) -> None:
        # force_flush() and shutdown() collect too; the exporter would keep what they collect and
        # serve it beside the next scrape's.
        if metrics_data is None or not getattr(self._scraper, "active", False):
            return
        self._forget_old_exemplars()
        taken = [
            replace(resource, scope_metrics=[self._take(scope) for scope in resource.scope_metrics])
            for resource in self._series.of(metrics_data).resource_metrics
        ]
        super()._receive_metrics(MetricsData(taken), timeout_millis, **kwargs)

    def _take(self, scope: ScopeMetrics) -> ScopeMetrics:
        """The metrics that the exporter can translate; on any other it fails the whole scrape."""
        taken = []
        for metric in scope.metrics:
            if isinstance(metric.data, Gauge | Histogram | Sum):
                self._note(metric)
                taken.append(metric)
            elif metric.name not in self._left_out:
                self._left_out.add(metric.name)
                kind = type(metric.data).__name__
                log.warning("not on /metrics", extra={"metric": metric.name, "kind": kind})
        return replace(scope, metrics=taken)

    def _note(self, metric: Metric) -> None:
        name = _NOT_IN_NAME.sub("_", metric.name)
        if isinstance(metric.data, Gauge):
            if metric.unit == "1":
                self.ratios.add(name)
            return
        if isinstance(metric.data, Sum):
            name = name.removesuffix("_total")
        for point in metric.data.data_points:
            if not point.exemplars:
                continue
            labels = frozenset(
                (_NOT_IN_LABEL.sub("_", key), text)
                for key, value in (point.attributes or {}).items()
                if (text := value if isinstance(value, str) else json.dumps(value, default=str))
            )
            for exemplar in point.exemplars:
                if exemplar.trace_id:
                    self.exemplars[name, labels, _bucket(point, exemplar)] = _converted(exemplar)

    def _forget_old_exemplars(self) -> None:
        oldest = time.time() - KEEP_EXEMPLAR_SECONDS
        self.exemplars = {
            key: exemplar
            for key, exemplar in self.exemplars.items()
            if float(exemplar.timestamp or 0) >= oldest
        }


class _Scraping:
    def __init__(self, scraper: threading.local) -> None:
        self._scraper = scraper

    def __enter__(self) -> None:
        self._scraper.active = True

    def __exit__(self, *_: object) -> None:
        self._scraper.active = False


def _bucket(point: object, exemplar: OtelExemplar) -> str | None:
    """The `le` label of the bucket that holds the exemplar; None for a counter."""
    if not isinstance(point, HistogramDataPoint):
        return None
    index = bisect_left(point.explicit_bounds, exemplar.value)
    return f"{point.explicit_bounds[index]}" if index < len(point.explicit_bounds) else "+Inf"


def _converted(exemplar: OtelExemplar) -> Exemplar:
    ids = {
        "trace_id": format(exemplar.trace_id or 0, "032x"),
        "span_id": format(exemplar.span_id or 0, "016x"),
    }
    return Exemplar(ids, exemplar.value, exemplar.time_unix_nano / 1e9)
