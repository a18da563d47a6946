"""Several models in one service: who answers, what a shadow does, and how they are exchanged."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from service.bulk.client import PatientClient
from service.bulk.remote import RemoteScorer
from service.bulk.tables import Rows
from service.client import MGeoClient
from service.scoring import checkpoint as checkpoints
from service.scoring import split
from service.scoring.shadow import MOST_PAIRS
from tests.conftest import TINY, Running, eventually, start
from tests.http.held import PAIR, problem
from tests.models import declare, pairs, variant
from tests.telemetry.exposition import OPENMETRICS, Exposition


def _bodies(count: int) -> list[dict[str, str]]:
    return [{"address1": first, "address2": second} for first, second in pairs(count)]


def _ask(fleet: Fleet, bodies: list[dict[str, str]]) -> list[str]:
    """Which version answers each, asked on one connection."""
    connection = HTTPConnection(fleet.running.predictions.removeprefix("http://"), timeout=30)
    answered = []
    for body in bodies:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/predict", json.dumps(body), headers)
        answered.append(json.loads(connection.getresponse().read())["model"]["version"])
    connection.close()
    return answered


class Fleet:
    """A service with several models, and the file that declares them.

    Attributes:
        versions: The version of each source.
    """

    def __init__(self, folder: Path, *models: dict[str, Any], **settings: Any) -> None:
        self.sources = {
            "a": TINY,
            "twin": variant(folder / "twin" / "tiny", noise=0.0003),
            "worse": variant(folder / "worse" / "tiny", noise=1),
        }
        self.versions = {n: checkpoints.read(path).version for n, path in self.sources.items()}
        self.file = folder / "models.json"
        self.declare(*models)
        self.running = start(model="bundled", models_file=str(self.file), **settings)

    def declare(self, *models: dict[str, Any]) -> None:
        declare(
            self.file,
            *({"source": str(self.sources.get(m["name"], "")), **m} for m in models),
        )

    def switch(self, *models: dict[str, Any]) -> requests.Response:
        self.declare(*models)
        return requests.post(self.running.operations + "/models", timeout=60)

    def predict(self, body: Any = PAIR, **headers: str) -> str:
        answer = self.running.post("/predict", body, headers=headers)
        assert answer.status_code == 200, answer.text
        version: str = answer.json()["model"]["version"]
        return version

    def models(self) -> dict[str, dict[str, Any]]:
        listed = self.running.get("/models").json()["models"]
        return {one["name"]: one for one in listed}

    def metrics(self) -> Exposition:
        page = self.running.get("/metrics", headers={"Accept": OPENMETRICS})
        return Exposition(page.content)

    def stop(self) -> None:
        self.running.service.stop()


A, TWIN, WORSE = (
    {"name": "a", "weight": 90}, {"name": "twin", "weight": 10}, {"name": "worse", "weight": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three models: two that share the traffic, and one for those who ask for it."""
    made = Fleet(tmp_path_factory.mktemp("fleet"), A, TWIN, WORSE)
    yield made
    made.stop()


@pytest.mark.slow
def test_requests_are_split_by_weight_and_as_the_policy_says(fleet: Fleet) -> None:
    bodies = _bodies(10_000)
    share = [bodies[start : start + 1250] for start in range(0, 10_000, 1250)]
    with ThreadPoolExecutor(len(share)) as clients:
        answered = [
            version
            for some in clients.map(lambda part: _ask(fleet, part), share)
            for version in some
        ]
    counted = Counter(answered)
    assert counted[fleet.versions["a"]] / 10_000 == pytest.approx(0.9, abs=0.01)
    assert counted[fleet.versions["twin"]] / 10_000 == pytest.approx(0.1, abs=0.01)
    assert counted[fleet.versions["worse"]] == 0
    named = [("a", 90.0), ("twin", 10.0), ("worse", 0.0)]
    for body, version in zip(bodies, answered, strict=True):
        key = split.key_of_pairs([(body["address1"], body["address2"])])
        assert version == fleet.versions[named[split.pick(key, named)][0]]


def test_one_session_gets_one_model_whatever_it_asks(fleet: Fleet) -> None:
    for session in ("one", "two", "{3}"):
        headers = {"X-Session-Id": session}
        assert len({fleet.predict(body, **headers) for body in _bodies(12)}) == 1
    assert len({fleet.predict(PAIR, **{"X-Session-Id": str(n)}) for n in range(60)}) == 2


def test_a_pair_gets_one_model_in_either_order(fleet: Fleet) -> None:
    for body in _bodies(12):
        turned = {"address1": body["address2"], "address2": body["address1"]}
        assert fleet.predict(body) == fleet.predict(turned)


def test_the_client_can_name_a_version_or_a_session(fleet: Fleet) -> None:
    url = fleet.running.predictions
    for name, version in fleet.versions.items():
        with MGeoClient(url, version=name) as client:
            assert client.predict(**PAIR)["model"]["version"] == version
    with MGeoClient(url, session="one") as client:
        versions = {client.predict(*pair)["model"]["version"] for pair in pairs(12)}
    assert versions == {fleet.predict(**{"X-Session-Id": "one"})}


def test_one_model_scores_a_whole_file(fleet: Fleet) -> None:
    """Without saying that its requests belong together, one in ten would come to the other."""
    client = PatientClient(
        fleet.running.predictions, api_key=None, connections=2, patience=10, note=print
    )
    scorer = RemoteScorer(client, in_flight=2, request_pairs=10)
    chunk = Rows([list(pair) for pair in pairs(400)], {})
    [(_, results)] = scorer.score(iter([chunk]), (0, 1), lambda rows: None)
    assert len(results) == 400


@pytest.mark.parametrize("name", ["a", "twin", "worse"])
def test_a_header_names_the_model_as_declared_or_by_its_version(fleet: Fleet, name: str) -> None:
    version = fleet.versions[name]
    assert fleet.predict(**{"X-Mgeo-Version": name}) == version
    assert fleet.predict(**{"X-Mgeo-Version": version}) == version
    batch = fleet.running.post(
        "/predict/batch", {"pairs": _bodies(20)}, headers={"X-Mgeo-Version": name}
    )
    assert batch.json()["model"]["version"] == version


def test_a_route_names_the_version(fleet: Fleet) -> None:
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [text]}
        for name, text in PAIR.items()
    ]
    for version in fleet.versions.values():
        path = f"/v2/models/tiny/versions/{version}/infer"
        answer = fleet.running.post(path, {"inputs": tensors}, headers={"X-Mgeo-Version": "a"})
        assert answer.json()["model_version"] == version
    info = requests.get(fleet.running.predictions + "/v2/models/a", timeout=10)
    assert info.status_code == 404  # not a model's own name but that of a declaration
    info = requests.get(fleet.running.predictions + "/v2/models/tiny", timeout=10)
    assert info.json()["versions"] == [fleet.versions[name] for name in ("a", "twin", "worse")]


def test_what_no_model_is_called_is_a_problem_that_says_what_there_is(fleet: Fleet) -> None:
    answer = fleet.running.post("/predict", PAIR, headers={"X-Mgeo-Version": "b"})
    detail = problem(answer, 404, "unknown-model")
    for name, version in fleet.versions.items():
        assert f"tiny {version} ({name})" in detail


@pytest.mark.parametrize(
    ("header", "value"),
    [("X-Session-Id", "a b"), ("X-Session-Id", "a" * 129), ("X-Mgeo-Version", "A/B")],
)
def test_a_header_that_is_no_id_is_refused(fleet: Fleet, header: str, value: str) -> None:
    answer = fleet.running.post("/predict", PAIR, headers={header: value})
    assert header in problem(answer, 400, "bad-request")


def test_versions_differ_in_answers_cache_and_metrics(fleet: Fleet) -> None:
    similarity = {
        name: fleet.running.post("/predict", PAIR, headers={"X-Mgeo-Version": name}).json()[
            "similarity"
        ]
        for name in (*fleet.versions, *fleet.versions)
    }
    assert len(set(similarity.values())) == 3
    seen = fleet.metrics()
    for name, version in fleet.versions.items():
        scored = seen.total("mgeo_prediction_total", model_version=version)
        assert scored == seen.total("mgeo_prediction_similarity_total", model_version=version) > 0
        assert seen.total("mgeo_batch_size_count", model_version=version) > 0
        of_stage = {"stage": "compute", "model_version": version}
        assert seen.total("mgeo_request_stage_duration_seconds_count", **of_stage) > 0
        share = {"variant": name, "model_version": version, "role": "serve"}
        expected = {"a": 0.9, "twin": 0.1, "worse": 0.0}[name]
        assert seen.value("mgeo_model_share_ratio", **share) == expected


def test_each_model_is_listed_with_its_state_and_memory(fleet: Fleet) -> None:
    listed = fleet.models()
    assert list(listed) == ["a", "twin", "worse"]
    assert listed["twin"] | {"load_seconds": 0, "memory_bytes": 0} == {
        "name": "twin",
        "source": str(fleet.sources["twin"]),
        "role": "serve",
        "share": 0.1,
        "status": "ready",
        "version": fleet.versions["twin"],
        "model": "tiny",
        "backend": "openvino-f32",
        "device": "cpu",
        "load_seconds": 0,
        "memory_bytes": 0,
    }
    assert all(one["load_seconds"] > 0 and one["memory_bytes"] >= 0 for one in listed.values())


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
    answers = shadowed.running.post("/predict/batch", {"pairs": _bodies(shown)}).json()
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
        assert release.wait(20)
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
        assert release.wait(20)
        return observed(batch)

    version.model.backend.predict = hold
    try:
        for _ in range(MOST_PAIRS // 200 + 1):
            shadowed.running.post("/predict/batch", {"pairs": _bodies(200)})
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
        shadowed.running.post("/predict/batch", {"pairs": _bodies(200)})
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


@pytest.mark.slow
def test_models_are_switched_and_rolled_back_under_load_without_a_lost_request(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, {"name": "a", "weight": 1})
    done = threading.Event()
    bodies = _bodies(500)

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
    assert frozen > 0, "what the process began with"
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
