"""A request's stages as child spans of its server span, made after its answer was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Tracer,
    set_span_in_context,
)


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
        span = tracer.start_span(
            stage,
            context,
            attributes=timeline.attributes.get(stage),
            links=[Link(linked) for linked in links.get(stage, ())],
            start_time=timeline.epoch_ns(start),
        )
        span.end(timeline.epoch_ns(end))
