"""From requests a second to pods, cores, series and traces: the tables of docs/capacity.md.

`python -m benchmarks.capacity 1000` prints the row for 1,000 requests a second. What is measured
comes from benchmarks/autoscale/measured.json and from the figures below, which
tests/telemetry/test_volume.py and tests/stack/test_kubernetes.py hold to the service; what is
chosen or assumed is named so.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.autoscale import report

SERIES_OF_A_REPLICA = 440
"""On `/metrics`, answering `/predict` alone and pushing to a Collector."""

SERIES_IN_PROMETHEUS = 617
"""The same by way of the Collector, which adds the span metrics of seven kinds of span."""

SPANS_OF_A_REQUEST = 7.0
SPAN_BYTES = 1087.0
"""Of one sampled request, as sent by OTLP, its share of a batch's span included."""

LOG_BYTES = 283.0
"""Of one sampled request's log line, as sent by OTLP."""

EXPORT_BYTES = 22_400
"""Of one export of all metrics of a replica."""

EXPORT_SECONDS = 15
"""`OTEL_METRIC_EXPORT_INTERVAL`, and Prometheus's scrape interval."""

TARGET_SHARE = 0.45
"""Chosen: of its full rate, what a replica is to answer (the autoscaler's target)."""

TRACES_A_SECOND = 100
"""Chosen: sampled requests a second, over all replicas, that are worth their storage."""

RETENTION_DAYS = 32
"""What Prometheus keeps: the objectives' 30 days, and a little."""

SAMPLE_BYTES = 2
"""Assumed: Prometheus's documentation says 1 to 2 bytes a stored sample."""

SERIES_MEMORY = 4_000
"""Assumed: bytes of Prometheus's memory for a series that is being written."""

LOADS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a load needs.

    Attributes:
        small: Replicas, of one core each, with the bundled model.
        large: The same with a model of the published size.
        http: Replicas, of one core each, if every pair came from the cache.
        series: Series in Prometheus, of the bundled model's replicas.
        prometheus_gb: Prometheus's memory for these, in GB.
        samples_gb: Prometheus's disk for these and `RETENTION_DAYS`, in GB.
        sampling: The share of requests to trace.
        traces_gb: What all sampled requests of a day send in spans and log lines, in GB.
        unsampled_gb: The same if every request were sampled.
    """

    small: int
    large: int
    http: int
    series: int
    prometheus_gb: float
    samples_gb: float
    sampling: float
    traces_gb: float
    unsampled_gb: float


def capacity(requests_per_second: float) -> Capacity:
    """What so many single predictions a second need."""
    rates: Mapping[str, float] = {m["model"]: m["requests_per_second"] for m in report.measured()}
    cached = max(m["cached_requests_per_second"] for m in report.measured())
    small = _replicas(requests_per_second, rates["bundled"])
    series = small * SERIES_IN_PROMETHEUS
    sampling = min(1.0, TRACES_A_SECOND / requests_per_second)
    all_bytes = requests_per_second * (SPAN_BYTES + LOG_BYTES) * _DAY
    return Capacity(
        small=small,
        large=_replicas(requests_per_second, rates["published-size"]),
        http=_replicas(requests_per_second, cached),
        series=series,
        prometheus_gb=series * SERIES_MEMORY / 1e9,
        samples_gb=series / EXPORT_SECONDS * SAMPLE_BYTES * RETENTION_DAYS * _DAY / 1e9,
        sampling=sampling,
        traces_gb=sampling * all_bytes / 1e9,
        unsampled_gb=all_bytes / 1e9,
    )


def _replicas(requests_per_second: float, full_rate: float) -> int:
    # Two at least, so that one can be replaced.
    return max(2, math.ceil(requests_per_second / (TARGET_SHARE * full_rate)))


def volume_table() -> str:
    """The measured volumes."""
    rows = {
        "series of a replica on `/metrics`, answering `/predict` alone": SERIES_OF_A_REPLICA,
        "the same in Prometheus, by way of the Collector": SERIES_IN_PROMETHEUS,
        "bytes of one export of metrics, every 15 s": EXPORT_BYTES,
        "spans of a sampled request": SPANS_OF_A_REQUEST,
        "bytes of spans of a sampled request, as sent": SPAN_BYTES,
        "bytes of its log line, as sent": LOG_BYTES,
    }
    return "\n".join(
        ["| what | measured |", "|---|---|", *(f"| {k} | {v:,.0f} |" for k, v in rows.items())]
    )


def capacity_table() -> str:
    """What each of `LOADS` needs."""
    lines = [
        "| requests/s | cores, bundled | cores, published size | cores, HTTP alone | series "
        "| Prometheus: memory, disk for 32 days | sampled "
        "| traces and log lines a day | if all were |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for load in LOADS:
        c = capacity(load)
        lines.append(
            f"| {load:,} | {c.small:,} | {c.large:,} | {c.http:,} | {c.series:,} "
            f"| {_gb(c.prometheus_gb)}, {_gb(c.samples_gb)} | {c.sampling:.4g} "
            f"| {_gb(c.traces_gb)} | {_gb(c.unsampled_gb)} |"
        )
    return "\n".join(lines)


def _gb(value: float) -> str:
    if value < 1:
        return f"{value * 1e3:.0f} MB"
    return f"{value:,.0f} GB" if value < 10_000 else f"{value / 1e3:,.0f} TB"


def main() -> None:
    """Print what the load on the command line needs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("requests_per_second", type=float)
    found = capacity(parser.parse_args().requests_per_second)
    for name in Capacity.__dataclass_fields__:
        print(f"{name:15} {getattr(found, name):,.6g}")


if __name__ == "__main__":
    main()
