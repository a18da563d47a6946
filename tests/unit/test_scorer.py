from __future__ import annotations

from service.scoring import score
from service.scoring.cache import PairResult
from service.scoring.checkpoint import LABELS


def test_a_similarity_is_never_above_one() -> None:
    """Probabilities in 32 bits may add up to a little more than 1."""
    assert score.of(PairResult((1.0, 6e-8, 1e-8), truncated=False), LABELS).similarity == 1.0
