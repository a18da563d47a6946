"""Models that cannot be loaded, and a service that ends while models are exchanged."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import NotReady
from service.http.request_context import HEADER
from service.scoring.model_version import Version
from tests.conftest import TINY, eventually, start
from tests.http.fleet import Fleet
from tests.http.held import PAIR, Held, problem

A, SHADOW = {"name": "a", "weight": 1}, {"name": "worse", "role": "shadow"}


def _engine_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith(("engine", "shadow"))}


@pytest.mark.parametrize(
    ("broken", "first"),
    [
        ("pytorch_model.bin", False),
        pytest.param("vocab.txt", True, marks=pytest.mark.slow),
        pytest.param("config.json", False, marks=pytest.mark.slow),
    ],
)
def test_a_shadow_that_cannot_be_loaded_does_not_stop_the_start(
    tmp_path: Path, broken: str, first: bool
) -> None:
    damaged = Path(shutil.copytree(TINY, tmp_path / "damaged"))
    (damaged / broken).write_bytes(b"no")
    shadow = {"name": "b", "role": "shadow", "source": str(damaged)}
    models = [shadow, A] if first else [A, shadow]
    fleet = Fleet(tmp_path, *models)
    try:
        assert fleet.predict() == fleet.versions["a"]
        assert fleet.models()["b"]["status"] == "failed"
        assert fleet.running.get("/readyz").status_code == 200
        # Once its files are mended the next switch loads it.
        shutil.copy(TINY / broken, damaged)
        mended = fleet.sources["worse"]
        assert fleet.switch(A, {**shadow, "source": str(mended)}).status_code == 200
        assert fleet.models()["b"]["status"] == "ready"
    finally:
        fleet.stop()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    before = _engine_threads()
    made = Fleet(tmp_path, A)
    yield made
    if not made.running.service.versions._stopping:
        made.stop()
    eventually(lambda: _engine_threads() <= before)


def test_a_shadow_that_came_by_a_switch_ends_with_the_service(fleet: Fleet) -> None:
    assert fleet.switch(A, SHADOW).status_code == 200
    assert any(one.name == "shadow" for one in _engine_threads())
    # What is left is looked at when the fixture ends.


@pytest.mark.parametrize(
    "when",
    [
        pytest.param("before it is made", marks=pytest.mark.slow),
        "while it loads",
        pytest.param("when it is loaded", marks=pytest.mark.slow),
    ],
)
def test_a_switch_during_a_stop_leaves_no_engine(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    versions = fleet.running.service.versions
    at, go = threading.Event(), threading.Event()
    where = {
        "before it is made": (versions, "_made"),
        "while it loads": (Version, "_load"),
        "when it is loaded": (versions, "_tabled"),
    }[when]
    original = getattr(*where)

    def held(*args: object) -> object:
        at.set()
        assert go.wait(60)
        return original(*args)

    monkeypatch.setattr(*where, held)
    fleet.declare(A, {"name": "twin", "weight": 1}, SHADOW)
    with ThreadPoolExecutor(2) as threads:
        switching = threads.submit(versions.switch)
        assert at.wait(60), "a shadow loads at the lowest priority"
        stopping = threads.submit(fleet.running.service.stop)
        eventually(lambda: versions._stopping)
        go.set()
        with pytest.raises(NotReady):
            switching.result(60)
        stopping.result(60)


def test_what_the_cache_knew_is_counted_also_where_the_rest_of_the_request_fails() -> None:
    held = Held(cache_pairs=10, max_queue_pairs=4)
    unknown = [
        {"address1": f"紫萱路{number}号", "address2": PAIR["address2"]} for number in range(9)
    ]
    try:
        assert held.send().result().ok

        def hits() -> float:
            return held.metrics().value("mgeo_cache_lookup_total", result="hit")

        assert hits() == 0
        too_many = held.send("/predict/batch", {"pairs": [PAIR, PAIR, *unknown]}).result()
        problem(too_many, 413, "too-large")
        assert hits() == 2
        held.gate.clear()
        hurried = {HEADER: "1000"}
        late = held.send("/predict/batch", {"pairs": [PAIR, unknown[0]]}, **hurried).result()
        problem(late, 504, "timed-out")
        assert hits() == 3
    finally:
        held.stop()


def test_equal_pairs_of_one_request_are_one_load() -> None:
    running = start(max_queue_pairs=4, cache_pairs=100)
    try:
        answer = running.post("/predict/batch", {"pairs": [PAIR] * 10})
        assert answer.status_code == 200, answer.text
        assert len({str(one) for one in answer.json()["results"]}) == 1
    finally:
        running.service.stop()


def test_an_answer_that_is_asked_for_anew_is_computed_and_not_taken_from_the_cache() -> None:
    held = Held(cache_pairs=10)
    try:
        for _ in range(2):
            assert held.send().result().ok
        assert len(held.computed) == 1
        for times in (2, 3):
            assert held.send(**{"Cache-Control": "no-cache"}).result().ok
            assert len(held.computed) == times
    finally:
        held.stop()
