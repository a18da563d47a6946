"""Services that start on different load and without any cache choose the same backend."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from safetensors.numpy import save_file

from service.scoring.architecture import tensor_shapes
from service.scoring.backends import choose
from service.scoring.weights import PREFIX
from tests.conftest import TINY, eventually
from tests.serving import Process

ROUNDS = 10
PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that is wide enough for int8, and has one layer."""
    folder = tmp_path_factory.mktemp("wide")
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


@pytest.fixture
def load() -> Iterator[None]:
    """Two processes that compute without end, from when it is asked for."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in burning:
        process.kill()
        process.wait()


def _answer(model: Path, cache: Path) -> tuple[str, str, float]:
    """The backend by `/models` and by an answer, and the answer's similarity."""
    flags = ("--model", str(model), "--backend", "auto", "--device", "cpu")
    with Process(*flags, MODELSCOPE_CACHE=str(cache)) as process:
        operations = "http://{}:{}".format(*process.address("operations"))
        predictions = "http://{}:{}".format(*process.address("predictions"))
        eventually(lambda: requests.get(operations + "/readyz", timeout=5).ok, 60)
        [told] = requests.get(operations + "/models", timeout=5).json()["models"]
        answer = requests.post(predictions + "/predict", json=PAIR, timeout=30).json()
        assert process.terminate() == 0
    return told["backend"], answer["model"]["backend"], answer["similarity"]


def test_twenty_starts_choose_the_same(
    wide: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    calm = [_answer(wide, tmp_path / f"calm {turn}") for turn in range(ROUNDS)]
    request.getfixturevalue("load")
    loaded = [_answer(wide, tmp_path / f"loaded {turn}") for turn in range(ROUNDS)]
    assert len({backend for told in calm + loaded for backend in told[:2]}) == 1
    similarities = [similarity for _, _, similarity in calm + loaded]
    assert max(similarities) - min(similarities) < 1e-6
