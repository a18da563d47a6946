"""What a request's spans, its log line and one count cost, by the SDK and by this service.

`python -m benchmarks.instruments` takes the two in turns, without sending anything. What is encoded
is a full batch, as the exporters get it: the spans and lines of many requests, few of them alike.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import AnyValue, AttributeValue
from typing_extensions import override

from telemetry.instruments import Tally
from telemetry.otlp import AllowListExporter, LogExporter
from telemetry.spans import STAGES, StageSpans, Timeline

_CALLS = 2000
_ROUNDS = 9
_REQUESTS = 73
"""Whose spans, seven each, are as many as the SDK exports at once."""

_REQUEST = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
_LABELS = {"method": "POST", "endpoint": "/predict", "status": "200"}


class _Keep(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    @override
    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def _timeline(tokens: int = 32) -> Timeline:
    timeline = Timeline()
    for stage in STAGES[1:]:
        timeline.enter(stage)
    timeline.finish()
    timeline.attributes["admit"] = {"mgeo.pairs.cached": 0, "mgeo.model_version": "3a210a1b2153"}
    timeline.attributes["tokenize"] = {"mgeo.pairs": 1, "mgeo.tokens": tokens}
    timeline.attributes["compute"] = {"mgeo.batch.size": 3, "mgeo.batch.tokens": 90}
    timeline.links["compute"] = [_REQUEST]
    return timeline


def _exported() -> tuple[list[ReadableSpan], list[ReadableLogRecord]]:
    keep, provider = _Keep(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(keep)
    scope = InstrumentationScope("mgeo")
    tracer, stage_spans = provider.get_tracer("mgeo"), StageSpans(keep, provider, scope)
    lines = []
    for number in range(1, _REQUESTS + 1):
        route = {"http.request.method": "POST", "http.route": "/predict"}
        server = tracer.start_span("POST", kind=SpanKind.SERVER, attributes=route)
        server.set_attribute("http.response.status_code", 200)
        inside = set_span_in_context(server)
        batch: dict[str, AttributeValue] = {
            "mgeo.batch.size": 1 + number % 8,
            "mgeo.batch.tokens": 30 + number,
            "mgeo.batch.lane": "interactive",
        }
        tracer.start_span("batch", context=inside, attributes=batch).end()
        server.end()
        stage_spans.emit(_timeline(30 + number), server.get_span_context())
        facts: dict[str, AnyValue] = {"method": "POST", "endpoint": "/predict", "status": 200}
        facts |= {f"{stage}_ms": number / 7 for stage in STAGES}
        record = LogRecord(
            timestamp=time.time_ns(),
            context=inside,
            severity_text="INFO",
            severity_number=SeverityNumber.INFO,
            body="request",
            attributes=facts,
        )
        lines.append(ReadableLogRecord(record, provider.resource, scope))
    return keep.ended, lines


def _compare(
    what: str, by_sdk: Callable[[], object], ours: Callable[[], object], at_once: int = 1
) -> None:
    calls = max(20, _CALLS // at_once)  # enough to be timed

    def microseconds(call: Callable[[], object]) -> float:
        return timeit.timeit(call, number=calls) / calls / at_once * 1e6

    rounds = [(microseconds(by_sdk), microseconds(ours)) for _ in range(_ROUNDS)]
    sdk, own = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{what}: {sdk:.1f} us by the SDK, {own:.1f} us here (medians of {_ROUNDS} rounds)")


def main() -> None:
    """Measure and print."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    tracer = provider.get_tracer("mgeo")
    stage_spans = StageSpans(SpanProcessor(), provider, InstrumentationScope("mgeo"))
    timeline, parent = _timeline(), set_span_in_context(NonRecordingSpan(_REQUEST))

    def sdk_spans() -> None:
        for stage, start, end in timeline.stages():
            span = tracer.start_span(
                stage,
                context=parent,
                attributes=timeline.attributes.get(stage),
                links=[Link(context) for context in timeline.links.get(stage, ())],
                start_time=timeline.epoch_ns(start),
            )
            span.end(timeline.epoch_ns(end))

    # Two readers, as where metrics are both scraped and pushed.
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    meters = MeterProvider(metric_readers=readers, shutdown_on_exit=False)
    counter, tally = meters.get_meter("mgeo").create_counter("mgeo.request"), Tally("mgeo.request")
    _compare("five stage spans", sdk_spans, lambda: stage_spans.emit(timeline, _REQUEST))
    token = attach(parent)
    _compare("one count", lambda: counter.add(1, _LABELS), lambda: tally.add(1, _LABELS))
    detach(token)

    spans, lines = _exported()
    span_exporter = AllowListExporter(provider.resource, meters)
    log_exporter = LogExporter(provider.resource, meters)
    _compare(
        "one span, encoded",
        lambda: encode_spans(spans).SerializeToString(),
        lambda: span_exporter._translate_data(spans).SerializeToString(),
        at_once=len(spans),
    )
    _compare(
        "one log line, encoded",
        lambda: encode_logs(lines).SerializeToString(),
        lambda: log_exporter._translate_data(lines).SerializeToString(),
        at_once=len(lines),
    )
    span_exporter.shutdown()
    log_exporter.shutdown()


if __name__ == "__main__":
    main()
