"""Models exchanged while the service runs: no request lost, and nothing left of what went."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from service.scoring import checkpoint as checkpoints
from tests.conftest import TINY, Running, eventually
from tests.http.fleet import TWIN, A, Fleet, bodies_of
from tests.http.held import problem
from tests.models import variant


@pytest.mark.slow
def test_models_are_switched_and_rolled_back_under_load_without_a_lost_request(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, {"name": "a", "weight": 1})
    done = threading.Event()
    bodies = bodies_of(500)

    def client(number: int) -> Counter[str]:
        counted: Counter[str] = Counter()
        with requests.Session() as session:
            at = number
            while not done.is_set():
                at += 4
                answer = session.post(
                    fleet.running.predictions + "/predict", json=bodies[at % 500], timeout=30
                )
                ok = answer.status_code == 200
                counted[answer.json()["model"]["version"] if ok else answer.text] += 1
        return counted

    try:
        with ThreadPoolExecutor(4) as clients:
            counting = [clients.submit(client, number) for number in range(4)]
            try:
                steps: list[list[dict[str, Any]]] = [
                    [A, {"name": "twin", "role": "shadow"}],
                    [A, TWIN],
                    [{"name": "twin", "weight": 1}],
                    [A],
                    [{"name": "worse", "weight": 1}],
                    [{"name": "a", "weight": 1}],
                ]
                for step in steps:
                    answer = fleet.switch(*step)
                    assert answer.status_code == 200, answer.text
                    assert set(fleet.models()) >= {model["name"] for model in step}
                    threading.Event().wait(0.2)
            finally:
                done.set()
            counted = sum((each.result() for each in counting), Counter())
        assert set(counted) == set(fleet.versions.values())  # each answered, and nothing failed
        assert sum(counted.values()) > 100
        eventually(lambda: list(fleet.models()) == ["a"])  # the others are unloaded
        assert fleet.predict() == fleet.versions["a"]
    finally:
        fleet.stop()


@pytest.fixture
def sole(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, {"name": "a", "weight": 1})
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Of which no test changes anything."""
    made = Fleet(tmp_path_factory.mktemp("stays"), {"name": "a", "weight": 1})
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([{"name": "b", "source": "/no/such", "weight": 1}], "b: '/no/such' is neither"),
        ([A, {"name": "again", "source": str(TINY), "weight": 1}], "are the same version"),
        ([{"name": "a", "weight": 0}], "no model answers"),
    ],
)
def test_what_cannot_be_switched_to_changes_nothing(
    stays: Fleet, models: list[dict[str, Any]], said: str
) -> None:
    answer = stays.switch(*models)
    assert said in problem(answer, 409, "not-switched")
    eventually(lambda: list(stays.models()) == ["a"])
    assert stays.predict() == stays.versions["a"]


@pytest.mark.slow
def test_a_model_that_has_changed_on_disk_is_loaded_anew(sole: Fleet, tmp_path: Path) -> None:
    current = tmp_path / "current"
    variant(current, noise=0.1, seed=7)
    first = checkpoints.read(current).version
    assert sole.switch({"name": "b", "source": str(current), "weight": 1}).status_code == 200
    assert sole.predict() == first
    (current / "model.safetensors").unlink()
    variant(tmp_path / "next", noise=0.1, seed=8)
    (tmp_path / "next" / "model.safetensors").rename(current / "model.safetensors")
    assert sole.predict() == first  # not before it is asked to
    assert sole.switch({"name": "b", "source": str(current), "weight": 1}).status_code == 200
    assert sole.predict() == checkpoints.read(current).version != first


def test_rolling_back_does_not_hang_on_files_of_a_model_in_memory(
    sole: Fleet, tmp_path: Path
) -> None:
    gone = variant(tmp_path / "gone", noise=0.1, seed=7)
    version = checkpoints.read(gone).version
    kept = {"name": "b", "source": str(gone), "weight": 0}
    assert sole.switch({"name": "a", "weight": 1}, kept).status_code == 200
    (gone / "model.safetensors").unlink()
    back = sole.switch({"name": "a", "weight": 0}, {**kept, "weight": 1})
    assert back.status_code == 200, back.text
    assert sole.predict() == version


def test_what_is_taken_out_leaves_the_memory(sole: Fleet) -> None:
    backend = weakref.ref(sole.running.engine.model.backend)
    assert sole.switch({"name": "twin", "weight": 1}).status_code == 200
    eventually(lambda: list(sole.models()) == ["twin"])
    eventually(lambda: backend() is None)


@pytest.mark.slow
def test_nothing_is_left_of_a_version_that_came_and_went(sole: Fleet) -> None:
    """It is a cycle: what the collector is told to pass over would stay."""
    assert sole.switch({"name": "twin", "weight": 1}).status_code == 200
    twin = weakref.ref(sole.running.service.versions.table.serving[0][0])
    frozen = gc.get_freeze_count()
    service = sole.running.service
    assert not any(one is service for one in gc.get_objects()), "what the process began with"
    assert sole.switch({"name": "a", "weight": 1}).status_code == 200
    assert gc.get_freeze_count() <= frozen, "no request that is under way either"
    eventually(lambda: list(sole.models()) == ["a"])
    eventually(lambda: (gc.collect(), twin() is None)[1])


def test_without_a_file_there_is_nothing_to_switch(running: Running) -> None:
    answer = requests.post(running.operations + "/models", timeout=30)
    assert "MGEO_MODELS_FILE is not set" in problem(answer, 409, "not-switched")
    [only] = running.get("/models").json()["models"]
    assert (only["name"], only["role"], only["share"]) == ("model", "serve", 1.0)


@pytest.mark.slow
def test_series_of_a_model_end_with_it(sole: Fleet) -> None:
    """Whatever came and went, there are those of the models that are there."""

    def series() -> set[tuple[str, ...]]:
        return {
            (sample.name, *sorted(sample.labels.values()))
            for sample in sole.metrics().samples
            if not sample.name.startswith("otel_sdk")
        }

    def come_and_go() -> set[tuple[str, ...]]:
        for names in (["twin"], ["a", "worse"], ["a"]):
            shadow = {"name": "worse", "role": "shadow"}
            models = [shadow if n == "worse" else {"name": n, "weight": 1} for n in names]
            assert sole.switch(*models).status_code == 200
            sole.predict()
            eventually(lambda: set(names) == set(sole.models()))  # noqa: B023
            gone = set(sole.versions.values()) - {sole.versions[name] for name in names}
            assert not [one for one in series() if gone.intersection(one)]
        return series()

    sole.predict()
    assert come_and_go() == come_and_go()
