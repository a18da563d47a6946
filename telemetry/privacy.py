"""What may leave the process: an allow-list of attributes, applied to every span before export.

Addresses are personal data. A client can put one where the code never does: in the path of a
request, its query string, a header, or an exception's message. So attributes are not searched for
addresses; only keys that cannot hold one are let through.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status
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
        "mgeo.batch.padded_tokens",
        "mgeo.batch.size",
        "mgeo.batch.tokens",
        "mgeo.device",
        "mgeo.label",
        "mgeo.model",
        "mgeo.model_version",
        "mgeo.pairs",
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
        return self._inner.export([_stripped(span) for span in spans])

    @override
    def shutdown(self) -> None:
        self._inner.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _stripped(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=allowed(span.attributes),
        events=[
            Event(event.name, allowed(event.attributes), event.timestamp) for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        # A status description repeats the exception's message, which may quote the input.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )
