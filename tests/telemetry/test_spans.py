from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags, Tracer

from service.scoring.timeline import STAGES, Timeline, epoch_offset_ns
from telemetry.spans import emit_stages
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start

# Readings from a second before the request to a second after it, in no order.
MARKS = st.lists(
    st.tuples(
        st.sampled_from(STAGES), st.none() | st.integers(min_value=-(10**9), max_value=10**9)
    ),
    max_size=12,
)


def played(marks: list[tuple[str, int | None]]) -> Timeline:
    timeline = Timeline()
    now = time.perf_counter_ns()
    for stage, offset in marks:
        timeline.enter(stage, None if offset is None else now + offset)
    timeline.finish()
    return timeline


def tracer_into(kept: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider.get_tracer("mgeo")


@settings(deadline=None)
@given(MARKS)
def test_any_marks_add_up_without_gap_or_overlap(marks: list[tuple[str, int | None]]) -> None:
    timeline = played(marks)
    stages = list(timeline.stages())

    assert [stage for stage, _, _ in stages] == ["admit", *(stage for stage, _ in marks)]
    assert all(start <= end for _, start, end in stages)
    assert [end for _, _, end in stages[:-1]] == [start for _, start, _ in stages[1:]]
    assert stages[-1][2] == timeline.finished
    total = sum(end - start for _, start, end in stages)
    assert total == timeline.finished - stages[0][1]
    assert timeline.seconds == total / 1e9


@settings(deadline=None)
@given(MARKS)
def test_any_marks_become_spans_that_tile_the_request(marks: list[tuple[str, int | None]]) -> None:
    kept = InMemorySpanExporter()
    timeline = played(marks)
    timeline.attributes["compute"] = {"mgeo.batch.size": 3}
    before = time.time_ns()
    server = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    emit_stages(tracer_into(kept), timeline, server, {})

    spans = kept.get_finished_spans()
    assert [span.name for span in spans] == [stage for stage, _, _ in timeline.stages()]
    assert [span.end_time for span in spans[:-1]] == [span.start_time for span in spans[1:]]
    assert spans[-1].end_time - spans[0].start_time == round(timeline.seconds * 1e9)
    assert abs(spans[0].start_time - before) < 10e9
    assert {(span.context.trace_id, span.parent.span_id) for span in spans} == {(1, 2)}
    assert len({span.context.span_id for span in spans}) == len(spans)
    for span in spans:
        assert dict(span.attributes) == ({"mgeo.batch.size": 3} if span.name == "compute" else {})


def test_a_request_that_is_not_sampled_makes_no_stage_span() -> None:
    kept = InMemorySpanExporter()
    unsampled = SpanContext(1, 2, is_remote=False)
    emit_stages(tracer_into(kept), played([("respond", None)]), unsampled, {})

    assert kept.get_finished_spans() == ()


def test_a_step_of_the_wall_clock_bends_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = Timeline()
    monkeypatch.setattr("service.scoring.timeline.time.time_ns", lambda: 0)
    timeline.enter("respond")
    timeline.finish()

    assert 0 <= timeline.seconds < 3600


def test_a_request_begins_when_it_arrived_and_not_when_a_thread_was_free(
    collector: Collector, start: Start
) -> None:
    """The span is the Flask instrumentation's, which begins it when a thread takes the request."""
    from service.http import predict, request_context
    from service.settings import Settings

    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    app = predict.create_app(Settings(), SimpleNamespace(), telemetry, lambda: False)
    arrived = time.perf_counter_ns() - 2_000_000_000
    app.test_client().get("/nowhere", environ_overrides={request_context.ARRIVED: arrived}).close()
    assert telemetry.shutdown(5)

    spans = {span.name: span for span in collector.spans}
    assert spans["GET"].end_ns - spans["GET"].start_ns > 2e9
    assert abs(spans["admit"].start_ns - spans["GET"].start_ns) < 1_000


def test_a_thread_that_loses_the_processor_between_two_clocks_bends_no_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    epoch, lost = 1_700_000_000 * 10**9, 4_000_000
    now, readings = 0, 0

    def read(offset: int) -> int:
        nonlocal now, readings
        readings += 1
        now += lost if readings in (2, 6) else 100
        return now + offset

    monkeypatch.setattr(time, "perf_counter_ns", lambda: read(0))
    monkeypatch.setattr(time, "time_ns", lambda: read(epoch))

    assert abs(epoch_offset_ns() - epoch) <= 100
