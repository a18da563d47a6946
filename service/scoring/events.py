"""What happens while pairs are scored, as plain values.

Scoring knows no metric, span or log line: it tells `Events`, and `service/recorder.py` makes all of
them. A method is called on the thread on which it happens, and must not wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Lookup = Literal["hit", "coalesced", "miss"]
"""How a pair that may be in the cache was answered."""

Cut = Literal["none", "budget", "split"]
"""Why a batch is no larger."""


@dataclass(slots=True, eq=False)
class Batch:
    """One forward pass.

    Attributes:
        model_version: Of the model.
        pairs: How many it computes.
        tokens: Of the pairs.
        computed_tokens: With their padding.
        interactive: Which lane it is from.
        cut: Why it is no larger: `split`, as it failed and is tried in parts; `budget`, as others
            wait for the next one; or `none`.
        started_ns: Monotonic time at which it began.
        requests: Trace contexts of the requests in it; one that joins it later is added.
        ended_ns: Monotonic time at which the pass ended; 0 until then.
        error: What it raised.
        out_of_memory: Whether that was for want of memory.
        record: What `Events` keeps for it.
    """

    model_version: str
    pairs: int
    tokens: int
    computed_tokens: int
    interactive: bool = True
    cut: Cut = "none"
    started_ns: int = 0
    requests: list[Any] = field(default_factory=list)
    ended_ns: int = 0
    error: Exception | None = None
    out_of_memory: bool = False
    record: Any = None

    @property
    def seconds(self) -> float:
        """How long the pass took."""
        return (self.ended_ns - self.started_ns) / 1e9


@dataclass(slots=True, eq=False)
class ShadowPass:
    """Copies that a shadow scores together.

    Attributes:
        model_version: Of the shadow.
        pairs: How many copies.
        requests: Trace contexts of the requests that they are of.
        trace: The pass's own trace context, for the batches that compute it.
        agreed: How often its label was the one that was answered.
    """

    model_version: str
    pairs: int
    requests: Sequence[Any]
    trace: Any = None
    agreed: int | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a shadow said of a pair, beside what was answered.

    Attributes:
        model_version: Of the shadow.
        label: The shadow's.
        against: The version that answered.
        against_label: What it answered.
        similarity_delta: How far the two similarities are apart.
    """

    model_version: str
    label: str
    against: str
    against_label: str
    similarity_delta: float


class Events:
    """Told of what happens; this one records nothing."""

    def loaded(self, model_version: str, labels: Sequence[str]) -> None:
        """A model is ready."""

    def batch_started(self, batch: Batch) -> None:
        """A pass begins."""

    def batch_ended(self, batch: Batch) -> None:
        """A pass has ended, and its results have been handed out."""

    def pairs_failed(self, pairs: int, model_version: str) -> None:
        """The model failed on pairs, also when they were tried alone."""

    def pairs_dropped(self, pairs: int) -> None:
        """Pairs were taken out of the queue uncomputed."""

    def looked_up(self, result: Lookup, pairs: int) -> None:
        """So many pairs were in the cache, or were not."""

    def scored(self, outcomes: Sequence[Any], model_version: str) -> None:
        """A request has its scores, or why there is none."""

    def compares(self, model_version: str, against: str, labels: Sequence[str]) -> None:
        """A shadow begins to be compared with a version."""

    @contextmanager
    def shadow_pass(self, shadow: ShadowPass) -> Iterator[None]:
        """A shadow scores copies, within."""
        yield

    def compared(self, one: Compared) -> None:
        """A shadow has scored a pair."""

    def shadow_dropped(self, pairs: int, model_version: str) -> None:
        """A shadow had no room for pairs."""
