"""Lets the spans of an instrumentation begin when the request arrived.

The Flask instrumentation begins its span when a thread takes the request. Under load the wait
before that is most of the request's time, and belongs to its span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TracerProvider
from opentelemetry.util.types import Attributes
from typing_extensions import override


class ArrivalTracerProvider(TracerProvider):
    """A tracer provider whose spans begin at a time that it asks for.

    Args:
        provider: Makes the spans.
        arrived_ns: Asked at each span for its beginning, in nanoseconds since the epoch.
    """

    def __init__(self, provider: TracerProvider, arrived_ns: Callable[[], int | None]) -> None:
        self._provider, self._arrived_ns = provider, arrived_ns

    @override
    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        tracer = self._provider.get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        return _ArrivalTracer(tracer, self._arrived_ns)


class _ArrivalTracer(Tracer):
    def __init__(self, tracer: Tracer, arrived_ns: Callable[[], int | None]) -> None:
        self._tracer, self._arrived_ns = tracer, arrived_ns

    @override
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        return self._tracer.start_span(
            name,
            context,
            kind,
            attributes,
            links,
            self._arrived_ns() or start_time,
            record_exception,
            set_status_on_exception,
        )

    @override
    def start_as_current_span(  # type: ignore[override]  # the API's own decorator is private
        self, name: str, *arguments: object, **named: object
    ) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(name, *arguments, **named)  # type: ignore[arg-type]
