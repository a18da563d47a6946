"""What the exporters put together from parts, against whole messages made by the library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from telemetry import wire
from telemetry.otlp import AllowListExporter, LogExporter
from telemetry.privacy import ALLOWED_ATTRIBUTES, span_name

RESOURCE = Resource({"service.name": "mgeo", "process.pid": 7, "ratio": -0.0}, "https://schema")
PROVIDER = MeterProvider(shutdown_on_exit=False)

# Equal values that are not the same, and texts whose length takes two bytes and three.
awkward = st.sampled_from(
    [
        *(True, False, 0, 1, -1, 0.0, -0.0, 1.0, float("nan"), float("-inf"), -(2**63), 2**63 - 1),
        *("", "1", "地址" * 50, "x" * 127, "x" * 128, "x" * 20_000),
    ]
)
values = awkward | st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8)
)
sequences = st.lists(st.integers(), max_size=2).map(tuple)
keys = st.sampled_from(sorted(ALLOWED_ATTRIBUTES)) | st.sampled_from(["url.path", "地址"])
attributes = st.none() | st.dictionaries(keys, values | sequences, max_size=6)
times = st.none() | st.sampled_from([0, 2**64 - 1]) | st.integers(0, 2**64 - 1)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.sampled_from([TraceFlags(flags) for flags in range(4)]),
)
scopes = st.none() | st.builds(
    Scope,
    st.sampled_from(["mgeo", "flask", ""]),
    st.sampled_from([None, "1"]),
    st.sampled_from([None, "https://scope"]),
)
spans = st.builds(
    ReadableSpan,
    st.text(max_size=8),
    context=contexts,
    parent=st.none() | contexts,
    resource=st.just(RESOURCE),
    attributes=attributes,
    events=st.lists(
        st.builds(Event, st.text(max_size=8), attributes, st.integers(0, 2**64 - 1)), max_size=2
    ),
    links=st.lists(st.builds(Link, contexts, attributes), max_size=3),
    kind=st.sampled_from(SpanKind),
    status=st.sampled_from([Status(code) for code in StatusCode]),
    start_time=times,
    end_time=times,
    instrumentation_scope=scopes,
)
records = st.builds(
    lambda scope, span, **named: ReadableLogRecord(
        LogRecord(context=set_span_in_context(NonRecordingSpan(span)), **named), RESOURCE, scope
    ),
    scope=scopes,
    span=st.sampled_from([SpanContext(*ids, is_remote=False) for ids in ((0, 0), (1, 0), (0, 1))])
    | contexts,
    timestamp=times,
    observed_timestamp=times,
    severity_text=st.sampled_from([None, "", "INFO"]),
    severity_number=st.none() | st.sampled_from(SeverityNumber),
    body=st.none() | values | sequences,
    attributes=st.none() | st.dictionaries(st.text(max_size=8), values | sequences, max_size=6),
    event_name=st.sampled_from([None, "", "started"]),
)


@pytest.fixture(scope="module")
def exporters() -> Iterator[tuple[AllowListExporter, LogExporter]]:
    both = AllowListExporter(RESOURCE, PROVIDER), LogExporter(RESOURCE, PROVIDER)
    yield both
    for one in both:
        one.shutdown()


@given(st.lists(spans, max_size=4))
def test_spans_are_those_the_library_makes(
    exporters: tuple[AllowListExporter, LogExporter], batch: list[ReadableSpan]
) -> None:
    assert same(exporters[0]._translate_data(batch), trace_request(batch))


@given(st.lists(records, max_size=4))
def test_log_records_are_those_the_library_makes(
    exporters: tuple[AllowListExporter, LogExporter], batch: list[ReadableLogRecord]
) -> None:
    assert same(exporters[1]._translate_data(batch), logs_request(batch))


@given(st.integers(0, 2**21))
@example(127)
@example(128)
@example(2**14 - 1)
@example(2**14)
def test_a_length_of_any_size_is_read_as_it_was_meant(length: int) -> None:
    scope = wire.encoded(InstrumentationScope(name="x" * length))
    made = wire.nested(trace_pb2.ScopeSpans, "scope")(scope)
    assert len(trace_pb2.ScopeSpans.FromString(made).scope.name) == length


def same(one: Message, other: Message) -> bool:
    """As bytes: no NaN equals another, and 0.0 equals -0.0."""
    return one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def trace_request(batch: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    scopes = [
        trace_pb2.ScopeSpans(
            scope=scope_of(scope),
            schema_url=scope and scope.schema_url,
            spans=[span_of(span) for span in batch if span.instrumentation_scope == scope],
        )
        for scope in dict.fromkeys(span.instrumentation_scope for span in batch)
    ]
    whole = trace_pb2.ResourceSpans(
        resource=resource(), schema_url=RESOURCE.schema_url, scope_spans=scopes
    )
    return ExportTraceServiceRequest(resource_spans=[whole])


def logs_request(batch: Sequence[ReadableLogRecord]) -> ExportLogsServiceRequest:
    scopes = [
        logs_pb2.ScopeLogs(
            scope=scope_of(scope),
            schema_url=scope and scope.schema_url,
            log_records=[log_of(one) for one in batch if one.instrumentation_scope == scope],
        )
        for scope in dict.fromkeys(one.instrumentation_scope for one in batch)
    ]
    whole = logs_pb2.ResourceLogs(
        resource=resource(), schema_url=RESOURCE.schema_url, scope_logs=scopes
    )
    return ExportLogsServiceRequest(resource_logs=[whole])


def resource() -> resource_pb2.Resource:
    return resource_pb2.Resource(attributes=every(RESOURCE.attributes))


def scope_of(scope: Scope | None) -> InstrumentationScope | None:
    return scope and InstrumentationScope(name=scope.name, version=scope.version)


def span_of(span: ReadableSpan) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=span.context.trace_id.to_bytes(16, "big"),
        span_id=span.context.span_id.to_bytes(8, "big"),
        parent_span_id=span.parent.span_id.to_bytes(8, "big") if span.parent else None,
        flags=flags(span.parent),
        name=span_name(span),
        kind=f"SPAN_KIND_{span.kind.name}",
        start_time_unix_nano=span.start_time,
        end_time_unix_nano=span.end_time,
        attributes=allowed(span.attributes),
        events=[
            trace_pb2.Span.Event(
                name=event.name,
                time_unix_nano=event.timestamp,
                attributes=allowed(event.attributes),
            )
            for event in span.events
        ],
        links=[
            trace_pb2.Span.Link(
                trace_id=link.context.trace_id.to_bytes(16, "big"),
                span_id=link.context.span_id.to_bytes(8, "big"),
                attributes=allowed(link.attributes),
                flags=flags(link.context),
            )
            for link in span.links
        ],
        status=trace_pb2.Status(code=f"STATUS_CODE_{span.status.status_code.name}"),
    )


def flags(other: SpanContext | None) -> int:
    return 0x300 if other and other.is_remote else 0x100


def log_of(readable: ReadableLogRecord) -> logs_pb2.LogRecord:
    record = readable.log_record
    [body] = every({"body": record.body})
    return logs_pb2.LogRecord(
        time_unix_nano=record.timestamp,
        observed_time_unix_nano=record.observed_timestamp,
        severity_number=record.severity_number and record.severity_number.value,
        severity_text=record.severity_text,
        body=body.value,
        attributes=every(record.attributes or {}),
        trace_id=record.trace_id.to_bytes(16, "big") if record.trace_id else None,
        span_id=record.span_id.to_bytes(8, "big") if record.span_id else None,
        flags=record.trace_flags,
        event_name=record.event_name,
    )


def allowed(attributes: Mapping[str, Any] | None) -> list[KeyValue]:
    return pairs(
        (key, value)
        for key, value in (attributes or {}).items()
        if key in ALLOWED_ATTRIBUTES and isinstance(value, (str, bool, int, float))
    )


def every(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return pairs(
        (key, value if isinstance(value, (str, bool, int, float)) else str(value))
        for key, value in attributes.items()
    )


def pairs(attributes: Iterable[tuple[str, Any]]) -> list[KeyValue]:
    fields = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    return [
        KeyValue(key=key, value=AnyValue(**{fields[type(value)]: value}))
        for key, value in attributes
    ]
