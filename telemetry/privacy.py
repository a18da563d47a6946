"""What may leave the process in a span: an allow-list, applied to every span before export.

Addresses are personal data. A client can put one where the code never does: in the path of a
request, its query string, a header (`tracestate` is one), or an exception's message. So nothing is
searched for addresses; only what cannot hold one is let through. Log lines: see `logs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status
from opentelemetry.util.types import Attributes, AttributeValue
from typing_extensions import override

ALLOWED_ATTRIBUTES = frozenset(
    {
        "error.type",
        "exception.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "network.protocol.version",
        "server.port",
        "url.scheme",
        "mgeo.batch.computed_tokens",
        "mgeo.batch.size",
        "mgeo.batch.tokens",
        "mgeo.device",
        "mgeo.label",
        "mgeo.model",
        "mgeo.model_version",
        "mgeo.pairs",
        "mgeo.pairs.cached",
        "mgeo.pairs.coalesced",
        "mgeo.problem",
        "mgeo.truncated",
        "mgeo.tokens",
    }
)
"""Keys whose values are numbers or come from a closed list of the code's own."""


def allowed(attributes: Attributes) -> dict[str, AttributeValue]:
    """The attributes that may leave the process."""
    return {key: value for key, value in (attributes or {}).items() if key in ALLOWED_ATTRIBUTES}


class AllowListExporter(SpanExporter):
    """Passes spans on to `inner`, stripped of every attribute that is not on the list.

    Runs in the exporting thread, not on a request's way.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([s if _holds_nothing_else(s) else _stripped(s) for s in spans])

    @override
    def shutdown(self) -> None:
        self._inner.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _holds_nothing_else(span: ReadableSpan) -> bool:
    """Whether a span is fit to leave as it is: our own are, and copying each one costs."""
    if span.kind is SpanKind.SERVER or span.events or span.status.description:
        return False
    if span.attributes and not span.attributes.keys() <= ALLOWED_ATTRIBUTES:
        return False
    if span.context.trace_state or (span.parent and span.parent.trace_state):
        return False
    return not any(link.attributes or link.context.trace_state for link in span.links)


def _stripped(span: ReadableSpan) -> ReadableSpan:
    attributes = allowed(span.attributes)
    return ReadableSpan(
        name=_name(span, attributes),
        context=_without_state(span.context),
        parent=_without_state(span.parent) if span.parent else None,
        resource=span.resource,
        attributes=attributes,
        events=[
            Event(event.name, allowed(event.attributes), event.timestamp) for event in span.events
        ],
        links=[Link(_without_state(ln.context), allowed(ln.attributes)) for ln in span.links],
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        # A status description repeats the exception's message, which may quote the input.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _name(span: ReadableSpan, attributes: dict[str, AttributeValue]) -> str:
    # The instrumentation puts the path of a request that no route takes into the span's name.
    if span.kind is not SpanKind.SERVER:
        return span.name
    method = attributes.get("http.request.method", "_OTHER")
    route = attributes.get("http.route")
    named = "HTTP" if method == "_OTHER" else str(method)
    return f"{named} {route}" if route else named


def _without_state(context: SpanContext) -> SpanContext:
    # `tracestate` is the client's own text; sampling here does not use it.
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
