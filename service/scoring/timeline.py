"""A request's stages: one clock, read once at each boundary, so that the stages add up.

What is recorded of a request is made from these readings, after the answer has been sent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal

from service.scoring.events import Batch

Stage = Literal["admit", "retrieve", "tokenize", "queue", "compute", "respond"]
STAGES: tuple[Stage, ...] = ("admit", "retrieve", "tokenize", "queue", "compute", "respond")

_CLOSE_NS = 100_000
"""Two readings of a clock further apart than this had something between them."""


def epoch_offset_ns() -> int:
    """What to add to a reading of the monotonic clock for nanoseconds since the epoch.

    The thread may lose the processor between two readings, and a span would end milliseconds after
    its parent. So the wall clock is read between two readings of the other, and again if they are
    far apart.
    """
    for _ in range(4):
        before, wall, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        if after - before < _CLOSE_NS:
            break
    return wall - (before + after) // 2


class Timeline:
    """The boundaries of one request's stages, in nanoseconds of the monotonic clock.

    A stage lasts until the next one is entered, so the sum of all stages is the total by
    construction. A request that is refused early never enters the later stages. A reading from
    before the current stage began counts as its beginning: no stage is shorter than nothing.

    Args:
        began_ns: Monotonic time at which the request arrived, if that was before now.

    Attributes:
        attributes: Of each stage's span.
        finished: Monotonic time at which the last stage ended; 0 until then.
        batches: That computed its pairs.
        model_version: Which version of the model the request came to; empty if to none.
    """

    __slots__ = (
        "_epoch_offset", "_marks", "_stages", "attributes", "batches", "finished", "model_version",
    )  # fmt: skip

    def __init__(self, began_ns: int | None = None) -> None:
        began = time.perf_counter_ns() if began_ns is None else began_ns
        # One reading of the wall clock: a step of it during the request bends no duration.
        self._epoch_offset = epoch_offset_ns()
        self._marks: list[tuple[Stage, int]] = [("admit", began)]
        self._stages: list[tuple[Stage, int, int]] = []
        self.finished = 0
        self.attributes: dict[Stage, Mapping[str, str | int]] = {}
        self.batches: Sequence[Batch] = ()
        self.model_version = ""

    def enter(self, stage: Stage, at: int | None = None) -> None:
        """Close the current stage and open `stage`, now or at an earlier monotonic reading."""
        reading = time.perf_counter_ns() if at is None else at
        self._marks.append((stage, max(reading, self._marks[-1][1])))

    def finish(self) -> None:
        """Close the last stage."""
        self.finished = max(time.perf_counter_ns(), self._marks[-1][1])
        ends = [*self._marks[1:], ("", self.finished)]
        self._stages = [
            (stage, start, end) for (stage, start), (_, end) in zip(self._marks, ends, strict=True)
        ]

    def epoch_ns(self, monotonic_ns: int) -> int:
        """A monotonic reading, in nanoseconds since the epoch."""
        return self._epoch_offset + monotonic_ns

    @property
    def began_epoch_ns(self) -> int:
        """The beginning, in nanoseconds since the epoch."""
        return self.epoch_ns(self._marks[0][1])

    @property
    def seconds(self) -> float:
        """The whole request, in seconds."""
        return (self.finished - self._marks[0][1]) / 1e9

    def stages(self) -> Sequence[tuple[Stage, int, int]]:
        """Each stage entered, with its start and end in monotonic nanoseconds, once finished."""
        return self._stages

    def server_timing(self) -> str:
        """The stages as a Server-Timing header, in milliseconds: a browser draws them."""
        # A list: `join` would make one of a generator, and a call for each stage.
        return ", ".join(
            [f"{stage};dur={(end - start) / 1e6:.3f}" for stage, start, end in self._stages]
        )
