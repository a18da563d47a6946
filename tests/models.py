"""Further versions of the small random model, for tests that compare versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from service.scoring import checkpoint as checkpoints
from service.scoring import weights
from service.scoring.architecture import tensor_shapes
from service.scoring.backends import choose
from service.scoring.weights import PREFIX
from tests.conftest import TINY


def variant(directory: Path, noise: float, seed: int = 1) -> Path:
    """A copy of the small model whose every weight is off by `noise` times its tensor's spread.

    With 0.01 nearly all labels stay; with 3 the answers have nothing to do with the original's.
    """
    directory.mkdir(parents=True)
    for name in ("config.json", "configuration.json", "vocab.txt"):
        shutil.copy(TINY / name, directory)
    random = np.random.default_rng(seed)
    tensors = {}
    for name, values in sorted(weights.load(checkpoints.read(TINY)).tensors.items()):
        off = random.standard_normal(values.shape).astype(np.float32) * values.std() * noise
        stored = PREFIX + name.removeprefix("bert.") if name.startswith("bert.") else name
        tensors[stored] = np.ascontiguousarray(values.astype(np.float32) + off)
    save_file(tensors, directory / "model.safetensors")
    return directory


def wide_enough_for_int8(folder: Path) -> Path:
    """Fill a folder with a random model of one layer, for which there is a backend to choose."""
    for name in ("configuration.json", "vocab.txt"):
        shutil.copy(TINY / name, folder)
    config = json.loads((TINY / "config.json").read_text("utf-8"))
    config |= {
        "hidden_size": choose.LEAST_HIDDEN_SIZE_FOR_INT8,
        "num_hidden_layers": 1,
        "num_attention_heads": 8,
        "intermediate_size": 512,
        "fusion_layer": 1,
        "encoder_width": 512,
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    random = np.random.default_rng(1)
    tensors = {}
    for name, shape in tensor_shapes(config, labels=3).items():
        values = random.normal(0, 0.02, shape).astype(np.float32)
        if name.endswith("LayerNorm.weight"):
            values += 1
        tensors[PREFIX + name.removeprefix("bert.") if name.startswith("bert.") else name] = values
    save_file(tensors, folder / "model.safetensors")
    return folder


def declare(path: Path, *models: dict[str, Any]) -> Path:
    """Write a file of models as `MGEO_MODELS_FILE` names it."""
    path.write_text(json.dumps({"models": models}), "utf-8")
    return path


def pairs(count: int) -> Sequence[tuple[str, str]]:
    """Different pairs, in characters that the small model knows."""
    return [(f"文三路{n}号{n % 7}幢", f"文三路{n + n % 3}号") for n in range(count)]
