"""Spans and log records as OTLP: what may leave the process, and nothing else.

The exporters' own encoders write all that a span holds, so an allow-list in front of them must copy
each span; and they look up the resource of each by writing it as JSON. Together that took half of
the interpreter's time when every request was sampled. These know one resource, and no field of a
span but those that may leave; and they keep the attributes that they made, since most are repeated.
"""

from __future__ import annotations

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
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as SdkScope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import Attributes
from typing_extensions import override

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


class AllowListExporter(OTLPSpanExporter):
    """Sends spans by OTLP over gRPC, without every attribute that is not on the list.

    Status descriptions and trace states are left out too: they may quote what a client sent.

    Args:
        resource: Of the provider whose spans it gets.
        meter_provider: Where it counts what it sends and loses.
    """

    def __init__(self, resource: resources.Resource, meter_provider: MeterProvider) -> None:
        super().__init__(meter_provider=meter_provider)
        self._resource, self._schema_url = _resource(resource), resource.schema_url

    @override
    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        scopes = [
            otlp.ScopeSpans(scope=scope, schema_url=url, spans=[_span(span) for span in spans])
            for scope, url, spans in _by_scope(data)
        ]
        whole = otlp.ResourceSpans(
            resource=self._resource, schema_url=self._schema_url, scope_spans=scopes
        )
        return ExportTraceServiceRequest(resource_spans=[whole])


class LogExporter(OTLPLogExporter):
    """Sends log records by OTLP over gRPC; `logs.for_export` has seen to what is in them.

    Args:
        resource: Of the provider whose records it gets.
        meter_provider: Where it counts what it sends and loses.
    """

    def __init__(self, resource: resources.Resource, meter_provider: MeterProvider) -> None:
        super().__init__(meter_provider=meter_provider)
        self._resource, self._schema_url = _resource(resource), resource.schema_url

    @override
    def _translate_data(self, data: Sequence[ReadableLogRecord]) -> ExportLogsServiceRequest:
        scopes = [
            otlp_logs.ScopeLogs(
                scope=scope, schema_url=url, log_records=[_log_record(record) for record in records]
            )
            for scope, url, records in _by_scope(data)
        ]
        whole = otlp_logs.ResourceLogs(
            resource=self._resource, schema_url=self._schema_url, scope_logs=scopes
        )
        return ExportLogsServiceRequest(resource_logs=[whole])


def _resource(resource: resources.Resource) -> Resource:
    # Ours, not a client's: all of it leaves.
    return Resource(attributes=_every(resource.attributes))


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


def _span(span: ReadableSpan) -> otlp.Span:
    context, parent = span.context, span.parent
    return otlp.Span(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent else b"",
        flags=_flags(parent),
        name=span_name(span),
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=span.end_time or 0,
        attributes=_attributes(span.attributes),
        events=[
            otlp.Span.Event(
                name=event.name,
                time_unix_nano=event.timestamp,
                attributes=_attributes(event.attributes),
            )
            for event in span.events
        ],
        links=[
            otlp.Span.Link(
                trace_id=link.context.trace_id.to_bytes(16, "big"),
                span_id=link.context.span_id.to_bytes(8, "big"),
                attributes=_attributes(link.attributes),
                flags=_flags(link.context),
            )
            for link in span.links
        ],
        status=_STATUS[span.status.status_code],
    )


def _flags(other: SpanContext | None) -> int:
    return _REMOTE if other and other.is_remote else _LOCAL


def _log_record(readable: ReadableLogRecord) -> otlp_logs.LogRecord:
    record = readable.log_record
    return otlp_logs.LogRecord(
        time_unix_nano=record.timestamp or 0,
        observed_time_unix_nano=record.observed_timestamp or 0,
        severity_number=record.severity_number.value if record.severity_number else 0,  # type: ignore[arg-type]
        severity_text=record.severity_text or "",
        body=_value(record.body if isinstance(record.body, _SCALARS) else str(record.body)),
        attributes=_every(record.attributes or {}),
        trace_id=record.trace_id.to_bytes(16, "big") if record.trace_id else b"",
        span_id=record.span_id.to_bytes(8, "big") if record.span_id else b"",
        flags=int(record.trace_flags or 0),
        event_name=record.event_name or "",
    )


_Scalar = str | bool | int | float
_SCALARS = (str, bool, int, float)


def _attributes(attributes: Attributes) -> list[KeyValue]:
    """Those that may leave, of a span. Each of them is one value, so a sequence is none of ours."""
    return [
        _attribute(key, value)
        for key, value in (attributes or {}).items()
        if key in ALLOWED_ATTRIBUTES and isinstance(value, _SCALARS)
    ]


def _every(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [
        _attribute(key, value if isinstance(value, _SCALARS) else str(value))
        for key, value in attributes.items()
    ]


def _attribute(key: str, value: _Scalar) -> KeyValue:
    # Hardly a fraction comes twice, so they would only push out what does; and 0.0 equals -0.0.
    if isinstance(value, float):
        return KeyValue(key=key, value=_value(value))
    return _kept_attribute(key, value)


@lru_cache(maxsize=4096, typed=True)  # typed: True and 1 are equal, and are not the same
def _kept_attribute(key: str, value: _Scalar) -> KeyValue:
    return KeyValue(key=key, value=_value(value))


def _value(value: _Scalar) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value)
