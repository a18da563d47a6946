"""The server span of each request, for the Flask instrumentation, at a fraction of the SDK's cost.

The SDK's span checks and copies each attribute under a lock, and the instrumentation sets each of
them twice, most of them facts that must not leave the process. This one keeps what may leave and
drops the rest at once. Who samples, who makes ids and who exports are the SDK's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    use_span,
)
from opentelemetry.trace import TracerProvider as TracerProviderApi
from opentelemetry.util.types import Attributes, AttributeValue
from typing_extensions import override

from telemetry.privacy import ALLOWED_ATTRIBUTES, allowed


class ServerSpans(TracerProviderApi):
    """A tracer provider for instrumentation that makes one span a request.

    Args:
        provider: Whose sampler, ids and resource are used.
        processor: Where spans go when they have ended.
        left_out: Asked in each request's context whether it gets no span.
    """

    def __init__(
        self, provider: TracerProvider, processor: SpanProcessor, left_out: Callable[[], bool]
    ) -> None:
        self.provider, self.processor, self.left_out = provider, processor, left_out

    @override
    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        scope = InstrumentationScope(
            instrumenting_module_name, instrumenting_library_version, schema_url
        )
        return _ServerTracer(self, scope)


class _ServerTracer(Tracer):
    def __init__(self, spans: ServerSpans, scope: InstrumentationScope) -> None:
        self.processor, self.scope = spans.processor, scope
        self.resource = spans.provider.resource
        self._left_out = spans.left_out
        self._sampler, self._ids = spans.provider.sampler, spans.provider.id_generator

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
        if self._left_out():
            return INVALID_SPAN
        parent: SpanContext | None = get_current_span(context).get_span_context()
        if parent is not None and parent.is_valid:
            trace_id, random_id = parent.trace_id, parent.trace_flags.random_trace_id
        else:
            parent = None
            trace_id, random_id = self._ids.generate_trace_id(), self._ids.is_trace_id_random()
        sampled = self._sampler.should_sample(context, trace_id, name, kind, attributes, links)
        keep = sampled.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags.SAMPLED if keep else TraceFlags.DEFAULT
        if random_id:
            flags |= TraceFlags.RANDOM_TRACE_ID
        own = SpanContext(
            trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(flags),
            trace_state=sampled.trace_state,
        )
        if not keep:
            return NonRecordingSpan(own)
        span = _ServerSpan(self, name, own, parent, kind, start_time or time.time_ns())
        span.set_attributes(sampled.attributes or {})
        return span

    @contextmanager
    @override
    def start_as_current_span(  # type: ignore[override]  # the API's own decorator is private
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with use_span(span, end_on_exit, record_exception, set_status_on_exception) as current:
            yield current


class _ServerSpan(Span):
    __slots__ = (
        "_attributes",
        "_context",
        "_events",
        "_kind",
        "_links",
        "_name",
        "_parent",
        "_start",
        "_status",
        "_tracer",
    )

    def __init__(
        self,
        tracer: _ServerTracer,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        start: int,
    ) -> None:
        self._tracer: _ServerTracer | None = tracer
        self._name, self._kind, self._start = name, kind, start
        self._context, self._parent = context, parent
        self._attributes: dict[str, AttributeValue] = {}
        self._events: list[Event] = []
        self._links: list[Link] = []
        self._status = Status()

    @property
    def kind(self) -> SpanKind:
        """Asked for by the instrumentation, although the API has no such property."""
        return self._kind

    @override
    def get_span_context(self) -> SpanContext:
        return self._context

    @override
    def is_recording(self) -> bool:
        return self._tracer is not None

    @override
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if key in ALLOWED_ATTRIBUTES:
            self._attributes[key] = value

    @override
    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._attributes.update(allowed(attributes))

    @override
    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        self._events.append(Event(name, allowed(attributes), timestamp))

    @override
    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self._links.append(Link(context, allowed(attributes)))

    @override
    def update_name(self, name: str) -> None:
        self._name = name

    @override
    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        # Without the description, which may quote what a client sent.
        self._status = Status(status.status_code if isinstance(status, Status) else status)

    @override
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self.add_event("exception", {"exception.type": type(exception).__qualname__}, timestamp)

    @override
    def end(self, end_time: int | None = None) -> None:
        tracer, self._tracer = self._tracer, None
        if tracer is None:
            return
        tracer.processor.on_end(
            ReadableSpan(
                self._name,
                context=self._context,
                parent=self._parent,
                resource=tracer.resource,
                attributes=self._attributes,
                events=self._events,
                links=self._links,
                kind=self._kind,
                status=self._status,
                start_time=self._start,
                end_time=end_time or time.time_ns(),
                instrumentation_scope=tracer.scope,
            )
        )
