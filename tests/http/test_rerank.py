"""`POST /rerank` as a client of text-embeddings-inference sees it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import requests

from tests.conftest import Running

QUERY = "紫萱路363号人力社保局"
TEXTS = ["栖霞区文枢东路2号", "紫萱路363号市人社局", "紫萱路363号", "路" * 300]


def _similarity(running: Running, text: str) -> float:
    answer = running.post("/predict", {"address1": QUERY, "address2": text})
    return float(answer.json()["similarity"])


def test_candidates_come_sorted_by_their_similarity_to_the_query(running: Running) -> None:
    answer = running.post("/rerank", {"query": QUERY, "texts": TEXTS})
    assert answer.status_code == 200, answer.text
    ranks = answer.json()
    assert [set(rank) - {"unread"} for rank in ranks] == [{"index", "score"}] * len(TEXTS)
    assert sorted(rank["index"] for rank in ranks) == list(range(len(TEXTS)))
    scores = [rank["score"] for rank in ranks]
    assert scores == sorted(scores, reverse=True)
    for rank in ranks:
        expected = _similarity(running, TEXTS[rank["index"]])
        assert rank["score"] == pytest.approx(expected, abs=1e-5)


def test_equal_candidates_keep_their_order(running: Running) -> None:
    ranks = running.post("/rerank", {"query": QUERY, "texts": [QUERY] * 5}).json()
    assert [rank["index"] for rank in ranks] == [0, 1, 2, 3, 4]


def test_raw_scores_are_those_whose_logistic_function_is_the_score(running: Running) -> None:
    body = {"query": QUERY, "texts": TEXTS, "return_text": True}
    plain = running.post("/rerank", body).json()
    raw = running.post("/rerank", {**body, "raw_scores": True}).json()
    assert [rank["index"] for rank in raw] == [rank["index"] for rank in plain]
    for bare, score in zip(raw, plain, strict=True):
        assert 1 / (1 + math.exp(-bare["score"])) == pytest.approx(score["score"])
        assert score["text"] == bare["text"] == TEXTS[score["index"]]


@pytest.mark.parametrize("share", [0.0, 1.0, 1e-12])
def test_a_raw_score_is_a_number_that_json_has(share: float) -> None:
    from service.http.rerank import _logit

    assert math.isfinite(_logit(share))


LONG = {"query": QUERY, "texts": ["a", "路" * 512]}


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [
        ({"texts": ["a"]}, 400, "missing-fields", "query is missing"),
        ({"query": " ", "texts": ["a"]}, 400, "missing-fields", "query is empty"),
        ({"query": "a"}, 400, "invalid-body", "texts must be a list"),
        ({"query": "a", "texts": "b"}, 400, "invalid-body", "texts must be a list"),
        ({"query": "a", "texts": []}, 400, "missing-fields", "texts is empty"),
        ({"query": "a", "texts": ["b", 7]}, 400, "invalid-field", "texts[1] must be a string"),
        (
            {"query": "a", "texts": ["b", "路" * 513]},
            400,
            "invalid-field",
            "texts[1] has 513 characters; the limit is 512",
        ),
        (
            {"query": "a", "texts": ["b", "\u200b"]},
            400,
            "missing-fields",
            "query or texts[1]: an address has no readable character",
        ),
        (
            {"query": "a", "texts": ["b"] * 257},
            413,
            "too-large",
            "texts has 257 entries; the limit is 256",
        ),
        (
            {"query": "a", "texts": ["b"], "raw_scores": "yes"},
            400,
            "invalid-field",
            "raw_scores must be true or false",
        ),
        (
            {**LONG, "truncate": False},
            400,
            "invalid-field",
            "query and texts[1] are longer than the model reads; set truncate to true",
        ),
        ([], 400, "invalid-body", "a JSON object with query and texts is expected"),
    ],
)
def test_what_cannot_be_ranked_is_named(
    running: Running, body: Any, status: int, code: str, detail: str
) -> None:
    answer = requests.post(running.predictions + "/rerank", json=body, timeout=30)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == f"urn:mgeo:problem:{code}"
    assert told["error"] == told["detail"] == detail
    assert told["error_type"] == "validation"


def test_a_pair_that_is_too_long_is_cut_where_nothing_else_is_asked(running: Running) -> None:
    assert running.post("/rerank", LONG).status_code == 200


def test_what_the_service_could_not_do_is_no_fault_of_the_request() -> None:
    from service.errors import EngineFailed, NotReady, QueueFull
    from service.http.rerank import problem

    kinds = [problem(error("x"))["error_type"] for error in (QueueFull, NotReady, EngineFailed)]
    assert kinds == ["overloaded", "unhealthy", "backend"]
