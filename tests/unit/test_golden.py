"""The goldens of ModelScope's own pipeline, compared below HTTP with the safeguards off.

Off, because two rows hold what the service refuses or reads as text: an empty address, and a
literal special token.
"""

from __future__ import annotations

from typing import Any

import pytest

from service.scoring import checkpoint as checkpoints
from service.scoring.backends import Backend, choose
from service.scoring.checkpoint import LABELS
from service.scoring.tokens import PairTokenizer
from service.settings import Settings
from tests.conftest import TINY

MODELSCOPE_BATCH_TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=["torch", "openvino-f32"])
def backend(request: pytest.FixtureRequest) -> Backend:
    settings = Settings(backend=request.param, device="cpu", cpu_threads=1)
    return choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)[0]


@pytest.mark.parametrize(("run", "max_tokens"), [("default", 512), ("seq128", 128)])
def test_probabilities_and_labels_are_those_of_modelscope(
    backend: Backend, golden: dict[str, Any], run: str, max_tokens: int
) -> None:
    checkpoint = checkpoints.read(TINY)
    tokenizer = PairTokenizer(
        checkpoint.vocabulary,
        lower_case=checkpoint.lower_case,
        max_tokens=max_tokens,
        literal_special_tokens=False,
    )
    rows = golden["runs"][run]["rows"]
    assert len(rows) == 22
    worst = 0.0
    for row in rows:
        [pair] = tokenizer.encode([(row["a"], row["b"])])
        if "input_ids" in row:
            assert pair.ids == row["input_ids"]
            types = [0] * pair.first + [1] * (len(pair.ids) - pair.first)
            assert types == row["token_type_ids"]
        [scored] = backend.predict([pair]).tolist()
        by_label = dict(zip(checkpoint.labels, scored, strict=True))
        worst = max(worst, *(abs(by_label[label] - row["prob"][label]) for label in LABELS))
        assert max(by_label, key=by_label.__getitem__) == max(row["prob"], key=row["prob"].get)
    print(f"\n{backend.name}, {run}: 22 pairs, largest probability difference {worst:.1e}")
    assert worst <= MODELSCOPE_BATCH_TOLERANCE


def test_a_batch_of_unequal_pairs_scores_as_each_alone(
    backend: Backend, golden: dict[str, Any]
) -> None:
    checkpoint = checkpoints.read(TINY)
    tokenizer = PairTokenizer(checkpoint.vocabulary, lower_case=True, max_tokens=512)
    pairs = tokenizer.encode([(r["a"], r["b"]) for r in golden["runs"]["default"]["rows"]])
    together = backend.predict(pairs)
    for row, pair in zip(together, pairs, strict=True):
        assert row == pytest.approx(backend.predict([pair])[0], abs=1e-5)
