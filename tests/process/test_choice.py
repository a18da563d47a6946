"""Services that start on different load and without any cache choose the same backend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import eventually
from tests.models import wide_enough_for_int8
from tests.serving import Process

ROUNDS = 10
PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that is wide enough for int8, and has one layer."""
    return wide_enough_for_int8(tmp_path_factory.mktemp("wide"))


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
        eventually(lambda: requests.get(operations + "/readyz", timeout=60).ok, 60)
        [told] = requests.get(operations + "/models", timeout=60).json()["models"]
        answer = requests.post(predictions + "/predict", json=PAIR, timeout=60).json()
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
