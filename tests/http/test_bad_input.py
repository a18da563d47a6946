"""Bad input gets a clear 4xx that names the field and nothing else."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import Running, eventually

GOOD = "紫萱路363号"


def _problem(answer: requests.Response, status: int, code: str, *, error: str = "") -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["type"]) == (status, f"urn:mgeo:problem:{code}")
    assert body["error"] == body["title"]
    if error:
        assert body["error"] == error
    detail: str = body["detail"]
    return detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "address1 is missing"),
        ({"address1": GOOD}, "address2 is missing"),
        ({"address2": GOOD}, "address1 is missing"),
        ({"address1": None, "address2": GOOD}, "address1 is missing"),
        ({"address1": GOOD, "address2": ""}, "address2 is empty"),
        ({"address1": " \t\u3000", "address2": GOOD}, "address1 is empty"),
        ({"address1": "\u200b\u200d", "address2": GOOD}, "an address has no readable character"),
    ],
)
def test_a_missing_or_empty_address_is_the_original_error(
    running: Running, body: dict[str, Any], detail: str
) -> None:
    answer = running.post("/predict", body)
    assert _problem(answer, 400, "missing-fields", error="Missing address fields") == detail


@pytest.mark.parametrize("value", [7, 1.5, True, [], {}, [GOOD]])
def test_an_address_that_is_not_text_is_named(running: Running, value: object) -> None:
    answer = running.post("/predict", {"address1": GOOD, "address2": value})
    assert _problem(answer, 400, "invalid-field") == "address2 must be a string"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"not json", b"\xff\xfe\xfa", b"[1,", b'{"address1": NaN, "address2": "b"}',
        b'{"address1": Infinity}', b"[" * 200_000, b"1" * 5_000, b'"\\ud800', b"{\"a\":\x01}",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_json_is_refused(running: Running, body: bytes) -> None:
    answer = requests.post(
        running.predictions + "/predict",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:mgeo:problem:invalid-body"


@pytest.mark.parametrize("value", [[], "text", 1, None, True])
def test_a_body_that_is_not_an_object_is_refused(running: Running, value: object) -> None:
    body = json.dumps(value)
    headers = {"Content-Type": "application/json"}
    for path in ("/predict", "/predict/batch"):
        answer = requests.post(running.predictions + path, data=body, headers=headers, timeout=60)
        assert "object" in _problem(answer, 400, "invalid-body")


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "路\\ud83d路"])
def test_half_a_surrogate_pair_is_no_character(running: Running, half: str) -> None:
    body = f'{{"address1": "{half}", "address2": "b"}}'
    answer = requests.post(
        running.predictions + "/predict",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert "address1" in _problem(answer, 400, "invalid-field")


def test_a_whole_surrogate_pair_is_a_character(running: Running) -> None:
    answer = requests.post(
        running.predictions + "/predict",
        data=b'{"address1": "\\ud83d\\ude00 a", "address2": "b"}',
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_not_declared_as_json_is_refused(running: Running, kind: str | None) -> None:
    answer = requests.post(
        running.predictions + "/predict",
        data=json.dumps({"address1": GOOD, "address2": GOOD}).encode(),
        headers={"Content-Type": kind},
        timeout=60,
    )
    assert "application/json" in _problem(answer, 415, "unsupported-media-type")


def test_an_over_long_address_is_named_with_its_limit(running: Running) -> None:
    answer = running.post("/predict", {"address1": GOOD, "address2": "路" * 513})
    detail = _problem(answer, 400, "invalid-field")
    assert detail == "address2 has 513 characters; the limit is 512"


def test_too_many_pairs_are_refused(running: Running) -> None:
    pairs = [{"address1": GOOD, "address2": GOOD}] * 257
    answer = running.post("/predict/batch", {"pairs": pairs})
    assert "257" in _problem(answer, 413, "too-large")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_counted(running: Running, chunked: bool) -> None:
    def refusals() -> float:
        return _value(running, 'status="413"')

    before = refusals()
    body = b'{"address1": "' + b"a" * 1_048_576 + b'"}'
    answer = requests.post(
        running.predictions + "/predict",
        data=iter([body]) if chunked else body,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert "MGEO_MAX_BODY_BYTES" in _problem(answer, 413, "too-large")
    eventually(lambda: refusals() == before + 1)  # counted after it was answered


def test_pairs_must_be_a_list(running: Running) -> None:
    answer = running.post("/predict/batch", {"pairs": {"address1": GOOD}})
    assert "pairs" in _problem(answer, 400, "invalid-body")


def test_a_wrong_method_names_the_right_one(running: Running) -> None:
    answer = requests.get(running.predictions + "/predict", timeout=60)
    assert _problem(answer, 405, "wrong-method") == "this route takes another method: POST"
    assert "POST" in answer.headers["Allow"]


def test_an_unknown_route_is_not_echoed(running: Running) -> None:
    answer = requests.get(running.predictions + "/" + "北京市朝阳区", timeout=60)
    _problem(answer, 404, "unknown-route")
    assert "北京" not in answer.text


def test_a_malformed_request_line_is_answered_in_the_same_form(running: Running) -> None:
    address = urlsplit(running.predictions)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1 and more\r\nHost: x\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def _value(running: Running, label: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in running.get("/metrics").text.splitlines()
        if line.startswith("mgeo_request_total{") and label in line
    )
