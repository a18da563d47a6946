"""The span that the Flask instrumentation makes of a request, as it arrives."""

from __future__ import annotations

import pytest
from flask import Flask
from opentelemetry.instrumentation import flask as instrumentation
from opentelemetry.trace import StatusCode
from opentelemetry.util.http import get_excluded_urls

from service.http import measure, problems
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


@pytest.mark.parametrize("name", measure._EXCLUSIONS)
def test_what_the_instrumentation_is_told_to_leave_out_is_left_out(
    collector: Collector, start: Start, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    telemetry = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **{name: "http://localhost/pre"}
    )
    # Read when it is imported, which was before.
    monkeypatch.setattr(instrumentation, "_excluded_urls_from_env", get_excluded_urls("FLASK"))
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
