"""What one request's stage spans and one count cost, by the SDK and by this service.

`python -m benchmarks.instruments` takes the two in turns, without exporting anything: the encoders
run in other threads, and are measured with all else by `make bench`.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable

from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from telemetry.instruments import Tally
from telemetry.spans import STAGES, StageSpans, Timeline

_CALLS = 2000
_ROUNDS = 9

_REQUEST = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
_LABELS = {"method": "POST", "endpoint": "/predict", "status": "200"}


def _timeline() -> Timeline:
    timeline = Timeline()
    for stage in STAGES[1:]:
        timeline.enter(stage)
    timeline.finish()
    timeline.attributes["admit"] = {"mgeo.pairs.cached": 0, "mgeo.model_version": "3a210a1b2153"}
    timeline.attributes["tokenize"] = {"mgeo.pairs": 1, "mgeo.tokens": 32}
    timeline.attributes["compute"] = {"mgeo.batch.size": 3, "mgeo.batch.tokens": 90}
    timeline.links["compute"] = [_REQUEST]
    return timeline


def _compare(what: str, by_sdk: Callable[[], None], ours: Callable[[], None]) -> None:
    def microseconds(call: Callable[[], None]) -> float:
        return timeit.timeit(call, number=_CALLS) / _CALLS * 1e6

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


if __name__ == "__main__":
    main()
