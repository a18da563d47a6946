"""The original contract, and the answers of the prediction routes."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.conftest import Running

PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}


def test_a_pair_is_answered_with_what_the_original_script_gave_and_more(running: Running) -> None:
    answer = running.post("/predict", PAIR)

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {
        "similarity", "label", "probabilities", "truncated", "unread", "model"
    }  # fmt: skip
    probabilities = body["probabilities"]
    assert set(probabilities) == {"exact_match", "partial_match", "not_match"}
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert body["similarity"] == pytest.approx(
        probabilities["exact_match"] + 0.5 * probabilities["partial_match"]
    )
    assert body["label"] == max(probabilities, key=probabilities.get)
    assert body["truncated"] is False
    assert body["model"]["name"] == "tiny"
    assert len(body["model"]["version"]) == 12
    assert body["model"]["backend"] == "openvino-f32"


def _predictable(pair: dict[str, str]) -> bool:
    """Rows with a literal special token or an empty address are refused or read differently."""
    return bool(pair["a"].strip() and pair["b"].strip()) and "[" not in pair["a"] + pair["b"]


def test_golden_pairs_score_over_http_as_in_modelscope(
    running: Running, golden: dict[str, Any]
) -> None:
    compared = 0
    for row in filter(_predictable, golden["runs"]["default"]["rows"]):
        body = running.post("/predict", {"address1": row["a"], "address2": row["b"]}).json()
        assert body["probabilities"] == pytest.approx(row["prob"], abs=1e-5)
        assert body["label"] == max(row["prob"], key=row["prob"].get)
        compared += 1
    assert compared >= 18


def test_a_batch_keeps_its_order_and_reports_bad_pairs_in_their_place(running: Running) -> None:
    other = {"address1": "栖霞区文枢东路2号", "address2": "栖霞区文枢东路2号书店"}
    answer = running.post(
        "/predict/batch", {"pairs": [PAIR, {"address1": "只有一个"}, other, 7, PAIR]}
    )

    assert answer.status_code == 200
    first, missing, second, number, again = answer.json()["results"]
    assert first["probabilities"] == pytest.approx(again["probabilities"], abs=1e-6)
    for pair, result in ((PAIR, first), (other, second)):
        single = running.post("/predict", pair).json()
        assert result["probabilities"] == pytest.approx(single["probabilities"], abs=1e-5)
    assert (missing["status"], missing["error"]) == (400, "Missing address fields")
    assert missing["detail"] == "address2 is missing"
    assert (number["status"], number["error"]) == (400, "Invalid request body")


def test_an_empty_batch_has_no_results(running: Running) -> None:
    answer = running.post("/predict/batch", {"pairs": []})
    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_a_pair_longer_than_the_model_reads_says_so(running: Running) -> None:
    answer = running.post("/predict", {"address1": "路" * 500, "address2": "号" * 500}).json()
    assert answer["truncated"] is True


@pytest.mark.parametrize("token", ["SEP", "CLS", "MASK", "PAD", "UNK"])
def test_a_special_token_in_an_address_is_text(running: Running, token: str) -> None:
    """As a token it would change the pair's structure; as text it reads like its characters."""

    def score(address: str) -> Any:
        pair = {"address1": address, "address2": "紫萱路363号"}
        return running.post("/predict", pair).json()["probabilities"]

    assert score(f"紫萱路[{token}]363号") == pytest.approx(score(f"紫萱路[ {token} ]363号"))


def test_an_answer_says_how_long_each_stage_took_and_which_trace_it_is(running: Running) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"traceparent": f"00-{trace}-b7ad6b7169203331-00"}
    pair = {"address1": "紫萱路363号", "address2": "asked for in no other test"}
    for expected in (
        ["admit", "tokenize", "queue", "compute", "respond"],
        ["admit", "respond"],  # the second time, from the cache
    ):
        answer = running.post("/predict", pair, headers=sent)
        stages = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
        assert list(stages) == expected
        assert all(float(milliseconds) >= 0 for milliseconds in stages.values())
        version, trace_id, span_id, _ = answer.headers["traceparent"].split("-")
        assert (version, trace_id) == ("00", trace)
        assert span_id != "b7ad6b7169203331"


@pytest.mark.parametrize("body", [{"pairs": [PAIR, {}, PAIR]}, PAIR])
def test_a_repeated_request_gets_the_same_answer(running: Running, body: Any) -> None:
    path = "/predict/batch" if "pairs" in body else "/predict"
    assert running.post(path, body).json() == running.post(path, body).json()


def test_health_is_the_original_answer_on_both_listeners(running: Running) -> None:
    for base in (running.predictions, running.operations):
        answer = requests.get(base + "/healthz", timeout=60)
        assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_operations_say_ready_and_live(running: Running) -> None:
    for path in ("/readyz", "/livez"):
        answer = running.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_answers_carry_no_server_banner(running: Running) -> None:
    for base in (running.predictions, running.operations):
        assert "Server" not in requests.get(base + "/healthz", timeout=60).headers
