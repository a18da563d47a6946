from __future__ import annotations

from service.scoring.cache import Result
from service.scoring.checkpoint import LABELS
from service.scoring.scorer import _score


def test_a_similarity_is_never_above_one() -> None:
    """Probabilities in 32 bits may add up to a little more than 1."""
    assert _score(Result((1.0, 6e-8, 1e-8), truncated=False), LABELS).similarity == 1.0
