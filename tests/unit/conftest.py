"""What the unit tests share: copies of the small checkpoint to damage, and a hub that has it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from tests.unit.hub import FILES, PUBLISHED, Hub

MODEL_FILES = tuple(FILES)
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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has the small checkpoint, and a machine that has fetched nothing yet."""
    from modelscope_hub import _download, _legacy_api

    for name in [name for name in os.environ if name.startswith("MODELSCOPE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # The client's patience, which would be the tests' time.
    monkeypatch.setattr(_download, "DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0.0)
    monkeypatch.setattr(_download, "DOWNLOAD_RETRY_TIMES", 1)
    monkeypatch.setattr(_legacy_api, "REPO_TREE_PAGE_MAX_ATTEMPTS", 1)
    revisions = {"v1.2.0": FILES | {"README.md": b"a card"}, "master": FILES}
    with Hub(models={PUBLISHED: revisions}) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
        yield hub


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
