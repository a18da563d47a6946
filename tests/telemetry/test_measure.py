"""The span that the Flask instrumentation makes of a request, as it arrives."""

from __future__ import annotations

import pytest
from flask import Flask, g
from opentelemetry.trace import StatusCode

from service.http import problems
from service.http.measure import measure_requests
from telemetry.recent import RecentRequests
from telemetry.setup import Telemetry
from tests.telemetry.collector import Collector, Span
from tests.telemetry.conftest import Start


def app_of(telemetry: Telemetry) -> Flask:
    app = Flask("measured")
    measure_requests(app, telemetry, RecentRequests())
    problems.register(app)

    @app.post("/predict")
    def predict() -> str:
        return "scored"

    @app.post("/rerank")
    def rerank() -> str:
        raise ZeroDivisionError

    return app


def server_spans(collector: Collector) -> dict[str, Span]:
    return {span.name: span for span in collector.spans if "http.request.method" in span.attributes}


def test_a_server_span_says_method_route_and_status(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    client = app_of(telemetry).test_client()
    for path in ("/predict", "/rerank", "/nowhere"):
        client.post(path).close()
    assert telemetry.shutdown(5)

    seen = {name: (span.attributes, span.status) for name, span in server_spans(collector).items()}
    common = {
        "http.request.method": "POST",
        "network.protocol.version": "1.1",
        "server.port": 80,
        "url.scheme": "http",
    }
    assert seen == {
        "POST /predict": (
            {**common, "http.route": "/predict", "http.response.status_code": 200},
            StatusCode.UNSET.value,
        ),
        "POST /rerank": (
            {
                **common,
                "http.route": "/rerank",
                "http.response.status_code": 500,
                "error.type": "500",
                "mgeo.problem": "internal-error",
            },
            StatusCode.ERROR.value,
        ),
        "POST": (
            {**common, "http.response.status_code": 404, "mgeo.problem": "unknown-route"},
            StatusCode.UNSET.value,
        ),
    }


@pytest.mark.parametrize("name", ["OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS"])
def test_what_the_instrumentation_is_told_to_leave_out_is_left_out(
    collector: Collector, start: Start, name: str
) -> None:
    telemetry = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **{name: "nothing, http://localhost/pre"}
    )
    client = app_of(telemetry).test_client()
    for path in ("/predict", "/rerank"):
        client.post(path).close()
    assert telemetry.shutdown(5)

    assert list(server_spans(collector)) == ["POST /rerank"]


def test_a_disabled_sdk_sends_no_request(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_SDK_DISABLED="true")
    app_of(telemetry).test_client().post("/predict").close()
    assert telemetry.shutdown(5)

    assert collector.calls == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("/healthz", True),
        ("/healthz?x=1", True),
        ("/v2/models/mgeo/ready", True),
        ("/v2/models/mgeo/versions/1/ready", True),
        ("/predict?next=http://a/healthz", False),
        ("/predict?/healthz", False),
        ("/a/healthz", False),
        ("/healthz/a", False),
    ],
)
def test_a_probe_is_left_out_whatever_its_method_and_nothing_else(
    collector: Collector, start: Start, method: str, path: str, left_out: bool
) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    answer = app_of(telemetry).test_client().open(path, method=method)
    answer.close()
    assert telemetry.shutdown(5)

    assert len(server_spans(collector)) == (0 if left_out else 1)
    assert ("traceparent" in answer.headers) is not left_out


def test_what_a_version_failed_on_is_timed_as_its_error(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    app = app_of(telemetry)

    @app.post("/predict/batch")
    def batch() -> str:
        g.timeline.model_version = "v2"
        raise ZeroDivisionError

    app.test_client().post("/predict/batch").close()
    assert telemetry.shutdown(5)
    [timed] = collector.metrics["mgeo.request.duration"].points
    assert timed.attributes == {
        "method": "POST",
        "endpoint": "/predict/batch",
        "status_class": "5xx",
        "model_version": "v2",
    }
