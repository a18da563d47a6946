"""The spans of a request: its server span, and its stages as child spans of that.

The Flask instrumentation begins the server span when a thread takes the request. Under load the
wait before that is most of the request's time, and belongs to its span. So `ArrivalTracerProvider`
has it begin when the request arrived. The stages are made after the answer was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes
from typing_extensions import override


class Stages(Protocol):
    """The stages of a finished request."""

    @property
    def attributes(self) -> Mapping[Any, Mapping[str, str | int]]:
        """Of each stage that has some."""

    def stages(self) -> Sequence[tuple[str, int, int]]:
        """Each with its start and end in monotonic nanoseconds."""

    def epoch_ns(self, monotonic_ns: int) -> int:
        """A monotonic reading, in nanoseconds since the epoch."""


def emit_stages(
    tracer: Tracer,
    timeline: Stages,
    parent: SpanContext,
    links: Mapping[str, Sequence[SpanContext]],
) -> None:
    """Make the stages of a finished request into child spans of its server span, if sampled.

    Args:
        tracer: Makes them.
        timeline: Of the request.
        parent: The server span.
        links: Spans that each stage's span is linked to.
    """
    if not parent.trace_flags.sampled:
        return
    context = set_span_in_context(NonRecordingSpan(parent))
    for stage, start, end in timeline.stages():
        linked = links.get(stage)
        span = tracer.start_span(
            stage,
            context,
            attributes=timeline.attributes.get(stage),
            links=[Link(one) for one in linked] if linked else None,
            start_time=timeline.epoch_ns(start),
        )
        span.end(timeline.epoch_ns(end))


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
