"""`POST /rerank` as a client of text-embeddings-inference sees it, and one of Cohere or Jina."""

from __future__ import annotations

import math
from typing import Any

import pytest
import requests

from tests.conftest import Running
from tests.http.held import Held, problem

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
            {"query": "\u200b", "texts": ["b", " "]},
            400,
            "missing-fields",
            "query: an address has no readable character",
        ),
        ({"query": "a", "texts": ["b", None]}, 400, "missing-fields", "texts[1] is missing"),
        (
            {"query": "a", "texts": ["b"], "truncation_direction": "Left"},
            400,
            "invalid-field",
            "truncation_direction must be one of Right, right",
        ),
        (
            {"query": "a", "texts": ["b"], "documents": ["b"]},
            400,
            "invalid-field",
            "documents is not supported: send the candidates once, as texts or as documents",
        ),
        (
            {"query": "a", "documents": ["b"], "return_text": True},
            400,
            "invalid-field",
            "return_text is not supported: the field for that is return_documents",
        ),
        ({"query": "a", "documents": []}, 400, "missing-fields", "documents is empty"),
        (
            {"query": "a", "documents": ["b", 7]},
            400,
            "invalid-field",
            "documents[1] must be a string",
        ),
        (
            {"query": "a", "documents": [{"text": 7}]},
            400,
            "invalid-field",
            "documents[0].text must be a string",
        ),
        (
            {"query": "a", "documents": ["b", {}]},
            400,
            "missing-fields",
            "documents[1].text is missing",
        ),
        (
            {"query": "a", "documents": [{"text": "b", "title": "c"}]},
            400,
            "invalid-field",
            "documents[0] has other fields beside text: join them yourself",
        ),
        (
            {"query": "a", "texts": [{"text": "b"}]},
            400,
            "invalid-field",
            "texts[0] must be a string",
        ),
        (
            {"query": "a", "texts": ["b"], "top_n": 0},
            400,
            "invalid-field",
            "top_n must be from 1 to 2147483648",
        ),
        (
            {"query": "a", "texts": ["b"], "model": 7},
            400,
            "invalid-field",
            "model must be a string",
        ),
        (
            {"query": "a", "texts": ["b"] * 1001},
            413,
            "too-large",
            "texts has 1001 entries; the limit is 1000",
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
        (
            {"query": LONG["query"], "documents": LONG["texts"], "truncate": False},
            400,
            "invalid-field",
            "query and documents[1] are longer than the model reads; set truncate to true",
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


@pytest.mark.parametrize("blank", ["", " ", "\u3000\t", "\u200b"])
def test_a_blank_candidate_is_last_and_spoils_no_other(running: Running, blank: str) -> None:
    body = {"query": QUERY, "texts": [blank, *TEXTS], "return_text": True}
    answer = running.post("/rerank", body)
    assert answer.status_code == 200, answer.text
    ranks = answer.json()
    assert ranks[-1] == {"index": 0, "score": 0.0, "text": blank}
    without = running.post("/rerank", {"query": QUERY, "texts": TEXTS}).json()
    others = [(rank["index"] - 1, rank["score"]) for rank in ranks[:-1]]
    assert others == [(rank["index"], pytest.approx(rank["score"], abs=1e-5)) for rank in without]
    raw = running.post("/rerank", {**body, "raw_scores": True}).json()
    assert raw[-1]["index"] == 0
    assert math.isfinite(raw[-1]["score"])


def test_all_candidates_may_be_blank(running: Running) -> None:
    answer = running.post("/rerank", {"query": QUERY, "texts": ["", " "]})
    assert answer.json() == [{"index": 0, "score": 0.0}, {"index": 1, "score": 0.0}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", 3), ("rank_fields", ["a"]), ("return_documents", True),
        ("return_embeddings", True), ("max_chunks_per_doc", 1), ("max_tokens_per_doc", 4096),
        ("truncate_prompt_tokens", 1), ("truncation", True), ("activation", True),
        ("use_activation", True), ("normalize", True), ("instruction", "a"),
        ("mm_processor_kwargs", {"a": 1}), ("relevant_spans", {"mode": "disabled"}),
        ("truncation_side", "left"), ("max_tokens_per_query", 1),
    ],
)  # fmt: skip
def test_what_other_rerankers_take_is_refused_by_name(
    running: Running, name: str, value: object
) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    answer = running.post("/rerank", {**body, name: value})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{name} is not supported: ")
    # What says nothing is passed over, as their clients send all their fields.
    assert running.post("/rerank", {**body, name: None}).ok


def test_what_changes_nothing_is_taken(running: Running) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    same = running.post("/rerank", body).json()
    for more in (
        {"truncation_direction": "Right"}, {"truncation_direction": "right"}, {"user": "a"},
        {"truncation_direction": None}, {"top_n": None}, {"top_n": 99}, {"model": None},
        {"model": "tiny"}, {"return_documents": False}, {"priority": 3}, {"request_id": "a"},
    ):  # fmt: skip
        assert running.post("/rerank", body | more).json() == same, more


def test_the_best_are_given_where_their_number_is_asked_for(running: Running) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    ranks = running.post("/rerank", body).json()
    assert running.post("/rerank", {**body, "top_n": 2}).json() == ranks[:2]


def test_more_than_a_batch_takes_are_ranked_as_in_portions(running: Running) -> None:
    texts = [f"紫萱路{number}号{'市人社局' * (number % 3)}" for number in range(600)]
    body = {"query": QUERY, "texts": texts}
    ranks = running.post("/rerank", body, headers={"Cache-Control": "no-cache"}).json()
    assert sorted(rank["index"] for rank in ranks) == list(range(600))
    scores = [rank["score"] for rank in ranks]
    assert scores == sorted(scores, reverse=True)
    portions = {
        begin + rank["index"]: rank["score"]
        for begin in range(0, 600, 256)
        for rank in running.post(
            "/rerank", {"query": QUERY, "texts": texts[begin : begin + 256]}
        ).json()
    }
    assert {rank["index"]: rank["score"] for rank in ranks} == pytest.approx(portions, abs=1e-5)


def test_more_than_the_queue_holds_are_refused_as_a_whole() -> None:
    texts = [f"紫萱路{number}号" for number in range(301)]
    held = Held(max_queue_pairs=300)
    try:
        refused = held.send("/rerank", {"query": QUERY, "texts": texts}).result()
        assert "send fewer at a time" in problem(refused, 413, "too-large")
        assert held.computed == []
        held.busy()
        waiting = held.send("/rerank", {"query": QUERY, "texts": texts[:299]})
        held.waiting(299)
        refused = held.send("/rerank", {"query": QUERY, "texts": texts[:2]}).result()
        problem(refused, 429, "queue-full")
        held.gate.set()
        assert len(waiting.result().json()) == 299
    finally:
        held.stop()


@pytest.mark.parametrize("raw", [False, True])
def test_documents_are_answered_as_cohere_and_jina_answer(running: Running, raw: bool) -> None:
    asked = {"query": QUERY, "top_n": 3, "raw_scores": raw}
    ranks = running.post("/rerank", {**asked, "texts": TEXTS, "return_text": True}).json()
    body = {**asked, "documents": TEXTS, "return_documents": True, "model": "tiny"}
    told = running.post("/rerank", body).json()
    assert told == {
        "results": [
            {
                "index": rank["index"],
                "relevance_score": rank["score"],
                "document": {"text": TEXTS[rank["index"]]},
                **({"unread": rank["unread"]} if "unread" in rank else {}),
            }
            for rank in ranks
        ],
        "model": "tiny",
        "meta": {"billed_units": {"search_units": 0}},
    }
    wrapped = [{"text": text} for text in TEXTS]
    assert running.post("/rerank", {**body, "documents": wrapped}).json() == told
    bare = running.post("/rerank", {"query": QUERY, "documents": TEXTS}).json()
    assert [one["index"] for one in bare["results"][:3]] == [rank["index"] for rank in ranks]
    assert not any("document" in one for one in bare["results"])


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
@pytest.mark.parametrize("candidates", ["texts", "documents"])
def test_every_path_answers_alike(running: Running, path: str, candidates: str) -> None:
    body = {"query": QUERY, candidates: TEXTS}
    answer = running.post(path, body)
    assert answer.json() == running.post("/rerank", body).json()
    refused = running.post(path, {**body, "top_n": 0})
    assert refused.status_code == 400
    assert refused.json() == running.post("/rerank", {**body, "top_n": 0}).json()


def test_another_model_than_there_is_is_named(running: Running) -> None:
    answer = running.post("/rerank", {"query": QUERY, "texts": TEXTS, "model": "bge-reranker"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:mgeo:problem:unknown-model"


def test_a_pair_that_is_too_long_is_cut_where_nothing_else_is_asked(running: Running) -> None:
    assert running.post("/rerank", LONG).status_code == 200


def test_what_the_service_could_not_do_is_no_fault_of_the_request() -> None:
    from service.errors import EngineFailed, NotReady, QueueFull
    from service.http import rerank

    kinds = [
        rerank.problem(error("x"))["error_type"] for error in (QueueFull, NotReady, EngineFailed)
    ]
    assert kinds == ["overloaded", "unhealthy", "backend"]
