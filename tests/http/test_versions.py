"""Several models in one service: which of them answers, and what is said of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import requests

from service.bulk.client import PatientClient
from service.bulk.remote import RemoteScorer
from service.bulk.tables import Rows
from service.client import MGeoClient
from service.scoring import split
from tests.http.fleet import TWIN, WORSE, A, Fleet, bodies_of
from tests.http.held import PAIR, problem
from tests.models import pairs


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


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three models: two that share the traffic, and one for those who ask for it."""
    made = Fleet(tmp_path_factory.mktemp("fleet"), A, TWIN, WORSE)
    yield made
    made.stop()


@pytest.mark.slow
def test_requests_are_split_by_weight_and_as_the_policy_says(fleet: Fleet) -> None:
    bodies = bodies_of(10_000)
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
        assert len({fleet.predict(body, **headers) for body in bodies_of(12)}) == 1
    assert len({fleet.predict(PAIR, **{"X-Session-Id": str(n)}) for n in range(60)}) == 2


def test_a_pair_gets_one_model_in_either_order(fleet: Fleet) -> None:
    for body in bodies_of(12):
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
        "/predict/batch", {"pairs": bodies_of(20)}, headers={"X-Mgeo-Version": name}
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
    info = requests.get(fleet.running.predictions + "/v2/models/a", timeout=60)
    assert info.status_code == 404  # not a model's own name but that of a declaration
    info = requests.get(fleet.running.predictions + "/v2/models/tiny", timeout=60)
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
