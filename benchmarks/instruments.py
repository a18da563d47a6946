"""What a request's spans, measurements and exports cost, and what each of our parts adds or saves.

`python -m benchmarks.instruments` takes each two in turns, without sending anything, and gives the
processor time of the calling thread. What is encoded is a full batch, as the exporters get it: the
spans of many requests, few of them alike.
"""

from __future__ import annotations

import os
import statistics
import time
import timeit
from collections.abc import Callable, Sequence

from flask import Flask
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from typing_extensions import override
from werkzeug.test import EnvironBuilder

from service.scoring.timeline import STAGES, Timeline
from telemetry.instruments import LATENCY_SECONDS
from telemetry.privacy import AllowListExporter
from telemetry.recording import ObservedCounter
from telemetry.setup import ResourceHashedOnce
from telemetry.spans import emit_stages

_CALLS = 2000
_ROUNDS = 9
_REQUESTS = 73
"""Whose spans, seven each, are as many as the SDK exports at once."""

_REQUEST = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
_LINKS = {"compute": [_REQUEST]}
_LABELS = {"method": "POST", "endpoint": "/predict", "status": "200"}
_RESOURCE = Resource.create({"service.name": "mgeo-inference", "service.version": "1"})


class _Keep(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    @override
    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


class _Encode(SpanExporter):
    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def _timeline(tokens: int = 32) -> Timeline:
    timeline = Timeline()
    for stage in STAGES[1:]:
        timeline.enter(stage)
    timeline.finish()
    timeline.attributes["admit"] = {"mgeo.pairs.cached": 0, "mgeo.model_version": "bc497b6c3d1d"}
    timeline.attributes["tokenize"] = {"mgeo.pairs": 1, "mgeo.tokens": tokens}
    timeline.attributes["compute"] = {"mgeo.batch.size": 3, "mgeo.batch.tokens": 90}
    return timeline


def _exported() -> list[ReadableSpan]:
    keep, provider = _Keep(), TracerProvider(resource=_RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(keep)
    tracer = provider.get_tracer("mgeo")
    for number in range(1, _REQUESTS + 1):
        route = {"http.request.method": "POST", "http.route": "/predict", "url.path": "/predict"}
        server = tracer.start_span("POST", kind=SpanKind.SERVER, attributes=route)
        server.set_attribute("http.response.status_code", 200)
        batch = {"mgeo.batch.size": 1 + number % 8, "mgeo.batch.tokens": 30 + number}
        tracer.start_span("batch", set_span_in_context(server), attributes=batch).end()
        server.end()
        emit_stages(tracer, _timeline(30 + number), server.get_span_context(), _LINKS)
    return keep.ended


def _compare(
    what: str,
    one: tuple[str, Callable[[], object]],
    other: tuple[str, Callable[[], object]],
    at_once: int = 1,
) -> None:
    calls = max(20, _CALLS // at_once)  # enough to be timed

    def microseconds(call: Callable[[], object]) -> float:
        taken = timeit.timeit(call, number=calls, timer=time.thread_time)
        return taken / calls / at_once * 1e6

    rounds = [(microseconds(one[1]), microseconds(other[1])) for _ in range(_ROUNDS)]
    first, second = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{what}: {first:.1f} us {one[0]}, {second:.1f} us {other[0]} "
        f"(medians of {_ROUNDS} rounds in turns)"
    )


def _tracer(*, counts: bool) -> Tracer:
    """The SDK's own, that counts its spans or does not."""
    os.environ[OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED] = str(counts).lower()
    provider = TracerProvider(
        resource=_RESOURCE, shutdown_on_exit=False, meter_provider=NoOpMeterProvider()
    )
    provider.add_span_processor(SpanProcessor())
    return provider.get_tracer("mgeo")


def _meters(readers: int, *, exemplars: bool = False) -> MeterProvider:
    made = [InMemoryMetricReader() for _ in range(readers)]
    kept = TraceBasedExemplarFilter() if exemplars else AlwaysOffExemplarFilter()
    return MeterProvider(metric_readers=made, exemplar_filter=kept, shutdown_on_exit=False)


def _record(readers: int, *, exemplars: bool = False) -> Callable[[], None]:
    """A record of a stage's duration."""
    stage = _meters(readers, exemplars=exemplars).get_meter("mgeo").create_histogram(
        "mgeo.request.stage.duration", explicit_bucket_boundaries_advisory=LATENCY_SECONDS
    )  # fmt: skip
    labels = {"stage": "admit", "model_version": "bc497b6c3d1d"}
    return lambda: stage.record(0.012, labels)


def _answer(sampler: Sampler | None) -> Callable[[], None]:
    """A request to an application of Flask, instrumented if there is a sampler; no metrics."""
    app = Flask("measured")
    app.add_url_rule("/predict", view_func=lambda: "", methods=["POST"])
    if sampler is not None:
        provider = TracerProvider(sampler, _RESOURCE, shutdown_on_exit=False)
        provider.add_span_processor(SpanProcessor())
        FlaskInstrumentor().instrument_app(
            app, tracer_provider=provider, meter_provider=NoOpMeterProvider(),
            enable_commenter=False,
        )  # fmt: skip
    environ = EnvironBuilder("/predict", method="POST").get_environ()

    def answer() -> None:
        for _ in app.wsgi_app(dict(environ), lambda *_: lambda _: None):
            pass

    return answer


def main() -> None:
    """Measure and print."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"  # as the service has it
    tracer, timeline = _tracer(counts=False), _timeline()
    counting = _tracer(counts=True)
    unsampled = SpanContext(1, 2, is_remote=False)
    _compare(
        "five stage spans",
        ("if sampled", lambda: emit_stages(tracer, timeline, _REQUEST, _LINKS)),
        ("if not", lambda: emit_stages(tracer, timeline, unsampled, _LINKS)),
    )
    _compare(
        "the same by a tracer that counts its spans, into counters that do nothing",
        ("if sampled", lambda: emit_stages(counting, timeline, _REQUEST, _LINKS)),
        ("if not", lambda: emit_stages(counting, timeline, unsampled, _LINKS)),
    )
    for sampler, kind in ((ALWAYS_OFF, "not sampled"), (ALWAYS_ON, "sampled")):
        _compare(
            f"one request to Flask, {kind}",
            ("as it comes", _answer(None)),
            ("instrumented, without metrics", _answer(sampler)),
        )
    _compare(
        "one record of a histogram",
        ("for one reader", _record(1)),
        ("for two, as where metrics are both scraped and pushed", _record(2)),
    )
    token = attach(set_span_in_context(NonRecordingSpan(_REQUEST)))
    _compare(
        "one record of a histogram for one reader, in a sampled request",
        ("without exemplars", _record(1)),
        ("with them", _record(1, exemplars=True)),
    )
    meters = _meters(2, exemplars=True)
    counter, tally = (
        meters.get_meter("mgeo").create_counter("mgeo.request"),
        ObservedCounter("mgeo.request"),
    )
    _compare(
        "one count",
        ("by the SDK's counter", lambda: counter.add(1, _LABELS)),
        ("by ours", lambda: tally.add(1, _LABELS)),
    )
    detach(token)
    spans, bare = _exported(), _Encode()
    listed = AllowListExporter(bare, ResourceHashedOnce(_RESOURCE))
    _compare(
        "one span, encoded",
        ("by the SDK", lambda: bare.export(spans)),
        ("with the allow-list and one hash of the resource", lambda: listed.export(spans)),
        at_once=len(spans),
    )


if __name__ == "__main__":
    main()
