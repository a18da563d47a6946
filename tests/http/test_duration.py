"""A request's duration says how it ended and which model's version answered it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import requests

from tests.conftest import Running, eventually
from tests.telemetry.exposition import Exposition

PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}
POST = {"method": "POST"}
COUNT = "mgeo_request_duration_seconds_count"

MISTAKES: dict[str, dict[str, Any]] = {
    "missing fields": {"json": {"address1": "文三路"}},
    "broken JSON": {"data": b"{", "headers": {"Content-Type": "application/json"}},
    "not JSON": {"data": b"a=b"},
    "a list": {"json": []},
    "a number for an address": {"json": {"address1": 1, "address2": "文三路"}},
}


def answered(path: str, version: str) -> dict[str, str]:
    return {**POST, "endpoint": path, "status_class": "2xx", "model_version": version}


def _given(labels: Mapping[str, str]) -> dict[str, str]:
    """Without those that are empty, which Prometheus takes as absent."""
    return {name: value for name, value in labels.items() if value}


def timed(running: Running, **labels: str) -> float:
    """Requests timed with just these labels."""
    samples = Exposition(running.get("/metrics").text, openmetrics=False).samples
    return sum(s.value for s in samples if s.name == COUNT and _given(s.labels) == labels)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", PAIR),
        ("/predict/batch", {"pairs": [PAIR]}),
        ("/rerank", {"query": PAIR["address1"], "texts": [PAIR["address2"]]}),
    ],
)
def test_an_answer_is_timed_as_one_of_its_version(
    running: Running, path: str, body: dict[str, object]
) -> None:
    version = running.engine.model.checkpoint.version
    labels = answered(path, version)
    before = timed(running, **labels)
    assert running.post(path, body).status_code == 200
    eventually(lambda: timed(running, **labels) == before + 1)


@pytest.mark.parametrize(
    "path",
    ["/predict", *(pytest.param(p, marks=pytest.mark.slow) for p in ("/predict/batch", "/rerank"))],
)
def test_fifty_malformed_requests_are_no_fast_answers(running: Running, path: str) -> None:
    version = running.engine.model.checkpoint.version
    good, mistaken = answered(path, version), {**POST, "endpoint": path, "status_class": "4xx"}
    before, bad = timed(running, **good), timed(running, **mistaken)
    with requests.Session() as session:
        for kind, mistake in list(MISTAKES.items()) * 10:
            answer = session.post(running.predictions + path, timeout=30, **mistake)
            assert answer.status_code in (400, 415), kind
    eventually(lambda: timed(running, **mistaken) == bad + 50)
    assert timed(running, **good) == before
