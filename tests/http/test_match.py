"""`POST /match`: one address against a register, as a client sees it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from service.errors import SettingsError
from service.retrieval import files
from service.retrieval.register import CANDIDATES, Entry
from tests.conftest import Running, eventually, start
from tests.telemetry.exposition import OPENMETRICS, Exposition

ADDRESSES = [f"紫萱路{number}号市人社局" for number in range(350, 380)] + ["栖霞区文枢东路2号书店"]
ENTRIES = [Entry(f"R{place}", address) for place, address in enumerate(ADDRESSES)]
QUERY = "紫萱路363号人力社保局"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("register")
    files.write(directory, ENTRIES)
    return directory


@pytest.fixture(scope="module")
def matching(place: Path) -> Iterator[Running]:
    service = start(register=str(place))
    yield service
    service.service.stop()


def _ask(service: Running, **body: Any) -> dict[str, Any]:
    answer = service.post("/match", {"address": QUERY, **body})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def _metrics(service: Running) -> Exposition:
    return Exposition(service.get("/metrics", headers={"Accept": OPENMETRICS}).content)


def test_candidates_come_sorted_with_what_the_model_says_of_each(matching: Running) -> None:
    told = _ask(matching)
    candidates = told["candidates"]
    assert len(candidates) == 5
    assert told["scored"] == CANDIDATES
    # Answers first. Among equals of these, tests/matching/test_match.py has the order.
    answers = [candidate["label"] != "not_match" for candidate in candidates]
    assert answers == sorted(answers, reverse=True)
    entries = {entry.id: entry.address for entry in ENTRIES}
    for candidate in candidates:
        assert entries[candidate["id"]] == candidate["address"]
        pair = {"address1": QUERY, "address2": candidate["address"]}
        expected = matching.post("/predict", pair).json()
        assert candidate["similarity"] == pytest.approx(expected["similarity"], abs=1e-5)
        assert candidate["label"] == expected["label"]
    assert told["answer"] == ("no_match" if candidates[0]["label"] == "not_match" else "match")
    assert told["register"]["entries"] == len(ENTRIES)
    assert told["model"]["name"]


@pytest.mark.parametrize("top", [1, 2, CANDIDATES])
def test_the_margin_is_the_distance_to_the_next(matching: Running, top: int) -> None:
    every = _ask(matching, top=CANDIDATES)["candidates"]
    told = _ask(matching, top=top)["candidates"]
    assert told == every[:top]
    for one, following in itertools.pairwise(every):
        assert one["margin"] == pytest.approx(one["similarity"] - following["similarity"])
    assert every[-1]["margin"] is None


def test_the_entry_itself_is_among_the_candidates(matching: Running) -> None:
    told = _ask(matching, address="栖霞区文枢东路2号书店", top=CANDIDATES)
    assert "R30" in [candidate["id"] for candidate in told["candidates"]]


def test_what_shares_nothing_is_no_match_and_counted(matching: Running) -> None:
    labels = {"answer": "nothing_found"}
    before = _metrics(matching).value("mgeo_match_total", **labels)
    told = _ask(matching, address="长春")
    assert (told["answer"], told["candidates"], told["scored"]) == ("no_match", [], 0)
    assert _metrics(matching).value("mgeo_match_total", **labels) == before + 1


def test_candidates_that_were_scored_are_counted(matching: Running) -> None:
    before = _metrics(matching).value("mgeo_match_candidates_total")
    _ask(matching)
    assert _metrics(matching).value("mgeo_match_candidates_total") == before + CANDIDATES


def test_looking_in_the_register_is_a_stage_of_its_own(matching: Running) -> None:
    answer = matching.post("/match", {"address": "紫萱路355号新的楼"})
    stages = [part.split(";")[0] for part in answer.headers["Server-Timing"].split(", ")]
    assert stages == ["admit", "retrieve", "tokenize", "queue", "compute", "respond"]
    trace = answer.headers["traceparent"].split("-")[1]
    told = requests.get(f"{matching.predictions}/traces/{trace}", timeout=60).json()
    [request] = told["requests"]
    assert [stage["name"] for stage in request["stages"]] == stages
    assert request["stages"][1]["attributes"]["mgeo.candidates"] == CANDIDATES
    for stage, following in itertools.pairwise(request["stages"]):
        ends = stage["start_ms"] + stage["duration_ms"]
        assert following["start_ms"] == pytest.approx(ends, abs=0.002)


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [
        ({}, 400, "missing-fields", "address is missing"),
        ({"address": " "}, 400, "missing-fields", "address is empty"),
        ({"address": 7}, 400, "invalid-field", "address must be a string"),
        ({"address": "无"}, 400, "not-an-address", "address is a placeholder"),
        ({"address": "N/A"}, 400, "not-an-address", "address is a placeholder"),
        ({"address": "路" * 513}, 400, "invalid-field", "address has 513 characters"),
        ({"address": QUERY, "top": 0}, 400, "invalid-field", "top"),
        ({"address": QUERY, "top": CANDIDATES + 1}, 400, "invalid-field", "top"),
        ({"address": QUERY, "top": "5"}, 400, "invalid-field", "top"),
        ({"address": QUERY, "model": "none"}, 404, "unknown-model", "no model has this name"),
    ],
)
def test_what_cannot_be_answered_says_why(
    matching: Running, body: dict[str, Any], status: int, code: str, detail: str
) -> None:
    answer = matching.post("/match", body)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["type"] == f"urn:mgeo:problem:{code}"
    assert detail in problem["detail"]
    assert QUERY not in answer.text


def test_without_a_register_there_is_nothing_to_look_in(running: Running) -> None:
    answer = running.post("/match", {"address": QUERY})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mgeo:problem:no-register")
    assert "MGEO_REGISTER is not set" in answer.json()["detail"]


def test_a_register_that_is_none_ends_the_start_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"MGEO_REGISTER: .* is no register"):
        start(register=str(tmp_path))


def test_it_is_exchanged_without_a_restart_or_a_lost_request(tmp_path: Path) -> None:
    files.write(tmp_path, ENTRIES)
    service = start(register=str(tmp_path))
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(_ask, service) for _ in range(40)]
            version, _ = files.write(tmp_path, [Entry("new", QUERY)])
            asked += [pool.submit(_ask, service) for _ in range(40)]
            answers = [one.result() for one in asked]
        for told in answers:  # one register or the other, never a mixture
            ids = {candidate["id"] for candidate in told["candidates"]}
            assert ids == {"new"} if told["register"]["version"] == version else "new" not in ids
        eventually(lambda: _ask(service)["register"]["version"] == version)
        page = _metrics(service)
        assert page.value("mgeo_register_entries", register_version=version) == 1
        assert page.value("mgeo_register_unreadable_age_seconds") == 0
    finally:
        service.service.stop()


def test_one_that_cannot_be_read_leaves_the_last_and_is_seen(tmp_path: Path) -> None:
    files.write(tmp_path / "register", ENTRIES)
    service = start(register=str(tmp_path / "register"))
    try:
        shutil.move(tmp_path / "register", tmp_path / "elsewhere")

        def age() -> float:
            return _metrics(service).value("mgeo_register_unreadable_age_seconds")

        eventually(lambda: age() > 0)
        assert _ask(service)["register"]["entries"] == len(ENTRIES)
        shutil.move(tmp_path / "elsewhere", tmp_path / "register")
        eventually(lambda: age() == 0)
        assert _ask(service)["register"]["entries"] == len(ENTRIES)
    finally:
        service.service.stop()
