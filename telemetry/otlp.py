"""Spans and log records as OTLP: what may leave the process, and nothing else.

The exporters' own encoders write all that a span holds, so an allow-list in front of them must copy
each span; and they look up the resource of each by writing it as JSON. Together that took half of
the interpreter's time when every request was sampled. These know one resource, and no field of a
span but those that may leave. Nearly all but ids, times and fractions is repeated, so it is encoded
once and kept, and a span is put together from such parts (see `wire.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2 as otlp_logs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp
from opentelemetry.sdk import resources
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as SdkScope
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import Attributes
from typing_extensions import override

from telemetry import wire
from telemetry.privacy import ALLOWED_ATTRIBUTES, span_name

_Scoped = TypeVar("_Scoped", ReadableSpan, ReadableLogRecord)

_KINDS = {
    SpanKind.INTERNAL: otlp.Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: otlp.Span.SPAN_KIND_SERVER,
    SpanKind.CLIENT: otlp.Span.SPAN_KIND_CLIENT,
    SpanKind.PRODUCER: otlp.Span.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: otlp.Span.SPAN_KIND_CONSUMER,
}
_STATUS = {
    StatusCode.UNSET: otlp.Status(),
    StatusCode.OK: otlp.Status(code=otlp.Status.STATUS_CODE_OK),
    StatusCode.ERROR: otlp.Status(code=otlp.Status.STATUS_CODE_ERROR),
}
_LOCAL = otlp.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | otlp.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

_RESOURCE_SPANS = wire.nested(ExportTraceServiceRequest, "resource_spans")
_SCOPE_SPANS = wire.nested(otlp.ResourceSpans, "scope_spans")
_SPAN = wire.nested(otlp.ScopeSpans, "spans")
_EVENT = wire.nested(otlp.Span, "events")
_LINK = wire.nested(otlp.Span, "links")
_RESOURCE_LOGS = wire.nested(ExportLogsServiceRequest, "resource_logs")
_SCOPE_LOGS = wire.nested(otlp_logs.ResourceLogs, "scope_logs")
_LOG_RECORD = wire.nested(otlp_logs.ScopeLogs, "log_records")
_RESOURCE_ATTRIBUTE = wire.nested(Resource, "attributes")
_SPAN_ATTRIBUTE = wire.nested(otlp.Span, "attributes")
_EVENT_ATTRIBUTE = wire.nested(otlp.Span.Event, "attributes")
_LINK_ATTRIBUTE = wire.nested(otlp.Span.Link, "attributes")
_LOG_ATTRIBUTE = wire.nested(otlp_logs.LogRecord, "attributes")
_VALUE = wire.nested(KeyValue, "value")
_DOUBLE = struct.Struct("<d").pack

# What stands before the values that differ from span to span and from record to record.
_TRACE_ID = wire.head(otlp.Span, "trace_id", 16)
_SPAN_ID = wire.head(otlp.Span, "span_id", 8)
_PARENT_ID = wire.head(otlp.Span, "parent_span_id", 8)
_START = wire.head(otlp.Span, "start_time_unix_nano", 8)
_END = wire.head(otlp.Span, "end_time_unix_nano", 8)
_LINKED_TRACE_ID = wire.head(otlp.Span.Link, "trace_id", 16)
_LINKED_SPAN_ID = wire.head(otlp.Span.Link, "span_id", 8)
_LINK_FLAGS = wire.head(otlp.Span.Link, "flags", 4)
_LOG_TIME = wire.head(otlp_logs.LogRecord, "time_unix_nano", 8)
_LOG_OBSERVED = wire.head(otlp_logs.LogRecord, "observed_time_unix_nano", 8)
_LOG_TRACE_ID = wire.head(otlp_logs.LogRecord, "trace_id", 16)
_LOG_SPAN_ID = wire.head(otlp_logs.LogRecord, "span_id", 8)


class AllowListExporter(OTLPSpanExporter):
    """Sends spans by OTLP over gRPC, without every attribute that is not on the list.

    Status descriptions and trace states are left out too: they may quote what a client sent.

    Args:
        resource: Of the provider whose spans it gets.
        meter_provider: Where it counts what it sends and loses.
    """

    def __init__(self, resource: resources.Resource, meter_provider: MeterProvider) -> None:
        super().__init__(meter_provider=meter_provider)
        self._resource = _resource(resource, otlp.ResourceSpans)

    @override
    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        whole = b"".join(
            _SCOPE_SPANS(
                wire.encoded(otlp.ScopeSpans(scope=scope, schema_url=url))
                + b"".join(map(_span, spans))
            )
            for scope, url, spans in _by_scope(data)
        )
        request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(
            _RESOURCE_SPANS(self._resource + whole)
        )
        return request


class LogExporter(OTLPLogExporter):
    """Sends log records by OTLP over gRPC; `logs.exported` has seen to what is in them.

    Args:
        resource: Of the provider whose records it gets.
        meter_provider: Where it counts what it sends and loses.
    """

    def __init__(self, resource: resources.Resource, meter_provider: MeterProvider) -> None:
        super().__init__(meter_provider=meter_provider)
        self._resource = _resource(resource, otlp_logs.ResourceLogs)

    @override
    def _translate_data(self, data: Sequence[ReadableLogRecord]) -> ExportLogsServiceRequest:
        whole = b"".join(
            _SCOPE_LOGS(
                wire.encoded(otlp_logs.ScopeLogs(scope=scope, schema_url=url))
                + b"".join(map(_log_record, records))
            )
            for scope, url, records in _by_scope(data)
        )
        request: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(
            _RESOURCE_LOGS(self._resource + whole)
        )
        return request


def _resource(
    resource: resources.Resource, whole: type[otlp.ResourceSpans | otlp_logs.ResourceLogs]
) -> bytes:
    # Ours, not a client's: all of it leaves.
    ours = Resource.FromString(b"".join(_every(_RESOURCE_ATTRIBUTE, resource.attributes)))
    return wire.encoded(whole(resource=ours, schema_url=resource.schema_url))


def _by_scope(
    data: Sequence[_Scoped],
) -> Iterable[tuple[InstrumentationScope | None, str, list[_Scoped]]]:
    groups: dict[SdkScope | None, list[_Scoped]] = {}
    for one in data:
        groups.setdefault(one.instrumentation_scope, []).append(one)
    for scope, members in groups.items():
        if scope is None:
            yield None, "", members
        else:
            encoded = InstrumentationScope(name=scope.name, version=scope.version or "")
            yield encoded, scope.schema_url or "", members


def _span(span: ReadableSpan) -> bytes:
    context, parent = span.context, span.parent
    # The `_value_` of kind, status and severity: their `value` and their hash are slow, in Python.
    parts = [
        _kept_of_span(
            span_name(span), span.kind._value_, span.status.status_code._value_, _flags(parent)
        ),
        _TRACE_ID,
        context.trace_id.to_bytes(16, "big"),
        _SPAN_ID,
        context.span_id.to_bytes(8, "big"),
        _START,
        (span.start_time or 0).to_bytes(8, "little"),
        _END,
        (span.end_time or 0).to_bytes(8, "little"),
        *_attributes(_SPAN_ATTRIBUTE, span.attributes),
    ]
    if parent:
        parts += _PARENT_ID, parent.span_id.to_bytes(8, "big")
    for event in span.events:
        parts.append(_event(event))
    for link in span.links:
        parts.append(_link(link))
    return _SPAN(b"".join(parts))


@lru_cache(maxsize=1024)
def _kept_of_span(name: str, kind: int, status: int, flags: int) -> bytes:
    return wire.encoded(
        otlp.Span(
            name=name,
            kind=_KINDS[SpanKind(kind)],
            status=_STATUS[StatusCode(status)],
            flags=flags,
        )
    )


def _event(event: Event) -> bytes:
    own = wire.encoded(otlp.Span.Event(name=event.name, time_unix_nano=event.timestamp))
    return _EVENT(own + b"".join(_attributes(_EVENT_ATTRIBUTE, event.attributes)))


def _link(link: Link) -> bytes:
    context = link.context
    parts = [
        _LINKED_TRACE_ID,
        context.trace_id.to_bytes(16, "big"),
        _LINKED_SPAN_ID,
        context.span_id.to_bytes(8, "big"),
        _LINK_FLAGS,
        _flags(context).to_bytes(4, "little"),
        *_attributes(_LINK_ATTRIBUTE, link.attributes),
    ]
    return _LINK(b"".join(parts))


def _flags(other: SpanContext | None) -> int:
    return _REMOTE if other and other.is_remote else _LOCAL


def _log_record(readable: ReadableLogRecord) -> bytes:
    record = readable.log_record
    parts = [
        _kept_of_log_record(
            record.severity_number and record.severity_number._value_,
            record.severity_text,
            record.event_name,
            record.trace_flags,
        ),
        _LOG_TIME,
        (record.timestamp or 0).to_bytes(8, "little"),
        _LOG_OBSERVED,
        (record.observed_timestamp or 0).to_bytes(8, "little"),
        _body(record.body),
        *_every(_LOG_ATTRIBUTE, record.attributes or {}),
    ]
    if record.trace_id:
        parts += _LOG_TRACE_ID, record.trace_id.to_bytes(16, "big")
    if record.span_id:
        parts += _LOG_SPAN_ID, record.span_id.to_bytes(8, "big")
    return _LOG_RECORD(b"".join(parts))


@lru_cache(maxsize=1024)
def _kept_of_log_record(
    severity: int | None, text: str | None, event: str | None, flags: int | None
) -> bytes:
    return wire.encoded(
        otlp_logs.LogRecord(
            severity_number=severity or 0,  # type: ignore[arg-type]
            severity_text=text or "",
            event_name=event or "",
            flags=flags or 0,
        )
    )


def _body(body: object) -> bytes:
    if isinstance(body, str):
        return _kept_body(body)
    value = _value(body if isinstance(body, _SCALARS) else str(body))
    return wire.encoded(otlp_logs.LogRecord(body=value))


@lru_cache(maxsize=1024)
def _kept_body(text: str) -> bytes:
    return wire.encoded(otlp_logs.LogRecord(body=_value(text)))


_Scalar = str | bool | int | float
_SCALARS = (str, bool, int, float)


def _attributes(field: wire.Field, attributes: Attributes) -> list[bytes]:
    """Those that may leave, of a span. Each of them is one value, so a sequence is none of ours."""
    return [
        _kept_before_float(field, key) + _DOUBLE(value)
        if isinstance(value, float)
        else _kept_attribute(field, key, value)
        for key, value in (attributes or {}).items()
        if key in ALLOWED_ATTRIBUTES and isinstance(value, _SCALARS)
    ]


def _every(field: wire.Field, attributes: Mapping[str, Any]) -> list[bytes]:
    # By the keys: to go through the items of the SDK's own mapping takes twice as long.
    return [
        _kept_before_float(field, key) + _DOUBLE(value)
        if isinstance(value := attributes[key], float)
        else _kept_attribute(field, key, value if isinstance(value, _SCALARS) else str(value))
        for key in attributes
    ]


# No fractions are kept: hardly one comes twice, and 0.0 equals -0.0.
@lru_cache(maxsize=4096, typed=True)  # typed: True and 1 are equal, and are not the same
def _kept_attribute(field: wire.Field, key: str, value: _Scalar) -> bytes:
    return field(wire.encoded(KeyValue(key=key, value=_value(value))))


@lru_cache(maxsize=1024)
def _kept_before_float(field: wire.Field, key: str) -> bytes:
    zero = _VALUE(wire.encoded(AnyValue(double_value=0.0)))
    return field(wire.encoded(KeyValue(key=key)) + zero).removesuffix(_DOUBLE(0.0))


def _value(value: _Scalar) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value)
