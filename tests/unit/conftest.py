"""What the unit tests share: copies of the small checkpoint that a test may damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY

MODEL_FILES = ("config.json", "configuration.json", "vocab.txt", "pytorch_model.bin")
SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
"""Keys of config.json that give the model's shape."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the small checkpoint, to be damaged."""
    directory = tmp_path / "tiny"
    directory.mkdir()
    for name in MODEL_FILES:
        shutil.copy(TINY / name, directory)
    return directory


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file in place."""
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value), "utf-8")


def assert_one_line(error: Exception) -> None:
    """An operator's error is one line, short enough to read."""
    assert str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 600
