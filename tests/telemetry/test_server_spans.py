from __future__ import annotations

from typing import Any

import pytest
import requests
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from telemetry.server_spans import ServerSpans, _ServerTracer
from tests.conftest import Running

ADDRESS = "".join(["翠苑", "小区", "7幢"])


class Made:
    """A tracer, and the spans that it has made."""

    def __init__(self, sampler: Sampler = DEFAULT_ON, *, left_out: bool = False) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(sampler, shutdown_on_exit=False)
        spans = ServerSpans(
            self.provider, SimpleSpanProcessor(self._kept), left_out=lambda: left_out
        )
        self.tracer: Tracer = spans.get_tracer("flask", "1")

    def spans(self) -> list[ReadableSpan]:
        return list(self._kept.get_finished_spans())


def test_it_keeps_what_may_leave_and_nothing_else() -> None:
    made = Made()
    span = made.tracer.start_span(
        "GET", kind=SpanKind.SERVER, attributes={"url.path": ADDRESS, "mgeo.pairs": 1}, start_time=5
    )
    span.set_attribute("user_agent.original", ADDRESS)
    span.set_attributes({"http.route": "/predict", "url.query": ADDRESS})
    span.add_event("read", {"address": ADDRESS, "mgeo.tokens": 7}, 6)
    span.record_exception(ValueError(ADDRESS), {"exception.message": ADDRESS}, 7)
    span.set_status(Status(StatusCode.ERROR, ADDRESS))
    span.add_link(SpanContext(3, 4, is_remote=True), {"from": ADDRESS})
    span.update_name("GET /predict")
    assert span.is_recording()
    span.end(9)
    span.end(10)

    assert not span.is_recording()
    [ended] = made.spans()
    assert (ended.name, ended.kind, ended.start_time, ended.end_time) == (
        "GET /predict", SpanKind.SERVER, 5, 9,
    )  # fmt: skip
    assert dict(ended.attributes or {}) == {"mgeo.pairs": 1, "http.route": "/predict"}
    assert [
        (event.name, dict(event.attributes or {}), event.timestamp) for event in ended.events
    ] == [
        ("read", {"mgeo.tokens": 7}, 6),
        ("exception", {"exception.type": "ValueError"}, 7),
    ]
    assert (ended.status.status_code, ended.status.description) == (StatusCode.ERROR, None)
    assert [(link.context.trace_id, dict(link.attributes or {})) for link in ended.links] == [
        (3, {})
    ]
    assert ended.resource == made.provider.resource
    assert ended.instrumentation_scope is not None
    assert ended.instrumentation_scope.name == "flask"


def test_it_belongs_to_the_trace_of_its_parent() -> None:
    made = Made()
    parent = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with made.tracer.start_as_current_span("GET", set_span_in_context(NonRecordingSpan(parent))):
        pass
    with made.tracer.start_as_current_span("GET"):
        pass

    child, root = made.spans()
    assert child.parent == parent
    assert child.context.trace_id == 7
    assert root.parent is None
    assert root.context.trace_id not in (0, 7)
    assert child.context.span_id != root.context.span_id


@pytest.mark.parametrize("sampled", [True, False])
def test_the_client_has_decided_whether_it_is_sampled(sampled: bool) -> None:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=flags))
    made = Made()
    span = made.tracer.start_span("GET", set_span_in_context(parent))
    span.end()

    assert span.get_span_context().trace_flags.sampled is sampled
    assert len(made.spans()) == sampled


def test_one_that_is_not_sampled_has_ids_and_is_not_kept() -> None:
    made = Made(ALWAYS_OFF)
    span = made.tracer.start_span("GET")
    span.end()

    assert span.get_span_context().is_valid
    assert made.spans() == []


def test_one_that_is_left_out_has_not_even_ids() -> None:
    made = Made(left_out=True)
    span = made.tracer.start_span("GET")
    span.end()

    assert not span.get_span_context().is_valid
    assert made.spans() == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_probe_is_left_out_whatever_its_method(
    running: Running, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    has_ids: list[bool] = []
    start_span = _ServerTracer.start_span

    def noted(*arguments: Any, **named: Any) -> Span:
        span = start_span(*arguments, **named)
        has_ids.append(span.get_span_context().is_valid)
        return span

    monkeypatch.setattr(_ServerTracer, "start_span", noted)
    requests.request(method, f"{running.predictions}/healthz", timeout=10)
    running.post("/predict", {"address1": "a", "address2": "b"})

    assert has_ids == [False, True]
