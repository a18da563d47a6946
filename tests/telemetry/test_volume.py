"""How much telemetry a replica makes: the figures that docs/capacity.md reckons with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from benchmarks import capacity
from tests.serving import Service
from tests.telemetry.collector import Collector, Point

pytestmark = pytest.mark.slow

REQUESTS = 400


@dataclass(frozen=True)
class Volume:
    """What one replica made of `REQUESTS` single predictions, one after another.

    Attributes:
        series: Series on `/metrics`, by metric without its histogram suffix.
        span_bytes: Bytes of spans a request, as sent.
        spans: Spans a request.
        log_bytes: Bytes of log lines a request, as sent.
        export_bytes: Bytes of one export of metrics.
    """

    series: dict[str, int]
    span_bytes: float
    spans: float
    log_bytes: float
    export_bytes: int


@pytest.fixture(scope="module")
def volume() -> Iterator[Volume]:
    with Collector() as collector:
        # Metrics are sent sooner than they are by default: the exporter's own are there then.
        settings = {"OTEL_METRIC_EXPORT_INTERVAL": "500"}
        with Service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **settings) as service:
            with requests.Session() as session:
                host, port = service.predictions
                for number in range(REQUESTS):
                    pair = {
                        "address1": f"文三路{number}号华星时代广场A座",
                        "address2": f"文三路{number}号",
                    }
                    answer = session.post(f"http://{host}:{port}/predict", json=pair, timeout=30)
                    assert answer.status_code == 200
            service.scrape()  # both readers have measured themselves once
            collector.wait_for(
                lambda c: len(_points_of(c, "otel.sdk.metric_reader.collection.duration")) > 1
            )
            text = service.get(service.operations, "/metrics")[1].decode()
            assert service.terminate() == 0  # what it still holds is sent
        sizes = {
            kind: [m.ByteSize() for m in collector.requests if isinstance(m, kind)]
            for kind in (
                trace_service_pb2.ExportTraceServiceRequest,
                logs_service_pb2.ExportLogsServiceRequest,
                metrics_service_pb2.ExportMetricsServiceRequest,
            )
        }
        traces, logs, metrics = sizes.values()
        yield Volume(
            series=_series(text),
            span_bytes=sum(traces) / REQUESTS,
            spans=len(collector.spans) / REQUESTS,
            log_bytes=sum(logs) / REQUESTS,
            export_bytes=max(metrics),
        )


def _points_of(collector: Collector, metric: str) -> list[Point]:
    found = collector.metrics.get(metric)
    return found.points if found else []


def _series(text: str) -> dict[str, int]:
    """Series by metric, histograms without their suffixes."""
    names = [re.split(r"[{ ]", line)[0] for line in text.splitlines() if line[:1] not in ("#", "")]
    return dict(Counter(re.sub(r"_(bucket|sum|count)$", "", name) for name in names))


def test_series_of_a_replica(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    total = sum(volume.series.values())
    with capsys.disabled():
        print(f"\n{total} series: {volume.series}")
    # Close enough to reckon with; a new metric need not change the page.
    assert total == pytest.approx(capacity.SERIES_OF_A_REPLICA, rel=0.05)


def test_what_requests_bring_with_them_makes_no_series() -> None:
    """Their number is decided by the code, not by who asks what."""
    with Service() as service:

        def series_after(kind: str) -> dict[str, int]:
            host, port = service.predictions
            for number in range(20):
                pair = {"address1": f"{kind}路{number}号", "address2": f"{number}号"}
                requests.post(f"http://{host}:{port}/predict", json=pair, timeout=30)
                requests.get(f"http://{host}:{port}/{kind}/{number}?q={number}", timeout=30)
                requests.request(f"{kind}{number}", f"http://{host}:{port}/predict", timeout=30)
            text = service.get(service.operations, "/metrics")[1].decode()
            return _series(text)

        service.scrape()  # whose duration is a metric too
        assert series_after("A") == series_after("B")


@pytest.mark.parametrize(
    ("attribute", "stated"),
    [
        ("spans", capacity.SPANS_OF_A_REQUEST),
        ("span_bytes", capacity.SPAN_BYTES),
        ("log_bytes", capacity.LOG_BYTES),
        ("export_bytes", capacity.EXPORT_BYTES),
    ],
)
def test_volume_of_a_request(
    volume: Volume, attribute: str, stated: float, capsys: pytest.CaptureFixture[str]
) -> None:
    found = getattr(volume, attribute)
    with capsys.disabled():
        print(f"\n{attribute}: {found:,.1f}")
    # A slow machine sends the same in more exports, each of which names the resource again.
    assert found == pytest.approx(stated, rel=0.2)
