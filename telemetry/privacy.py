"""What may leave the process in a span: an allow-list, applied to every span before export.

Addresses are personal data. A client can put one where the code never does: in the path of a
request, its query string, a header (`tracestate` is one), or an exception's message. So nothing is
searched for addresses; only what cannot hold one is let through, by `otlp.py`. Log lines: see
`logs.py`.
"""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import Attributes, AttributeValue

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
        "mgeo.batch.cut",
        "mgeo.batch.lane",
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
        "mgeo.shadow.agreed",
        "mgeo.truncated",
        "mgeo.tokens",
    }
)
"""Keys whose values are numbers or come from a closed list of the code's own."""


def allowed(attributes: Attributes) -> dict[str, AttributeValue]:
    """The attributes that may leave the process."""
    return {key: value for key, value in (attributes or {}).items() if key in ALLOWED_ATTRIBUTES}


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
