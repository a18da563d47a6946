"""The requests answered last, with their stages: a trace that can be looked at without a Collector.

They are made of the timeline, as the stage histogram and the stage spans are. Every request is
kept, sampled or not: recording spans for this would cost each request more than the lookup is
worth. They hold only numbers and names of the code's own, as spans that leave the process do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanContext
from opentelemetry.util.types import Attributes, AttributeValue

from telemetry.privacy import allowed
from telemetry.spans import Stages

_Entry = tuple[SpanContext, str, str, int, Sequence[tuple[str, int, int]], Mapping[Any, Attributes]]

CAPACITY = 256
"""Requests kept: about 2 KB each, so half a megabyte."""


@dataclass(frozen=True, slots=True)
class RecentStage:
    """One stage of a request.

    Attributes:
        name: Which one.
        start_ms: Milliseconds from the request's beginning.
        duration_ms: How long it took, in milliseconds.
        attributes: What its span says of it.
    """

    name: str
    start_ms: float
    duration_ms: float
    attributes: dict[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """One request.

    Attributes:
        span: Its place in its trace.
        method: As its metrics have it.
        endpoint: The route.
        status: HTTP status.
        stages: In order; they add up to the whole.
    """

    span: SpanContext
    method: str
    endpoint: str
    status: int
    stages: list[RecentStage]


class RecentRequests:
    """The last requests, the oldest forgotten first. Safe to share between threads.

    Args:
        capacity: How many.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._entries: deque[_Entry] = deque(maxlen=capacity)
        self._lock = threading.Lock()

    def add(
        self, span: SpanContext, method: str, endpoint: str, status: int, timeline: Stages
    ) -> None:
        """Keep a request that is finished: 2 microseconds; what is shown is made when asked for."""
        # Without the batches of the timeline: a large request has many.
        entry = (span, method, endpoint, status, timeline.stages(), timeline.attributes)
        with self._lock:
            self._entries.append(entry)

    def of_trace(self, trace_id: int) -> list[RecentRequest]:
        """Those kept of a trace, oldest first."""
        with self._lock:
            found = [entry for entry in self._entries if entry[0].trace_id == trace_id]
        return [_shown(*entry) for entry in found]


def _shown(
    span: SpanContext,
    method: str,
    endpoint: str,
    status: int,
    marks: Sequence[tuple[str, int, int]],
    attributes: Mapping[Any, Attributes],
) -> RecentRequest:
    began = marks[0][1]
    stages = [
        RecentStage(name, (start - began) / 1e6, (end - start) / 1e6, allowed(attributes.get(name)))
        for name, start, end in marks
    ]
    return RecentRequest(span, method, endpoint, status, stages)
