"""What a request's spans, its exports and one count cost, and what each of our parts adds or saves.

`python -m benchmarks.instruments` takes each two in turns, without sending anything. What is
encoded is a full batch, as the exporters get it: the spans of many requests, few of them alike.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Sequence

from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from typing_extensions import override

from service.scoring.timeline import STAGES, Timeline
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
        return timeit.timeit(call, number=calls) / calls / at_once * 1e6

    rounds = [(microseconds(one[1]), microseconds(other[1])) for _ in range(_ROUNDS)]
    first, second = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{what}: {first:.1f} us {one[0]}, {second:.1f} us {other[0]} "
        f"(medians of {_ROUNDS} rounds in turns)"
    )


def main() -> None:
    """Measure and print."""
    provider = TracerProvider(resource=_RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    tracer, timeline = provider.get_tracer("mgeo"), _timeline()
    unsampled = SpanContext(1, 2, is_remote=False)
    _compare(
        "five stage spans",
        ("if sampled", lambda: emit_stages(tracer, timeline, _REQUEST, _LINKS)),
        ("if not", lambda: emit_stages(tracer, timeline, unsampled, _LINKS)),
    )
    # Two readers, as where metrics are both scraped and pushed.
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    meters = MeterProvider(metric_readers=readers, shutdown_on_exit=False)
    counter, tally = (
        meters.get_meter("mgeo").create_counter("mgeo.request"),
        ObservedCounter("mgeo.request"),
    )
    token = attach(set_span_in_context(NonRecordingSpan(_REQUEST)))
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
