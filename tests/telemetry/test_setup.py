from __future__ import annotations

import json
import logging
import os
import threading
import time

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from telemetry import environment, setup
from telemetry import instruments as metrics
from telemetry.logs import ExportingHandler
from telemetry.setup import Telemetry, TelemetryError
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start
from tests.telemetry.exposition import scrape
from tests.waiting import Stopwatch

IDENTITY = {
    "service.name": "mgeo-inference",
    "service.version": "1.2.3",
    "service.instance.id": "here:5000",
}
ROUTE = {"method": "POST", "endpoint": "/predict"}
NOBODY = "http://127.0.0.1:9"
PROTOCOLS = ["grpc", "http/protobuf"]
LONGEST_EXPORT_SECONDS = int(environment.DEFAULTS["OTEL_EXPORTER_OTLP_TIMEOUT"]) / 1000


def pushing(collector: Collector, protocol: str) -> dict[str, str]:
    """The variables that push everything to the collector."""
    endpoint = collector.endpoint if protocol == "grpc" else collector.http_endpoint
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


def use_all_signals(telemetry: Telemetry) -> SpanContext:
    """A span, a measurement and a log line, as a request makes them."""
    with telemetry.tracer.start_as_current_span("work"):
        telemetry.instruments.request_duration.record(0.2, ROUTE)
        logging.getLogger("mgeo.request").warning("done", extra={"status": 200})
        return trace.get_current_span().get_span_context()


def remote_parent(*, sampled: bool) -> trace.Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    context = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(context))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_signals_arrive_with_their_identity(
    collector: Collector, start: Start, protocol: str
) -> None:
    telemetry = start(**pushing(collector, protocol))
    context = use_all_signals(telemetry)
    assert telemetry.shutdown(60)

    [span] = collector.spans
    [log] = [log for log in collector.logs if log.logger == "mgeo.request"]
    duration = collector.metrics["mgeo.request.duration"]
    for received in (span, log, duration):
        assert received.resource.items() >= IDENTITY.items()
        assert "service.namespace" not in received.resource
    ids = (format(context.trace_id, "032x"), format(context.span_id, "016x"))
    assert (span.name, span.trace_id, span.span_id) == ("work", *ids)
    assert (log.body, log.severity, log.attributes) == ("done", "WARN", {"status": 200})
    assert (log.trace_id, log.span_id) == ids
    [point] = duration.points
    assert (duration.unit, point.attributes, point.count, point.value) == ("s", ROUTE, 1, 0.2)
    assert point.exemplars == ((*ids, 0.2),)


def test_pushed_and_scraped_metrics_are_the_same(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    use_all_signals(telemetry)
    scraped = scrape(telemetry)
    assert telemetry.shutdown(60)

    assert scraped.repeated() == []
    assert scraped.value("mgeo_request_duration_seconds_count", **ROUTE) == 1
    process = {"process.cpu.time", "process.memory.usage", "process.thread.count"}
    assert collector.metrics.keys() >= process
    assert scraped.families.keys() >= {"process_memory_usage_bytes", "process_thread_count"}
    target = {name.replace(".", "_"): value for name, value in IDENTITY.items()}
    [info] = scraped.families["target"].samples
    assert info.labels.items() >= target.items()


def test_a_gauge_may_be_read_as_any_kind_of_number(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    telemetry.instruments.observe_value(metrics.READY, lambda: True)
    telemetry.instruments.observe_value(metrics.QUEUE_DEPTH, lambda: np.int64(3))
    telemetry.instruments.observe_value(metrics.QUEUE_OLDEST_AGE, lambda: np.float32(0.5))
    assert telemetry.shutdown(60)

    pushed = {name: metric.points[0].value for name, metric in collector.metrics.items()}
    assert (pushed["mgeo.ready"], pushed["mgeo.queue.depth"]) == (1, 3)
    assert pushed["mgeo.queue.oldest_age"] == 0.5


def test_what_the_exporters_sent_is_counted(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    use_all_signals(telemetry)
    telemetry.tracer_provider.force_flush()

    seen = scrape(telemetry)
    assert seen.total("otel_sdk_exporter_span_exported_total") == 1
    duration = seen.families["otel_sdk_exporter_operation_duration_seconds"]
    bounds = {s.labels["le"] for s in duration.samples if s.name.endswith("_bucket")}
    assert bounds == {*map(str, metrics.LATENCY_SECONDS), "+Inf"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine,service.instance.id=one%20two,team=x"},
            {"service.name": "mine", "service.instance.id": "one two", "team": "x"},
        ),
        ({"OTEL_SERVICE_NAME": "other"}, {"service.name": "other"}),
        (
            {
                "OTEL_SERVICE_NAME": "wins",
                "OTEL_RESOURCE_ATTRIBUTES": "service.name=loses,service.version=9",
            },
            {"service.name": "wins", "service.version": "9"},
        ),
    ],
)
def test_identity_from_the_environment_wins(
    collector: Collector, start: Start, variables: dict[str, str], expected: dict[str, str]
) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **variables)
    use_all_signals(telemetry)
    assert telemetry.shutdown(60)

    for received in (*collector.spans, *collector.logs, *collector.metrics.values()):
        assert received.resource.items() >= (IDENTITY | expected).items()


def test_without_an_endpoint_nothing_is_sampled(start: Start) -> None:
    telemetry = start()
    context = use_all_signals(telemetry)
    with telemetry.tracer.start_as_current_span("child", context=remote_parent(sampled=True)):
        telemetry.instruments.request_duration.record(0.2, ROUTE)

    assert not context.trace_flags.sampled
    seen = scrape(telemetry)
    assert seen.value("mgeo_request_duration_seconds_count", **ROUTE) == 2
    assert seen.exemplars() == []
    assert not telemetry.pushes_traces


def test_without_an_endpoint_a_sampler_is_honoured_and_that_nobody_gets_it_is_said(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = start(OTEL_TRACES_SAMPLER="always_on")

    assert use_all_signals(telemetry).trace_flags.sampled
    assert any("traces go nowhere" in record.message for record in caplog.records)


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_each_signal_can_be_switched_off(collector: Collector, start: Start, signal: str) -> None:
    telemetry = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        **{f"OTEL_{signal.upper()}_EXPORTER": "none"},
    )
    use_all_signals(telemetry)
    seen = scrape(telemetry)
    assert telemetry.shutdown(60)

    arrived = {
        "traces": bool(collector.spans),
        "metrics": bool(collector.metrics),
        "logs": bool(collector.logs),
    }
    assert arrived == {"traces": True, "metrics": True, "logs": True} | {signal: False}
    assert bool(seen.exemplars()) is (signal != "traces")


def test_one_signal_alone_can_have_an_endpoint(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.endpoint)
    use_all_signals(telemetry)
    assert telemetry.shutdown(60)

    assert (len(collector.spans), len(collector.logs), len(collector.metrics)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("sampler", "argument", "parent", "sampled"),
    [
        ("parentbased_traceidratio", "0", None, False),
        ("parentbased_traceidratio", "0", True, True),
        ("parentbased_traceidratio", "1", None, True),
        ("parentbased_traceidratio", "1", False, False),
        ("traceidratio", "0", True, False),
        ("always_off", None, None, False),
        (None, None, None, True),
        (None, None, False, False),
    ],
)
def test_the_sampler_is_honoured(
    collector: Collector,
    start: Start,
    sampler: str | None,
    argument: str | None,
    parent: bool | None,
    sampled: bool,
) -> None:
    given = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    variables = {name: value for name, value in given.items() if value is not None}
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **variables)
    context = None if parent is None else remote_parent(sampled=parent)
    with telemetry.tracer.start_as_current_span("work", context=context):
        telemetry.instruments.request_duration.record(0.2, ROUTE)
    seen = scrape(telemetry)
    assert telemetry.shutdown(60)

    assert len(collector.spans) == len(seen.exemplars()) == int(sampled)


def test_a_disabled_sdk_does_nothing(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_SDK_DISABLED="true")
    use_all_signals(telemetry)
    seen = scrape(telemetry)
    assert telemetry.shutdown(60)

    assert collector.calls == 0
    assert seen.samples == []


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger", "use one of otlp, console, none"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json", "use grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "begin it with http:// or https://"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector", "begin it with http:// or https://"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds from 100 to 3600000 are expected"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3", "3 seconds are 3000"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "nan", "milliseconds from 100 to 3600000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "a whole number from 1 to 86400000 is expected"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "use one of always_on,"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(
    start: Start, name: str, value: str, says: str
) -> None:
    with pytest.raises(TelemetryError) as refused:
        start(**{name: value})

    message = str(refused.value)
    assert message.startswith(f"{name}={value!r}: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("share", ["10", "-1", "half", "nan"])
def test_a_share_of_traces_that_is_none_is_refused(start: Start, share: str) -> None:
    with pytest.raises(TelemetryError, match="OTEL_TRACES_SAMPLER_ARG"):
        start(OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG=share)


def test_an_empty_variable_counts_as_unset(start: Start) -> None:
    telemetry = start(
        OTEL_EXPORTER_OTLP_ENDPOINT="",
        OTEL_EXPORTER_OTLP_TIMEOUT="",
        OTEL_METRIC_EXPORT_INTERVAL=" ",
        OTEL_TRACES_SAMPLER="",
        OTEL_SERVICE_NAME="",
    )

    assert not telemetry.pushes_traces
    empty = [name for name, value in os.environ.items() if value.strip() == ""]
    assert not [name for name in empty if name.startswith("OTEL_")]
    [info] = scrape(telemetry).families["target"].samples
    assert info.labels["service_name"] == "mgeo-inference"


def test_defaults_give_way_to_the_environment() -> None:
    os.environ["OTEL_METRIC_EXPORT_INTERVAL"] = "60000"
    environment.apply()

    assert os.environ["OTEL_METRIC_EXPORT_INTERVAL"] == "60000"
    assert os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] == "http"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_timeout_is_in_milliseconds(collector: Collector, start: Start, protocol: str) -> None:
    """As the specification says; the SDK takes the variable for seconds."""
    collector.mode = "hang"
    telemetry = start(**pushing(collector, protocol), OTEL_EXPORTER_OTLP_TIMEOUT="1000")
    telemetry.tracer.start_span("work").end()
    began = time.monotonic()
    with Stopwatch() as watch:
        telemetry.tracer_provider.force_flush()

    assert time.monotonic() - began > 0.9
    assert watch.seconds < 5


@pytest.mark.parametrize("state", ["dead", "hanging", "refusing"])
def test_a_sick_collector_costs_little_and_shutdown_keeps_its_bound(
    collector: Collector, start: Start, state: str
) -> None:
    if state != "dead":
        collector.mode = "hang" if state == "hanging" else "refuse"
    endpoint = NOBODY if state == "dead" else collector.endpoint
    with Stopwatch() as watch:
        telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        for _ in range(200):
            use_all_signals(telemetry)
        seen = scrape(telemetry)
    # Less than one attempt to export.
    assert watch.seconds < LONGEST_EXPORT_SECONDS
    assert seen.value("mgeo_request_duration_seconds_count", **ROUTE) == 200

    with Stopwatch() as watch:
        telemetry.shutdown(2)
    assert watch.seconds < 5, "2 s in all, not for each of the three signals"


def test_shutdown_has_one_deadline_for_all() -> None:
    never = threading.Event()
    telemetry = Telemetry.__new__(Telemetry)
    telemetry._closers = [lambda: never.wait(60) and None] * 8
    telemetry.gpu = setup.GpuSampler()

    with Stopwatch() as watch:
        assert telemetry.shutdown(1) is False
    assert watch.seconds < 6, "1 s in all, not for each of the eight"
    never.set()
    assert telemetry.shutdown(60) is True


def test_the_limits_of_log_records_are_honoured(collector: Collector, start: Start) -> None:
    telemetry = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT="4",
    )
    logging.getLogger("mgeo.request").warning("long", extra={"text": "123456", "number": 123456})
    assert telemetry.shutdown(60)

    [log] = [log for log in collector.logs if log.logger == "mgeo.request"]
    assert log.attributes == {"text": "1234", "number": 123456}


def test_more_lines_than_can_wait_are_dropped_and_said_so(
    collector: Collector, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    collector.mode = "hang"
    telemetry = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_BLRP_MAX_QUEUE_SIZE="4",
        OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="4",
    )
    for number in range(20):
        logging.getLogger("mgeo.request").warning("line", extra={"number": number})
    telemetry.shutdown(0.1)

    assert "Queue full, dropping Log." in caplog.messages


def test_a_line_that_cannot_be_exported_fails_no_request(
    collector: Collector, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    [handler] = [h for h in logging.getLogger().handlers if isinstance(h, ExportingHandler)]
    record = logging.makeLogRecord({"name": "mgeo.request", "msg": "%d", "args": ("杭州市",)})
    handler.handle(record)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # The exporters of the test before this one may still say that they failed.
    [lost] = [line for line in lines if line["message"] == "a log line is lost"]
    assert lost["of"] == "mgeo.request"
    assert lost["exception"] == "TypeError"
    assert "杭州市" not in str(lost)
    use_all_signals(telemetry)
    assert telemetry.shutdown(60)

    assert [log.body for log in collector.logs if log.logger == "mgeo.request"] == ["done"]


def test_shutdown_leaves_no_log_handler(collector: Collector, start: Start) -> None:
    before = list(logging.getLogger().handlers)
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    assert len(logging.getLogger().handlers) == len(before) + 1
    assert telemetry.shutdown(60)

    assert logging.getLogger().handlers == before
