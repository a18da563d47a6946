"""Which of several backends is the fastest here that still answers as the reference does."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.lifecycle import LoadingCancelledError
from service.scoring.backends import Backend, Probabilities
from service.scoring.tokens import TokenizedPair

log = logging.getLogger(__name__)

LEAST_AGREEMENT = 0.95
"""Share of the calibration pairs on which the most probable label must be the reference's. A pair
at a tie may tip either way: 3 of 64."""

LARGEST_DIFFERENCE = 0.05
"""By how much any probability may differ from the reference's. bf16 differs by .01 with BERT-base,
which its users accept; a backend that is broken differs by several tenths."""

LEAST_GAIN = 1.1
"""How many times faster than a more exact one a backend must be to be preferred to it: less is
within the noise of a shared machine."""

_ROUNDS = 7
_BATCH = 8
"""Pairs in a timed batch, about as many as a CPU computes at once, its streams together."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was measured of one backend on this machine.

    Attributes:
        name: As in `MGEO_BACKEND`.
        milliseconds: Shortest time of one pair alone, and of one in a batch of 8, on average.
        agreement: Share of the calibration pairs with the reference's label.
        difference: Largest difference of a probability from the reference's.
        verdict: Why it was taken or not.

    The three figures are None of one that could not be built, or raised.
    """

    name: str
    milliseconds: float | None
    agreement: float | None
    difference: float | None
    verdict: str

    @property
    def has_failed(self) -> bool:
        """Whether it could not be measured."""
        return self.milliseconds is None


def fastest(
    names: Sequence[str],
    make: Callable[[str], Backend],
    calibration: Sequence[TokenizedPair],
) -> tuple[Backend, list[Candidate]]:
    """Measure backends against the first one, and build the one to use.

    Args:
        names: Candidates; the first is the reference, the most exact of them.
        make: Builds one by its name.
        calibration: Pairs to compare and to time them on; at least one batch.

    Returns:
        The chosen backend, and what was measured of each. One that fails is not chosen.

    Raises:
        Exception: What the reference raised: without it there is nothing to answer with.
    """
    best = make(names[0])
    expected = _predict(best, calibration)
    candidates = [Candidate(best.name, _time([best], calibration)[0], 1.0, 0.0, "the reference")]
    for name in names[1:]:
        candidate, better = _try(name, make, best, expected, calibration)
        candidates.append(candidate)
        best = better or best
    for candidate in candidates:
        log.info(
            "backend measured",
            extra={
                "backend": candidate.name,
                "milliseconds_per_pair": _rounded(candidate.milliseconds, 3),
                "agreement": _rounded(candidate.agreement, 4),
                "largest_difference": _rounded(candidate.difference, 5),
                "verdict": candidate.verdict,
            },
        )
    return best, candidates


def _try(
    name: str,
    make: Callable[[str], Backend],
    best: Backend,
    expected: Probabilities,
    calibration: Sequence[TokenizedPair],
) -> tuple[Candidate, Backend | None]:
    """What was measured of one backend, and it, if it is to be used instead of the best so far.

    Otherwise it is gone before the next one is built: each holds the weights.
    """
    try:
        backend = make(name)
        got = _predict(backend, calibration)
        best_time, its_time = _time([best, backend], calibration)
    except LoadingCancelledError:
        raise
    except Exception:
        log.warning("backend failed", exc_info=True, extra={"backend": name})
        verdict = "refused: it failed on this machine; the log says where"
        return Candidate(name, None, None, None, verdict), None
    agreement = float((got.argmax(axis=1) == expected.argmax(axis=1)).mean())
    difference = float(np.abs(got - expected).max())
    accepted = False
    # Not `difference > ...`: that lets NaN through.
    if not difference <= LARGEST_DIFFERENCE:
        verdict = f"refused: a probability differs by more than {LARGEST_DIFFERENCE:g}"
    elif agreement < LEAST_AGREEMENT:
        verdict = f"refused: labels agree on less than {LEAST_AGREEMENT:.0%}"
    elif its_time * LEAST_GAIN > best_time:
        verdict = f"not taken: less than {LEAST_GAIN:g} times as fast as {best.name}"
    else:
        accepted, verdict = True, f"{best_time / its_time:.1f} times as fast as {best.name}"
    candidate = Candidate(name, its_time, agreement, difference, verdict)
    return candidate, backend if accepted else None


def _rounded(figure: float | None, digits: int) -> float | None:
    return None if figure is None else round(figure, digits)


def _predict(backend: Backend, pairs: Sequence[TokenizedPair]) -> Probabilities:
    return np.concatenate(
        [backend.predict(pairs[at : at + _BATCH]) for at in range(0, len(pairs), _BATCH)]
    )


def _time(backends: Sequence[Backend], pairs: Sequence[TokenizedPair]) -> list[float]:
    """Milliseconds a pair for each.

    In turns, so that a busy moment does not hit one alone; and the shortest of each size of a
    batch, since whatever else the machine does can only make one longer.
    """
    batches = (pairs[:1], pairs[:_BATCH])
    shortest = [[math.inf] * len(batches) for _ in backends]
    for _ in range(_ROUNDS):
        for backend, of_backend in zip(backends, shortest, strict=True):
            for index, batch in enumerate(batches):
                started = time.perf_counter()
                backend.predict(batch)
                seconds = (time.perf_counter() - started) / len(batch)
                of_backend[index] = min(of_backend[index], seconds)
    return [1e3 * statistics.mean(of_backend) for of_backend in shortest]
