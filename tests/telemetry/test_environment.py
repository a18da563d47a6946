"""The specification's table of variables: each value is honoured, or refused in one clear line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from opentelemetry.sdk import environment_variables as sdk_environment

from service.http.measure import measure_requests
from telemetry import environment
from telemetry.environment import VARIABLES, TelemetryError
from telemetry.recent import RecentRequests
from tests.serving import Service, run
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start

_SIGNALS = ("", "TRACES_", "METRICS_", "LOGS_")
_LIMITS = [name for name in VARIABLES if name.endswith("_LIMIT")]
_NO_PEM = str(Path(__file__).parents[2] / "README.md")
_PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"


def _otlp(name: str, *values: str) -> list[tuple[str, str]]:
    return [(f"OTEL_EXPORTER_OTLP_{scope}{name}", value) for scope in _SIGNALS for value in values]


HONOURED = [
    *(("OTEL_SDK_DISABLED", value) for value in ("false", "TRUE", "maybe")),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b=%E6%9D%AD,c=x%2Cy, d = 2"),
    ("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,k8s.pod.name=p"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=杭州"),
    ("OTEL_SERVICE_NAME", "other"),
    *(("OTEL_LOG_LEVEL", level) for level in ("debug", "INFO", "warn", "error")),
    *(
        ("OTEL_TRACES_SAMPLER", f"{parent}{sampler}")
        for parent in ("", "parentbased_")
        for sampler in ("always_on", "always_off", "traceidratio", "ALWAYS_ON")
    ),
    *(("OTEL_TRACES_SAMPLER_ARG", value) for value in ("0.5", "anything", "jaeger=1")),
    *(
        (f"OTEL_{prefix}_{name}", value)
        for prefix in ("BSP", "BLRP")
        for name, value in (
            ("SCHEDULE_DELAY", "1"),
            ("SCHEDULE_DELAY", "5000"),
            ("EXPORT_TIMEOUT", "0"),
            ("EXPORT_TIMEOUT", "30000"),
            ("MAX_QUEUE_SIZE", "1"),
            ("MAX_QUEUE_SIZE", "100"),
            ("MAX_QUEUE_SIZE", "100000"),
            ("MAX_EXPORT_BATCH_SIZE", "1"),
            ("MAX_EXPORT_BATCH_SIZE", "2048"),
        )
    ),
    *((name, value) for name in _LIMITS for value in ("0", "1", "128", " 4 ", "2147483647")),
    *(
        (f"OTEL_{signal}_EXPORTER", value)
        for signal in ("TRACES", "METRICS", "LOGS")
        for value in ("otlp", "console", "none", "OTLP", "otlp,console", "console,otlp,otlp")
    ),
    ("OTEL_METRICS_EXPORTER", "prometheus"),
    ("OTEL_METRICS_EXPORTER", "prometheus,otlp"),
    *(
        ("OTEL_METRICS_EXEMPLAR_FILTER", value)
        for value in ("trace_based", "always_on", "always_off", "TRACE_BASED", "Always_On")
    ),
    *(("OTEL_METRIC_EXPORT_INTERVAL", value) for value in ("1000", "60000")),
    *(("OTEL_METRIC_EXPORT_TIMEOUT", value) for value in ("1000", "30000")),
    *_otlp("INSECURE", "true", "False", "1"),
    *_otlp("HEADERS", "key=value", "authorization=Bearer%20x, a=b", "x-key="),
    *_otlp("COMPRESSION", "gzip", "GZIP", "none", "deflate"),
    *_otlp("TIMEOUT", "3000", "5000", "10000"),
    *_otlp("PROTOCOL", "grpc", "GRPC"),
    *(
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", value)
        for value in ("cumulative", "DELTA", "lowmemory")
    ),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "BASE2_EXPONENTIAL_BUCKET_HISTOGRAM",
    ),
    ("OTEL_EXPORTER_PROMETHEUS_HOST", "0.0.0.0"),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "9464"),
    ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://zipkin:9411"),
    ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "10000"),
    *(
        ("OTEL_SEMCONV_STABILITY_OPT_IN", value)
        for value in ("http", "http/dup", "database", "gen_ai_latest_experimental", "nonsense")
    ),
    *(("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", value) for value in ("otel", "process,os", "*")),
    ("OTEL_PYTHON_ID_GENERATOR", "random"),
    ("OTEL_PYTHON_CONTEXT", "contextvars_context"),
    ("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "false"),
    ("OTEL_PYTHON_EXCLUDED_URLS", "health,^http://a"),
    ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", ".*/nothing"),
    *(
        (f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_{name}", value)
        for name in ("SERVER_REQUEST", "SERVER_RESPONSE", "SANITIZE_FIELDS")
        for value in ("*", ".*", "[", "accept,user-agent")
    ),
    ("OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS", "1"),
    ("OTEL_NOT_A_VARIABLE", "x"),
]
"""Values with a meaning, or without an effect: the start and a request go on as ever."""

REFUSED = [
    ("OTEL_RESOURCE_ATTRIBUTES", "service.name", "not key=value"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,=2", "not key=value"),
    ("OTEL_LOG_LEVEL", "loud", "use one of trace,"),
    ("OTEL_PROPAGATORS", "b4", "'b4' is not installed; use b3, b3multi, baggage, tracecontext"),
    ("OTEL_PROPAGATORS", "tracecontext,xray", "or install opentelemetry-propagator-xray"),
    ("OTEL_PROPAGATORS", "TraceContext", "use b3, b3multi, baggage, tracecontext, none"),
    *(
        ("OTEL_TRACES_SAMPLER", value, "use one of always_on,")
        for value in ("jaeger_remote", "parentbased_jaeger_remote", "xray", "always", "1")
    ),
    *(
        (f"OTEL_{prefix}_{name}", value, "a whole number from")
        for prefix in ("BSP", "BLRP")
        for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")
        for value in ("0", "-1", "many", "1.5")
    ),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16385", "lower it, or raise OTEL_BSP_MAX_QUEUE_SIZE"),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "2049", "lower it, or raise OTEL_BLRP_MAX_QUEUE_SIZE"),
    *((name, value, "a whole number from 0") for name in _LIMITS for value in ("-1", "x", "1e3")),
    *(
        (f"OTEL_{signal}_EXPORTER", value, "use one of otlp, console, none")
        for signal in ("TRACES", "METRICS", "LOGS")
        for value in ("jaeger", "zipkin", "logging", "otlp;console")
    ),
    ("OTEL_TRACES_EXPORTER", "prometheus", "use one of otlp, console, none"),
    ("OTEL_TRACES_EXPORTER", "none,otlp", "none stands alone"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "always", "use one of trace_based, always_on, always_off"),
    *(
        (name, value, "a whole number from 1 to 86400000 is expected")
        for name in ("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT")
        for value in ("0", "-5", "soon", "15s")
    ),
    *((*pair, "begin it with http") for pair in _otlp("ENDPOINT", "collector:4317", "collector")),
    *(
        (*pair, "is not an address")
        for pair in _otlp("ENDPOINT", "ftp://collector", "http://", "http://a:99999", "http://a b")
    ),
    *((*pair, "use one of grpc, http/protobuf") for pair in _otlp("PROTOCOL", "http", "udp")),
    *((*pair, "no OTLP/JSON exporter") for pair in _otlp("PROTOCOL", "http/json")),
    *((*pair, "use one of none, gzip, deflate") for pair in _otlp("COMPRESSION", "zstd", "snappy")),
    *((*pair, "3 seconds are 3000") for pair in _otlp("TIMEOUT", "3", "-1", "10s", "inf", "nan")),
    *((*pair, "cannot be read") for pair in _otlp("CERTIFICATE", "/no/such.pem")),
    *((*pair, "cannot be read") for pair in _otlp("CLIENT_KEY", "/no/such.pem")),
    *((*pair, "is not a PEM file") for pair in _otlp("CLIENT_CERTIFICATE", _NO_PEM)),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "both",
        "use one of cumulative, delta, lowmemory",
    ),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "linear", "use one of explicit"),
    ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "aws", "'aws' is not installed"),
    ("OTEL_PYTHON_ID_GENERATOR", "xray", "'xray' is not installed"),
    ("OTEL_PYTHON_CONTEXT", "none", "'none' is not installed"),
    ("OTEL_PYTHON_TRACER_PROVIDER", "mine", "'mine' is not installed"),
    ("OTEL_PYTHON_METER_PROVIDER", "mine", "'mine' is not installed"),
    *(
        (name, value, "is not a regular expression")
        for name in ("OTEL_PYTHON_EXCLUDED_URLS", "OTEL_PYTHON_FLASK_EXCLUDED_URLS")
        for value in ("*", "[", "a,(")
    ),
    ("OTEL_CONFIG_FILE", "/no/such.yaml", "cannot be read"),
    ("OTEL_CONFIG_FILE", "/", "cannot be read"),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", "otel.yaml", "is called OTEL_CONFIG_FILE now"),
]
"""Values without a meaning, and what the one line says."""


def test_the_table_is_long_and_names_every_variable() -> None:
    tried = {name for name, *_ in (*HONOURED, *REFUSED)}
    assert len(HONOURED) + len(REFUSED) >= 150
    assert set(VARIABLES) <= tried
    # Whatever the installed SDK reads, but switches for its own developers.
    known = {
        value
        for name, value in vars(sdk_environment).items()
        if name.startswith("OTEL_") and not name.endswith("_CONFIGURATOR")
    }
    assert known - set(VARIABLES) == set()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Collector]:
    with Collector() as received:
        yield received


def _first_values_are_quick() -> Iterator[Any]:
    """Each value starts all of telemetry: `make check` tries one of each variable."""
    seen: set[str] = set()
    for name, value in HONOURED:
        marks = [pytest.mark.slow] if name in seen else []
        yield pytest.param(name, value, marks=marks, id=f"{name}-{value}")
        seen.add(name)


@pytest.mark.parametrize(("name", "value"), list(_first_values_are_quick()))
def test_a_value_with_a_meaning_breaks_neither_the_start_nor_a_request(
    receiver: Collector, start: Start, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    app = Flask("measured")
    telemetry = start(**{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, name: value})
    measure_requests(app, telemetry, RecentRequests())
    app.post("/predict")(lambda: "scored")
    with app.test_client() as client:
        answer = client.post("/predict", headers={"X-Note": "杭州".encode().decode("latin-1")})
    answer.close()
    telemetry.prometheus.render("text/plain")
    assert telemetry.shutdown(10)

    assert answer.status_code == 200
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(("name", "value", "says"), REFUSED, ids=lambda text: str(text)[:60])
def test_a_value_without_a_meaning_is_refused_in_one_line(name: str, value: str, says: str) -> None:
    with pytest.raises(TelemetryError) as refused:
        environment.check({name: value})

    message = str(refused.value)
    assert message.startswith(f"{name}={value!r}: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("value", ["a=é", "a=%E6%9D%AD", "a=secret\x07", "secret", "sec ret=1"])
@pytest.mark.parametrize("scope", _SIGNALS)
def test_a_header_that_cannot_be_sent_is_refused_and_not_quoted(scope: str, value: str) -> None:
    name = f"OTEL_EXPORTER_OTLP_{scope}HEADERS"
    with pytest.raises(TelemetryError, match=f"^{name}: ") as refused:
        environment.check({name: value})

    assert "é" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("variables", "sent_to"),
    [
        ({"ENDPOINT": "https://c:1", "INSECURE": "true"}, ("https://c:1", False)),
        ({"ENDPOINT": "http://c:1", "INSECURE": "false"}, ("http://c:1", True)),
        ({"ENDPOINT": "c:1", "INSECURE": "true"}, ("http://c:1", True)),
        ({"ENDPOINT": "c:1", "INSECURE": "false"}, ("https://c:1", False)),
        ({"ENDPOINT": "unix:/run/c.sock"}, ("unix:/run/c.sock", True)),
        ({"TRACES_ENDPOINT": "http://own:1", "ENDPOINT": "http://all:1"}, ("http://own:1", True)),
        ({"ENDPOINT": "http://c/", "PROTOCOL": "http/protobuf"}, ("http://c/v1/traces", True)),
        (
            {"TRACES_ENDPOINT": "http://c/x", "TRACES_PROTOCOL": "http/protobuf"},
            ("http://c/x", True),
        ),
        ({}, None),
    ],
)
def test_where_a_signal_is_sent(
    variables: dict[str, str], sent_to: tuple[str, bool] | None
) -> None:
    read = environment.check({f"OTEL_EXPORTER_OTLP_{k}": v for k, v in variables.items()})
    assert environment.endpoint(read, "traces") == sent_to


def test_one_timeout_for_all_is_for_all_and_without_it_ours_hold() -> None:
    ours, theirs = environment.check({}), environment.check({"OTEL_EXPORTER_OTLP_TIMEOUT": "9000"})
    seconds = [environment.of_signal(ours, s, "TIMEOUT") for s in environment.SIGNALS]
    assert seconds == ["60000", "3000", "60000"]
    assert {environment.of_signal(theirs, s, "TIMEOUT") for s in environment.SIGNALS} == {"9000"}


def test_a_small_queue_makes_small_batches() -> None:
    read = environment.check({"OTEL_BSP_MAX_QUEUE_SIZE": "100"})
    assert read["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] == "100"


def test_a_client_certificate_needs_its_key(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_text(_PEM)
    with pytest.raises(TelemetryError, match="OTEL_EXPORTER_OTLP_CLIENT_KEY is set without"):
        environment.check({"OTEL_EXPORTER_OTLP_CLIENT_KEY": str(pem)})


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_PROPAGATORS": "b3", "OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_PROPAGATORS": "none", "OTEL_METRICS_EXEMPLAR_FILTER": "ALWAYS_ON"},
        {
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "*",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_MAX_QUEUE_SIZE": "10",
        },
        {
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_LOGS_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "console",
            "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider",
        },
        {"OTEL_SDK_DISABLED": "true", "OTEL_PROPAGATORS": "tracecontext,b3multi"},
    ],
    ids=lambda variables: ",".join(variables),
)
def test_the_service_serves_with_them(variables: dict[str, str]) -> None:
    with Service(**variables) as service:
        body = {"address1": "文三路138号", "address2": "文三路138号"}
        url = "http://{}:{}/predict".format(*service.predictions)
        assert requests.post(url, json=body, timeout=30).status_code == 200
        assert service.terminate() == 0
    assert "Traceback" not in "\n".join(service.lines)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["b4", "tracecontext,ottrace", "jaeger"])
def test_the_service_refuses_before_anything_slow_and_helps_all_the_same(value: str) -> None:
    refused = run("serve", OTEL_PROPAGATORS=value)
    helped = run("--help", OTEL_PROPAGATORS=value)

    assert (refused.returncode, refused.stdout) == (2, "")
    [line] = refused.stderr.splitlines()
    assert line.startswith(f"mgeo: error: OTEL_PROPAGATORS={value!r}: ")
    assert (helped.returncode, helped.stderr) == (0, "")
