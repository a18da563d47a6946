"""The random checkpoint, at a size that tests can afford."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from benchmarks import checkpoint, pairs
from service.scoring.backends.layout import padded
from service.scoring.model import load
from service.settings import Settings

SMALL = checkpoint.CONFIG | {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    checkpoint.write(made, SMALL)
    return made


def test_the_service_and_transformers_read_the_same_model(directory: Path) -> None:
    """One in ModelScope's layout, one in transformers' own: what peers run is what we run."""
    ours = load(
        Settings(model=str(directory / checkpoint.MGEO), device="cpu", backend="openvino-f32"),
        lambda stage, progress: None,
    )
    theirs = AutoModelForSequenceClassification.from_pretrained(directory / checkpoint.BERT).eval()
    tokenized = ours.tokenizer.encode(pairs.pairs(0, 5))
    ids, types, mask = (torch.from_numpy(array) for array in padded(tokenized, 0))
    with torch.inference_mode():
        logits = theirs(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    expected = logits.softmax(-1).numpy()
    assert np.abs(ours.backend.predict(tokenized) - expected).max() < 1e-5


def test_it_is_called_random_wherever_it_is_named(directory: Path) -> None:
    model = load(
        Settings(model=str(directory / checkpoint.MGEO), device="cpu"), lambda stage, progress: None
    )
    assert "random" in model.checkpoint.name
    assert "random" in (model.checkpoint.description or "")


def test_infinitys_copy_has_one_output(directory: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(directory / checkpoint.ONE_LOGIT)
    assert model.num_labels == 1


def test_what_is_there_is_kept(directory: Path) -> None:
    weights = directory / checkpoint.MGEO / "pytorch_model.bin"
    before = weights.stat().st_mtime_ns
    checkpoint.write(directory, SMALL)
    assert weights.stat().st_mtime_ns == before
