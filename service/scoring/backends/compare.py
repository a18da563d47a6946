"""`model compare`: how fast each backend is here, beside how exact it is, and what to set.

A measurement for people. The service does not decide by it: its next start, or another replica,
would measure something else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.lifecycle import LoadingCancelledError
from service.scoring import checkpoint as checkpoints
from service.scoring import source
from service.scoring.backends import Backend, calibration, choose
from service.scoring.backends.accuracy_check import BATCH, BackendCandidate, compared, predict
from service.scoring.model import tokenizer_of
from service.scoring.tokens import TokenizedPair
from service.settings import Settings

ON_CPU = (choose.CPU_REFERENCE, "openvino-bf16", "openvino-int8", "onnxruntime-int8")
ON_GPU = tuple(reversed(choose.ON_GPU_WITH_BF16))
"""What is measured, the reference first."""

LEAST_GAIN = 1.1
"""How many times as fast another backend must be to be recommended: less is within the noise of a
shared machine."""

_ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Timing:
    """One backend on this machine.

    Attributes:
        candidate: How its answers compare with the reference's.
        alone: Shortest milliseconds of one pair alone.
        batched: Shortest milliseconds a pair in a batch of 8.
        reference: The reference's `batched`, measured in turns with it.

    The three times are infinite for one that failed.
    """

    candidate: BackendCandidate
    alone: float = math.inf
    batched: float = math.inf
    reference: float = math.inf

    @property
    def gain(self) -> float:
        """How many times as fast as the reference it is in batches; 0 if it failed."""
        return 0.0 if math.isinf(self.batched) else self.reference / self.batched


def measure(settings: Settings, announce: Callable[[str], None]) -> tuple[str, list[Timing]]:
    """Measure every backend of the device against the reference, in turns.

    Args:
        settings: The model, `device`, `cpu_threads` and `max_tokens` count.
        announce: Told of what is being measured.

    Returns:
        What `auto` takes here, and one row for each backend, the reference first.

    Raises:
        OperatorError: The model cannot be loaded.
    """
    checkpoint = checkpoints.read(source.resolve(settings.model, lambda stage, done: None))
    pairs = tokenizer_of(checkpoint, settings).encode(calibration.pairs())

    def build(name: str) -> Backend:
        announce(f"measuring {name}")
        return choose.make(name, checkpoint, settings, lambda stage, done: None)

    chosen = choose.build(checkpoint, settings, pairs, lambda stage, done: None)[1].backend
    names = ON_CPU if chosen in ON_CPU else ON_GPU
    reference = build(names[0])
    expected = predict(reference, pairs)
    [alone], [batched] = _times([reference], pairs)
    exact = BackendCandidate(names[0], True, 1.0, 0.0, "the reference")
    rows = [Timing(exact, alone, batched, batched)]
    for name in names[1:]:
        try:
            backend = build(name)
            candidate = compared(name, predict(backend, pairs), expected)
            alone_each, batched_each = _times([reference, backend], pairs)
        except LoadingCancelledError:
            raise
        except Exception as error:
            verdict = f"refused: it failed here ({type(error).__name__})"
            rows.append(Timing(BackendCandidate(name, False, None, None, verdict)))
            continue
        rows.append(Timing(candidate, alone_each[1], batched_each[1], batched_each[0]))
    return chosen, rows


def report(chosen: str, rows: Sequence[Timing]) -> str:
    """The rows as a table, and a recommendation."""
    lines = [f"{'backend':18}{'alone ms':>10}{'in 8 ms':>10}{'gain':>7}{'differs':>9}{'labels':>8}"]
    for row in rows:
        one = row.candidate
        figures = f"{row.alone:10.2f}{row.batched:10.2f}{row.gain:7.2f}"
        if one.difference is not None and one.agreement is not None:
            figures += f"{one.difference:9.4f}{one.agreement:8.1%}"
        lines.append(f"{one.name:18}{figures}  {one.verdict}")
    best = max((row for row in rows if row.candidate.accepted), key=lambda row: row.gain)
    mine = next((row for row in rows if row.candidate.name == chosen), rows[0])
    if best.gain >= LEAST_GAIN * mine.gain:
        lines.append(
            f"auto takes {chosen} here; {best.candidate.name} is "
            f"{best.gain / mine.gain:.1f} times as fast: MGEO_BACKEND={best.candidate.name}, "
            "on every replica"
        )
    else:
        lines.append(f"auto takes {chosen} here; none is {LEAST_GAIN:g} times as fast: keep it")
    return "\n".join(lines)


def _times(
    backends: Sequence[Backend], pairs: Sequence[TokenizedPair]
) -> tuple[list[float], list[float]]:
    """Milliseconds a pair for each backend: of one pair alone, and in a batch.

    In turns, so that a busy moment does not hit one alone; and the shortest, since whatever else
    the machine does can only make one longer.
    """
    alone, batched = [math.inf] * len(backends), [math.inf] * len(backends)
    for _ in range(_ROUNDS):
        for shortest, batch in ((alone, pairs[:1]), (batched, pairs[:BATCH])):
            for index, backend in enumerate(backends):
                started = time.perf_counter()
                backend.predict(batch)
                milliseconds = 1e3 * (time.perf_counter() - started) / len(batch)
                shortest[index] = min(shortest[index], milliseconds)
    return alone, batched
