"""`explain` on the routes that score: what a client gets, and what goes nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.retrieval import files
from service.retrieval.register import Entry
from tests.conftest import Running, start

PAIR = {"address1": "杭州市西湖区紫萱路88号3栋", "address2": "宁波市紫萱路188号"}
EXPLAINED = {
    "conflicts": ["city", "number"],
    "differences": [
        {"kind": "city", "address1": "杭州市", "address2": "宁波市"},
        {"kind": "district", "address1": "西湖区", "address2": None},
        {"kind": "number", "address1": "88号", "address2": "188号"},
        {"kind": "building", "address1": "3栋", "address2": None},
    ],
}
SAME: dict[str, Any] = {"conflicts": [], "differences": []}


@pytest.fixture(scope="module")
def matching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory: Path = tmp_path_factory.mktemp("register")
    files.write(directory, [Entry("R1", PAIR["address2"]), Entry("R2", PAIR["address1"])])
    service = start(register=str(directory))
    yield service
    service.service.stop()


def test_a_pair_is_explained_beside_its_score(running: Running) -> None:
    plain = running.post("/predict", PAIR).json()
    assert "explanation" not in plain
    explained = running.post("/predict", {**PAIR, "explain": True}).json()
    assert explained.pop("explanation") == EXPLAINED
    assert explained == plain


@pytest.mark.parametrize("asked", [{}, {"explain": False}, {"explain": None}])
def test_nothing_is_explained_that_is_not_asked_for(
    running: Running, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.comparison import compare

    def fail(*_: object) -> None:
        raise AssertionError("it was worked on")

    monkeypatch.setattr(compare, "compare", fail)
    answer = running.post("/predict", {**PAIR, **asked})
    assert answer.status_code == 200
    assert "explanation" not in answer.json()
    answer = running.post("/predict/batch", {"pairs": [PAIR, 7], **asked})
    assert [set(one) & {"explanation", "status"} for one in answer.json()["results"]] == [
        set(),
        {"status"},
    ]


def test_each_pair_of_a_batch_is_explained_but_none_that_has_no_score(running: Running) -> None:
    equal = {"address1": PAIR["address1"], "address2": PAIR["address1"]}
    placeholder = {"address1": "无", "address2": PAIR["address1"]}
    body = {"pairs": [PAIR, {"address1": "x"}, equal, placeholder], "explain": True}
    first, missing, second, refused = running.post("/predict/batch", body).json()["results"]
    assert (first["explanation"], second["explanation"]) == (EXPLAINED, SAME)
    for problem in (missing, refused):
        assert problem["status"] == 400
        assert "explanation" not in problem


def test_candidates_are_explained_in_the_order_asked_and_found(matching: Running) -> None:
    body = {"address": PAIR["address1"], "explain": True}
    told = matching.post("/match", body).json()
    found = {one["id"]: one.pop("explanation") for one in told["candidates"]}
    assert found == {"R1": EXPLAINED, "R2": SAME}
    del body["explain"]
    assert matching.post("/match", body).json() == told


@pytest.mark.parametrize(
    ("defaults", "conflicts"),
    [
        ({}, []),
        ({"default_city": "杭州"}, ["city"]),
        ({"default_province": "浙江省", "default_city": "杭州市"}, ["city"]),
        ({"default_province": "浙江"}, []),
        ({"default_province": "江苏省"}, ["province"]),
        ({"default_city": None}, []),
    ],
)
def test_defaults_say_where_an_address_is_that_does_not(
    running: Running, matching: Running, defaults: dict[str, Any], conflicts: list[str]
) -> None:
    pair = {"address1": "紫萱路188号", "address2": PAIR["address2"]}
    asked = {"explain": True, **defaults}
    told = running.post("/predict", {**pair, **asked}).json()["explanation"]
    assert told["conflicts"] == conflicts
    [batch] = running.post("/predict/batch", {"pairs": [pair], **asked}).json()["results"]
    assert batch["explanation"] == told
    body = {"address": pair["address1"], **asked}
    found = {one["id"]: one for one in matching.post("/match", body).json()["candidates"]}
    assert found["R1"]["explanation"] == told


BAD = [
    ({"explain": 1}, "explain must be true or false"),
    ({"explain": "true"}, "explain must be true or false"),
    ({"explain": {}}, "explain must be true or false"),
    ({"explain": True, "default_city": 7}, "default_city must be a string"),
    ({"explain": True, "default_city": "火星"}, "default_city is no city"),
    ({"explain": True, "default_city": "西湖区"}, "default_city is no city"),
    ({"explain": True, "default_city": ""}, "default_city is no city"),
    ({"explain": True, "default_province": "杭州"}, "default_province is no province"),
    (
        {"explain": True, "default_province": "浙江", "default_city": "南京"},
        "default_city is in another province",
    ),
    ({"default_city": "杭州"}, "default_city is for an explanation"),
    ({"default_province": "浙江", "explain": False}, "default_province is for an explanation"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "detail"), BAD)
@pytest.mark.parametrize("route", ["/predict", "/predict/batch", "/match"])
def test_what_cannot_be_meant_is_refused_by_name(
    running: Running, matching: Running, route: str, asked: dict[str, Any], detail: str
) -> None:
    body = {"/predict": PAIR, "/predict/batch": {"pairs": [PAIR]}}.get(route, {"address": "紫萱路"})
    service = matching if route == "/match" else running
    answer = service.post(route, {**body, **asked})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)
    for name in ("火星", "西湖", "南京"):  # an error repeats nothing of what was sent
        assert name not in answer.text


def test_no_part_of_an_address_is_in_the_metrics_or_among_the_recent_requests(
    running: Running,
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    header = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert running.post("/predict", {**PAIR, "explain": True}, headers=header).ok
    told = running.get("/metrics").text + json.dumps(
        running.get(f"/traces/{trace}").json(), ensure_ascii=False
    )
    for part in ("宁波", "西湖", "188号", "3栋"):
        assert part not in told
