"""A small share of the fuzzers' cases, always the same; `make fuzz` runs the large ones."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import Running
from tests.fuzz import checkpoints, files, http_surface, mutate


@pytest.mark.slow
def test_no_request_is_answered_with_a_5xx_or_not_at_all(running: Running) -> None:
    document = requests.get(running.predictions + "/openapi.json", timeout=60).json()
    at = urlsplit(running.predictions)
    address = (at.hostname or "", at.port or 0)
    # Broken ones aside: this service waits 20 s for the rest of them.
    routes = http_surface.routes(document)
    numbers = [n for n in range(700) if http_surface.make(n, 0, routes).whole]
    report = http_surface.run(address, numbers, 0, routes, threads=8)
    assert report.failures == []
    assert report.statuses.total() == len(numbers)
    assert {200, 400, 404, 405, 415} <= report.statuses.keys()


@pytest.mark.slow
def test_every_damaged_directory_loads_or_is_refused_in_one_line() -> None:
    seen, failures = checkpoints.run(range(60), seed=0)
    assert failures == []
    assert seen["refused"] > 20
    assert seen["loaded"] > 5


@pytest.mark.slow
def test_every_row_of_a_faulty_file_comes_out_or_the_file_is_refused_in_one_line() -> None:
    seen, failures = files.run(range(200), seed=0)
    assert failures == []
    assert seen["faulty: read"] > 80
    assert seen["faulty: refused"] > 20
    assert seen["damaged: refused"] > 8


def test_a_lost_row_is_seen(tmp_path: Path) -> None:
    case = next(case for n in range(100) if (case := files.make(n, 0)).rows > 2 and not case.faults)
    assert files.read(case, tmp_path) == ""
    case.rows += 1
    with pytest.raises(AssertionError, match="rows became"):
        files.read(case, tmp_path)
    case.rows -= 1
    case.data = case.data.replace(b"<2>", b"<1>")
    with pytest.raises(AssertionError, match="came out of"):
        files.read(case, tmp_path)


@pytest.mark.parametrize("number", range(5))
def test_a_case_is_the_same_whenever_it_is_made(number: int, tmp_path: Path) -> None:
    routes = [("POST", "/predict"), ("GET", "/")]
    assert http_surface.make(number, 1, routes) == http_surface.make(number, 1, routes)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        checkpoints.make(number, 1, folder)
    first, second = ({p.name: p.read_bytes() for p in f.iterdir() if p.is_file()} for f in folders)
    assert first == second
    assert files.make(number, 1) == files.make(number, 1)


def test_mutations_change_their_input_and_leave_it_alone() -> None:
    value = {"pairs": [{"address1": "a", "address2": "b"}]}
    before = json.dumps(value)
    made = [json.dumps(mutate.of_json(Random(n), value)) for n in range(200)]
    assert json.dumps(value) == before
    assert sum(text != before for text in made) > 150
    assert len(set(made)) > 100


def test_a_failure_is_seen() -> None:
    def broken(status: int, server: str = "") -> str:
        answer: Any = SimpleNamespace(status=status, headers=Message())
        answer.headers["Server"] = server
        case = http_surface.Case(b"GET / HTTP/1.1\r\n\r\n", whole=True)
        return http_surface._broken(answer, b"", case)

    assert "status 500" in broken(500)
    assert "no JSON" in broken(400)
    assert "no JSON" in broken(501)
    assert "what it is made of" in broken(200, server="waitress")
    assert broken(200) == ""
    known = (200, 429, 499, 500, 501, 503, 504, 505)
    assert [status for status in known if http_surface.is_failure(status)] == [500, 503, 504]
