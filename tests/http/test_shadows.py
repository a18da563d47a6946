"""A shadow: it is shown what is answered, computes when idle, and is of no concern to a client."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.scoring.shadow import MOST_PAIRS
from tests.conftest import eventually
from tests.http.fleet import A, Fleet, bodies_of
from tests.http.held import PAIR, problem


@pytest.fixture
def shadowed(tmp_path: Path) -> Iterator[Fleet]:
    """One model that answers, and a shadow that differs from it."""
    made = Fleet(tmp_path, A, {"name": "worse", "role": "shadow"}, cache_pairs=0)
    yield made
    made.stop()


def test_whoever_asks_for_a_shadow_is_told_what_it_is(shadowed: Fleet) -> None:
    for name in ("worse", shadowed.versions["worse"]):
        answer = shadowed.running.post(
            "/predict", {"address1": "甲", "address2": "乙"}, headers={"X-Mgeo-Version": name}
        )
        assert answer.status_code == 404
        assert answer.json()["detail"] == (
            "worse is a shadow, which answers nobody; give it a weight in MGEO_MODELS_FILE"
        )


def test_a_shadow_is_shown_what_is_answered_and_compared(shadowed: Fleet) -> None:
    shown = 200
    answers = shadowed.running.post("/predict/batch", {"pairs": bodies_of(shown)}).json()
    own, other = shadowed.versions["a"], shadowed.versions["worse"]
    of_both = {"model_version": other, "against": own}
    seen = eventually(
        lambda: (page := shadowed.metrics()).total("mgeo_shadow_shift_count") == shown and page, 20
    )
    labels = Counter(result["label"] for result in answers["results"])
    for label, count in labels.items():
        told = seen.total("mgeo_shadow_prediction_total", **of_both, against_label=label)
        assert told == count
    agreed = sum(
        seen.total("mgeo_shadow_prediction_total", **of_both, label=label, against_label=label)
        for label in labels
    )
    assert 0 < agreed < shown * 0.8
    assert seen.total("mgeo_shadow_dropped_total") == 0
    # It answered nobody, and what it scored is not counted as answered.
    assert seen.total("mgeo_prediction_total") == shown
    assert seen.total("mgeo_prediction_total", model_version=other) == 0
    assert answers["model"]["version"] == own
    named = shadowed.running.post("/predict", PAIR, headers={"X-Mgeo-Version": "worse"})
    problem(named, 404, "unknown-model")


def _shadow(fleet: Fleet) -> Any:
    [(version, shadow)] = fleet.running.service.versions.table.shadows
    return version, shadow


def test_a_shadow_computes_only_while_those_that_answer_are_idle(shadowed: Fleet) -> None:
    backend = shadowed.running.engine.model.backend
    version, shadow = _shadow(shadowed)
    release, predict, behind = threading.Event(), backend.predict, []
    observed = version.model.backend.predict

    def hold(batch: Any, stream: Any) -> Any:
        assert release.wait(60)
        return predict(batch)

    def watch(batch: Any, stream: Any) -> Any:
        behind.append(release.is_set())
        return observed(batch)

    shadowed.predict()
    eventually(lambda: shadow.waiting() == 0)
    backend.predict, version.model.backend.predict = hold, watch
    with ThreadPoolExecutor(4) as clients:
        waiting = clients.submit(shadowed.predict)
        eventually(lambda: not shadowed.running.engine.idle())
        shadow.offer([("a", "b")] * 3, [_score()] * 3, "x")
        threading.Event().wait(0.3)
        assert (behind, shadow.waiting()) == ([], 3)
        release.set()
        waiting.result()
    eventually(lambda: shadow.waiting() == 0)
    assert behind
    assert all(behind)


def _score() -> Any:
    from service.scoring import score
    from service.scoring.cache import PairResult
    from service.scoring.checkpoint import LABELS

    return score.of(PairResult((0.5, 0.25, 0.25), False), LABELS)


@pytest.mark.slow
def test_what_a_shadow_has_no_room_for_is_dropped_and_counted(shadowed: Fleet) -> None:
    version, shadow = _shadow(shadowed)
    release, observed = threading.Event(), version.model.backend.predict

    def hold(batch: Any, stream: Any) -> Any:
        assert release.wait(60)
        return observed(batch)

    version.model.backend.predict = hold
    try:
        for _ in range(MOST_PAIRS // 200 + 1):
            shadowed.running.post("/predict/batch", {"pairs": bodies_of(200)})
        dropped = shadowed.metrics().total("mgeo_shadow_dropped_total")
        assert dropped == 200
        assert shadow.waiting() <= MOST_PAIRS
        assert shadowed.predict() == shadowed.versions["a"]  # no client waits for it
    finally:
        release.set()


@pytest.mark.slow
def test_a_shadow_that_fails_is_of_no_concern_to_a_client(shadowed: Fleet) -> None:
    version, shadow = _shadow(shadowed)

    def fail(batch: Any, stream: Any) -> Any:
        raise RuntimeError("no")

    version.model.backend.predict = fail
    shadowed.predict()
    # Not even a pair of the engine's own is scored: its engine ends, and the service goes on.
    eventually(lambda: shadowed.models()["worse"]["status"] == "failed")
    assert shadowed.predict() == shadowed.versions["a"]
    assert shadowed.running.get("/readyz").json() == {"status": "ready"}
    assert shadowed.running.get("/livez").status_code == 200
    # It keeps no addresses, and what it is not shown any more is no lack of room.
    eventually(lambda: not shadow._thread.is_alive())
    assert shadow.waiting() == 0
    for _ in range(MOST_PAIRS // 200 + 1):
        shadowed.running.post("/predict/batch", {"pairs": bodies_of(200)})
    assert shadow.waiting() == 0
    assert shadowed.metrics().total("mgeo_shadow_dropped_total") == 0
    assert shadowed.switch(A, {"name": "worse", "role": "shadow"}).status_code == 200
    assert shadowed.models()["worse"]["status"] == "ready"  # the next switch loads it anew


@pytest.mark.slow
def test_what_waits_for_a_shadow_that_ends_is_kept_no_longer(shadowed: Fleet) -> None:
    _, shadow = _shadow(shadowed)
    shadow._idle = lambda: False
    shadowed.predict()
    eventually(lambda: shadow.waiting() == 1)
    shadow.stop()
    eventually(lambda: shadow.waiting() == 0)
    # Of a request that found it running and leaves its copy a moment later.
    shadow._stop.clear()
    shadow.offer([("a", "b")], [_score()], "x")
    assert shadow.waiting() == 0
