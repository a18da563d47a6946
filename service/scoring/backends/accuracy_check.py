"""Whether a backend of lower precision answers as the reference does."""

from __future__ import annotations

import functools
import logging
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

BATCH = 8
"""Pairs of one pass."""


@dataclass(frozen=True, slots=True)
class BackendCandidate:
    """How a backend's answers compare with the reference's on this kind of processor.

    Attributes:
        name: As in `MGEO_BACKEND`.
        accepted: Whether it may be used.
        agreement: Share of the calibration pairs with the reference's label.
        difference: Largest difference of a probability from the reference's.
        verdict: Why it is accepted or refused, in a few words.

    The two figures are None for one that could not be built, or raised.
    """

    name: str
    accepted: bool
    agreement: float | None
    difference: float | None
    verdict: str

    @property
    def has_failed(self) -> bool:
        """Whether it could not be measured."""
        return self.difference is None


def compared(name: str, got: Probabilities, expected: Probabilities) -> BackendCandidate:
    """Compare one backend's probabilities with the reference's, both of shape [pairs, labels]."""
    agreement = float((got.argmax(axis=1) == expected.argmax(axis=1)).mean())
    difference = float(np.abs(got - expected).max())
    verdict = "accepted: its answers are fp32's within limits"
    # Not `difference > ...`: that lets NaN through.
    if not difference <= LARGEST_DIFFERENCE:
        verdict = f"refused: a probability differs by more than {LARGEST_DIFFERENCE:g}"
    elif agreement < LEAST_AGREEMENT:
        verdict = f"refused: labels agree on less than {LEAST_AGREEMENT:.0%}"
    return BackendCandidate(name, verdict.startswith("accepted"), agreement, difference, verdict)


def first_accepted(
    names: Sequence[str],
    make: Callable[[str], Backend],
    calibration: Sequence[TokenizedPair],
    known: Sequence[BackendCandidate] = (),
) -> tuple[Backend, list[BackendCandidate]]:
    """Build the first of several backends whose answers are the reference's within limits.

    Args:
        names: In the order of preference; the last one is the reference.
        make: Builds one by its name.
        calibration: Pairs to compare them on.
        known: What an earlier check found; those are not compared again.

    Returns:
        The backend, and the check of each that was asked for. One that fails is not chosen.

    Raises:
        Exception: What the reference raised: without it there is nothing to answer with.
    """
    *others, reference = names
    found = {candidate.name: candidate for candidate in known}
    expected = functools.cache(lambda: predict(make(reference), calibration))
    checked: list[BackendCandidate] = []
    for name in others:
        candidate, backend = found.get(name), None
        if candidate is None:
            expected()  # before the other is built: each holds the weights
        if candidate is None or candidate.accepted:
            candidate, backend = _try(name, make, calibration, candidate or expected)
        checked.append(candidate)
        if backend is not None:
            return backend, checked
    return make(reference), checked


def _try(
    name: str,
    make: Callable[[str], Backend],
    calibration: Sequence[TokenizedPair],
    against: BackendCandidate | Callable[[], Probabilities],
) -> tuple[BackendCandidate, Backend | None]:
    """Build one, and check it unless its check is known; the backend only if it is accepted."""
    try:
        backend = make(name)
        if isinstance(against, BackendCandidate):
            return against, backend
        candidate = compared(name, predict(backend, calibration), against())
    except LoadingCancelledError:
        raise
    except Exception:
        log.warning("backend failed", exc_info=True, extra={"backend": name})
        verdict = "refused: it failed on this machine; the log says where"
        return BackendCandidate(name, False, None, None, verdict), None
    fields = {
        "backend": name,
        "agreement": round(candidate.agreement or 0, 4),
        "largest_difference": round(candidate.difference or 0, 5),
        "verdict": candidate.verdict,
    }
    log.log(
        logging.INFO if candidate.accepted else logging.WARNING, "backend checked", extra=fields
    )
    return candidate, backend if candidate.accepted else None


def predict(backend: Backend, pairs: Sequence[TokenizedPair]) -> Probabilities:
    """Probabilities of all pairs, in the same batches at every call."""
    return np.concatenate(
        [backend.predict(pairs[at : at + BATCH]) for at in range(0, len(pairs), BATCH)]
    )
