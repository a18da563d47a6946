"""What a client is told of text that the model cannot read, and of what is no address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import conftest
from tests.conftest import Running

GOOD = {"address1": "建国路88号", "address2": "建国路88号人社局"}
PLACEHOLDER = {"address1": "建国路88号", "address2": "N/A"}
FOREIGN = {"address1": "ул. Ленина, 5", "address2": "пр. Мира, 5"}
RARE = {"address1": "建国路🏥", "address2": "建国路🏫"}


@pytest.fixture(scope="module")
def normalizing() -> Iterator[Running]:
    service = conftest.start(normalize="simplified")
    yield service
    service.service.stop()


def _counted(running: Running, name: str) -> float:
    lines = running.get("/metrics").text.splitlines()
    return sum(float(line.split(" # ")[0].split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize(
    ("pair", "problem", "title"),
    [
        (PLACEHOLDER, "not-an-address", "Not an address"),
        ({"address1": "???", "address2": "?????"}, "not-an-address", "Not an address"),
        (FOREIGN, "unreadable", "Address cannot be read"),
    ],
)
def test_a_pair_that_is_nothing_else_is_refused_and_counted(
    running: Running, pair: dict[str, str], problem: str, title: str
) -> None:
    metric = f'mgeo_input_refused_total{{problem="{problem}"'
    before = _counted(running, metric)
    answer = running.post("/predict", pair)
    body = answer.json()
    assert (answer.status_code, body["type"]) == (400, f"urn:mgeo:problem:{problem}")
    assert body["error"] == title
    assert not any(text in body["detail"] for text in (*FOREIGN.values(), "???"))
    assert _counted(running, metric) == before + 1


def test_in_a_batch_each_gets_its_own_error_and_the_others_their_score(running: Running) -> None:
    pairs = [GOOD, PLACEHOLDER, FOREIGN, GOOD]
    first, placeholder, foreign, last = running.post("/predict/batch", {"pairs": pairs}).json()[
        "results"
    ]
    assert first["unread"] == last["unread"] == 0
    assert placeholder["type"] == "urn:mgeo:problem:not-an-address"
    assert placeholder["detail"].startswith("address2 is a placeholder")
    assert foreign["type"] == "urn:mgeo:problem:unreadable"


def test_what_is_not_read_is_flagged_also_from_the_cache(running: Running) -> None:
    before = _counted(running, "mgeo_input_unread_total")
    answers = [running.post("/predict", RARE).json() for _ in range(2)]
    for answer in answers:
        assert answer["unread"] == pytest.approx(0.25)
        assert answer["probabilities"] == answers[0]["probabilities"]
    assert _counted(running, "mgeo_input_unread_total") == before + 2


def test_where_text_is_normalised_it_is_never_exact(normalizing: Running) -> None:
    for _ in range(2):  # computed, and from the cache
        answer = normalizing.post("/predict", RARE).json()
        assert answer["unread"] == pytest.approx(0.25)
        assert answer["probabilities"]["exact_match"] == 0
        assert answer["label"] != "exact_match"


@pytest.mark.parametrize(
    "other", ["建国路８８號", "建国路８８号", "建国路8\u200b8号", "建国路⑧⑧号"]
)
def test_normalised_forms_are_one_input(normalizing: Running, other: str) -> None:
    [plain, formed] = normalizing.post(
        "/predict/batch",
        {"pairs": [GOOD, {**GOOD, "address1": other}]},
    ).json()["results"]
    same = plain["probabilities"] == pytest.approx(formed["probabilities"], abs=1e-5)
    # Two circled digits are two numbers, not one.
    assert same is (other != "建国路⑧⑧号")
    assert formed["unread"] == 0


def test_a_published_model_is_given_what_was_sent(running: Running, normalizing: Running) -> None:
    pair = {**GOOD, "address1": "建国路Ⅱ号"}
    as_sent, normalised = (
        service.post("/predict", pair).json() for service in (running, normalizing)
    )
    assert as_sent["unread"] > 0
    assert normalised["unread"] == 0


def test_a_candidate_is_flagged_where_it_is_not_read(running: Running) -> None:
    texts = ["建国路🏫", "建国路88号"]
    ranks: list[dict[str, Any]] = running.post(
        "/rerank", {"query": "建国路88号", "texts": texts}
    ).json()
    assert {rank["index"]: rank.get("unread") for rank in ranks} == {0: 0.25, 1: None}


def test_a_tensor_names_the_element_at_fault(running: Running) -> None:
    tensors = [
        {"name": name, "shape": [2], "datatype": "BYTES", "data": [GOOD[name], PLACEHOLDER[name]]}
        for name in ("address1", "address2")
    ]
    answer = running.post("/v2/models/tiny/infer", {"inputs": tensors})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(
        "address1[1] or address2[1]: address2 is a placeholder"
    )


def test_a_tensor_tells_the_share(running: Running) -> None:
    tensors = [
        {"name": name, "shape": [2], "datatype": "BYTES", "data": [GOOD[name], RARE[name]]}
        for name in ("address1", "address2")
    ]
    answer = running.post("/v2/models/tiny/infer", {"inputs": tensors}).json()
    shares = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}["unread"]
    assert shares == [0, 0.25]


def test_the_cache_is_passed_by_where_the_client_says_so(running: Running) -> None:
    pair = {**GOOD, "address2": "建国路88号二层"}
    hits = 'mgeo_cache_lookup_total{result="hit"'
    first = running.post("/predict", pair).json()
    before = _counted(running, hits)
    again = running.post("/predict", pair, headers={"Cache-Control": "max-age=0, No-Cache"})
    assert again.json()["probabilities"] == pytest.approx(first["probabilities"], abs=1e-6)
    assert _counted(running, hits) == before
    running.post("/predict", pair)
    assert _counted(running, hits) == before + 1
