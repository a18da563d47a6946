"""A model as a whole, from the settings that name it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from service.errors import CheckpointError, SettingsError
from service.scoring import checkpoint, model, weights
from service.settings import Settings
from tests.conftest import TINY


@pytest.mark.parametrize("max_tokens", [1, 4, 513])
def test_a_limit_that_the_model_cannot_keep_is_refused(max_tokens: int) -> None:
    settings = Settings(model=str(TINY), max_tokens=max_tokens)
    with pytest.raises(SettingsError, match=r"tiny reads from 5 to 512 tokens"):
        model.load(settings, lambda stage, progress: None)


def test_loading_tells_its_stages_in_order_and_ends_warm() -> None:
    told: list[tuple[str, float]] = []
    loaded = model.load(
        Settings(model=str(TINY), max_tokens=8, device="cpu", cpu_threads=1),
        lambda stage, progress: told.append((stage, progress)),
    )
    assert [progress for _, progress in told] == sorted(progress for _, progress in told)
    assert told[-1][0] == "warming up"
    [pair] = loaded.tokenizer.encode([("紫萱路363号", "紫萱路363号市人社局")])
    assert len(pair.ids) == 8
    assert pair.truncated


@pytest.mark.parametrize("backend", ["openvino-f32", "torch", "auto"])
def test_weights_that_are_numbers_and_answer_with_none_are_refused(
    tmp_path: Path, backend: str
) -> None:
    """One flipped bit is enough: 2.8e22 squared is more than fp32 holds."""
    damaged = tmp_path / "model"
    shutil.copytree(TINY, damaged)
    (damaged / "pytorch_model.bin").unlink()
    tensors = {
        name.replace("bert.", weights.PREFIX, 1): np.array(values)
        for name, values in weights.load(checkpoint.read(TINY)).tensors.items()
    }
    tensors[f"{weights.PREFIX}embeddings.LayerNorm.bias"][3] = 2.8e22
    save_file(tensors, damaged / "model.safetensors")
    settings = Settings(model=str(damaged), device="cpu", backend=backend, cpu_threads=1)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .* its weights are damaged"):
        model.load(settings, lambda stage, progress: None)
