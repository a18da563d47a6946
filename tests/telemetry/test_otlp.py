"""The encoders against the exporters' own, where nothing is to be left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from telemetry.otlp import AllowListExporter, LogExporter
from telemetry.privacy import ALLOWED_ATTRIBUTES

RESOURCE = Resource({"service.name": "mgeo", "process.pid": 7, "ratio": 0.5}, "https://schema")
PROVIDER = MeterProvider(shutdown_on_exit=False)

scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text()
)
# Equal values that are not the same among them: 1, 1.0 and True; 0.0 and -0.0.
values = st.sampled_from([True, False, 0, 1, 0.0, -0.0, 1.0, "1"]) | scalars
allowed = st.dictionaries(st.sampled_from(sorted(ALLOWED_ATTRIBUTES)), values, max_size=4)
times = st.integers(1, 2**63)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(TraceFlags.SAMPLED)),
)
scopes = st.builds(
    InstrumentationScope,
    st.sampled_from(["mgeo", "flask"]),
    st.sampled_from([None, "1"]),
    st.sampled_from([None, "https://scope"]),
)
spans = st.builds(
    ReadableSpan,
    st.text(max_size=8),
    context=contexts,
    parent=st.none() | contexts,
    resource=st.just(RESOURCE),
    attributes=allowed,
    events=st.lists(st.builds(Event, st.text(max_size=8), allowed, times), max_size=2),
    links=st.lists(st.builds(Link, contexts, allowed), max_size=2),
    # A server's span is named anew.
    kind=st.sampled_from([kind for kind in SpanKind if kind is not SpanKind.SERVER]),
    status=st.sampled_from([Status(code) for code in StatusCode]),
    start_time=times,
    end_time=times,
    instrumentation_scope=scopes,
)
records = st.builds(
    lambda scope, **named: ReadableLogRecord(LogRecord(**named), RESOURCE, scope),
    scope=scopes,
    timestamp=times,
    observed_timestamp=times,
    severity_text=st.none() | st.just("INFO"),
    severity_number=st.none() | st.sampled_from(SeverityNumber),
    body=values,
    attributes=st.dictionaries(st.text(max_size=8), values, max_size=4),
)


@pytest.fixture(scope="module")
def exporters() -> Iterator[tuple[AllowListExporter, LogExporter]]:
    both = AllowListExporter(RESOURCE, PROVIDER), LogExporter(RESOURCE, PROVIDER)
    yield both
    for one in both:
        one.shutdown()


@given(st.lists(spans, min_size=1, max_size=4))
def test_spans_are_encoded_as_by_the_library(
    exporters: tuple[AllowListExporter, LogExporter], batch: list[ReadableSpan]
) -> None:
    assert exporters[0]._translate_data(batch) == encode_spans(batch)


@given(st.lists(records, min_size=1, max_size=4))
def test_log_records_are_encoded_as_by_the_library(
    exporters: tuple[AllowListExporter, LogExporter], batch: list[ReadableLogRecord]
) -> None:
    assert exporters[1]._translate_data(batch) == encode_logs(batch)
