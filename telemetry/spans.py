"""A request's stages: one clock, read once at each boundary, so that the stages add up.

The boundaries become the stage histogram and, for a sampled request, child spans of the server
span. Both are made after the answer has been sent, from the same readings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, Tracer, get_current_span
from opentelemetry.util.types import Attributes

Stage = Literal["admit", "tokenize", "queue", "compute", "respond"]
STAGES: tuple[Stage, ...] = ("admit", "tokenize", "queue", "compute", "respond")


class Timeline:
    """The boundaries of one request's stages, in nanoseconds of the monotonic clock.

    A stage lasts until the next one is entered, so the sum of all stages is the total by
    construction. A request that is refused early never enters the later stages. A reading from
    before the current stage began counts as its beginning: no stage is shorter than nothing.

    Args:
        began_ns: Monotonic time at which the request arrived, if that was before now.
    """

    __slots__ = ("_epoch_offset", "_marks", "attributes", "finished", "links")

    def __init__(self, began_ns: int | None = None) -> None:
        now = time.perf_counter_ns()
        began = now if began_ns is None else began_ns
        # One reading of the wall clock: a step of it during the request bends no duration.
        self._epoch_offset = time.time_ns() - now
        self._marks: list[tuple[Stage, int]] = [("admit", began)]
        self.finished = 0
        self.attributes: dict[Stage, Attributes] = {}
        self.links: dict[Stage, list[SpanContext]] = {}

    def enter(self, stage: Stage, at: int | None = None) -> None:
        """Close the current stage and open `stage`, now or at an earlier monotonic reading."""
        reading = time.perf_counter_ns() if at is None else at
        self._marks.append((stage, max(reading, self._marks[-1][1])))

    def finish(self) -> None:
        """Close the last stage."""
        self.finished = max(time.perf_counter_ns(), self._marks[-1][1])

    @property
    def began_epoch_ns(self) -> int:
        """The beginning, in nanoseconds since the epoch."""
        return self._epoch_offset + self._marks[0][1]

    @property
    def seconds(self) -> float:
        """The whole request, in seconds."""
        return (self.finished - self._marks[0][1]) / 1e9

    def stages(self) -> Iterator[tuple[Stage, int, int]]:
        """Each stage entered, with its start and end in monotonic nanoseconds."""
        for index, (stage, start) in enumerate(self._marks):
            last = index + 1 == len(self._marks)
            yield stage, start, self.finished if last else self._marks[index + 1][1]

    def server_timing(self) -> str:
        """The stages as a Server-Timing header, in milliseconds: a browser draws them."""
        return ", ".join(
            f"{stage};dur={(end - start) / 1e6:.3f}" for stage, start, end in self.stages()
        )

    def emit(self, tracer: Tracer, parent: Context) -> None:
        """Create the stages as child spans of `parent`, if that is being recorded."""
        if not get_current_span(parent).get_span_context().trace_flags.sampled:
            return
        for stage, start, end in self.stages():
            span = tracer.start_span(
                stage,
                context=parent,
                attributes=self.attributes.get(stage),
                links=[Link(context) for context in self.links.get(stage, ())],
                start_time=self._epoch_offset + start,
            )
            span.end(self._epoch_offset + end)
