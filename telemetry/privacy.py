"""What may leave the process in a span: an allow-list, applied to every span before export.

Addresses are personal data. A client can put one where the code never does: in the path of a
request, its query string, a header (`tracestate` is one), or an exception's message. So nothing is
searched for addresses; only what cannot hold one is let through. Log lines: see `logs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue
from typing_extensions import override

from telemetry.conventions import SPANS

ALLOWED_ATTRIBUTES = frozenset(key for span in SPANS for key in span.attributes)
"""Keys whose values are numbers or come from a closed list of the code's own: `conventions.py`."""


_ONE_VALUE = (str, bool, int, float)


def allowed(attributes: Attributes) -> dict[str, AttributeValue]:
    """The attributes that may leave the process. Each of them is one value, no sequence."""
    return {
        key: value
        for key, value in (attributes or {}).items()
        if key in ALLOWED_ATTRIBUTES and isinstance(value, _ONE_VALUE)
    }


def span_name(span: ReadableSpan) -> str:
    """The name under which a span may leave: a server span's is made of its method and route.

    The instrumentation puts the path of a request that no route takes into the name.
    """
    if span.kind is not SpanKind.SERVER:
        return span.name
    attributes = span.attributes or {}
    method = attributes.get("http.request.method", "_OTHER")
    route = attributes.get("http.route")
    named = "HTTP" if method == "_OTHER" else str(method)
    return f"{named} {route}" if route else named


class AllowListExporter(SpanExporter):
    """Hands spans on to an exporter, without every attribute that is not on the list.

    Status descriptions and trace states are left out too: they may quote what a client sent.

    Args:
        exporter: Sends them.
        resource: Whose they are; the same for all signals, whoever made the span's provider.
    """

    def __init__(self, exporter: SpanExporter, resource: Resource) -> None:
        self._exporter, self._resource = exporter, resource

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([self._filtered(span) for span in spans])

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def _filtered(self, span: ReadableSpan) -> ReadableSpan:
        # All of them: to look whether a span may leave as it is takes as long as a copy, which the
        # encoders read faster than the SDK's own kinds of mapping and list.
        return ReadableSpan(
            span_name(span),
            context=_without_state(span.context),
            parent=span.parent,
            resource=self._resource,
            attributes=allowed(span.attributes),
            events=[
                Event(event.name, allowed(event.attributes), event.timestamp)
                for event in span.events
            ],
            links=[
                Link(_without_state(link.context), allowed(link.attributes)) for link in span.links
            ],
            kind=span.kind,
            status=_STATUS[span.status.status_code],
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


_STATUS = {code: Status(code) for code in StatusCode}


def _without_state(context: SpanContext) -> SpanContext:
    if not context.trace_state:
        return context
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
