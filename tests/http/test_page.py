"""How the pages are served, and what the service says of recent requests. How the pages look and
work is in tests/browser."""

from __future__ import annotations

import re

import pytest
import requests

from tests.conftest import Running, start

PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_allows_nothing_but_its_own_files(running: Running, path: str) -> None:
    answer = requests.get(running.predictions + path, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    policy = dict(
        part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # Nothing in the page that the policy would forbid, and nothing from elsewhere.
    assert (
        re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|https?://", answer.text)
        == []
    )
    known = {"If-None-Match": answer.headers["ETag"]}
    assert requests.get(running.predictions + path, headers=known, timeout=60).status_code == 304


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_files_of_a_page_are_kept_for_ever_under_the_digest_in_it(
    running: Running, path: str
) -> None:
    text = requests.get(running.predictions + path, timeout=60).text
    files = re.findall(r'"(/assets/[^"]+)"', text)
    assert len(files) == 3
    for file in files:
        answer = requests.get(running.predictions + file, timeout=60)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        for other in (file.split("?")[0], file + "0"):
            old = requests.get(running.predictions + other, timeout=60)
            assert (old.content, old.headers["Cache-Control"]) == (answer.content, "no-cache")


@pytest.mark.parametrize("name", ["", "none.js", "..%2fpage.py", "%2e%2e/page.py", "北京.css"])
def test_no_other_file_is_served(running: Running, name: str) -> None:
    answer = requests.get(running.predictions + "/assets/" + name, timeout=60)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mgeo:problem:unknown-route")


def test_the_model_describes_itself(running: Running) -> None:
    answer = requests.get(running.predictions + "/model", timeout=60)
    assert answer.json() == running.post("/predict", PAIR).json()["model"]


def test_a_recent_request_is_found_by_the_trace_id_of_its_answer(running: Running) -> None:
    answer = running.post("/predict/batch", {"pairs": [PAIR] * 3})
    _, trace_id, span_id, _ = answer.headers["traceparent"].split("-")
    trace = requests.get(f"{running.predictions}/traces/{trace_id}", timeout=60).json()
    assert set(trace) == {"trace_id", "requests"}
    [request] = trace["requests"]
    assert (request["span_id"], request["endpoint"]) == (span_id, "/predict/batch")
    stages = [(stage["name"], f"{stage['duration_ms']:.3f}") for stage in request["stages"]]
    told = [tuple(part.split(";dur=")) for part in answer.headers["Server-Timing"].split(", ")]
    assert stages == told
    assert requests.get(f"{running.predictions}/traces/{trace_id}", timeout=60).ok  # not displaced


@pytest.mark.parametrize(
    "trace_id", ["0" * 32, "f" * 32, "F" * 32, "x", "北京市朝阳区", "-1", "١" * 32]
)
def test_an_unknown_trace_is_not_echoed(running: Running, trace_id: str) -> None:
    answer = requests.get(f"{running.predictions}/traces/{trace_id}", timeout=60)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mgeo:problem:unknown-trace")
    assert trace_id not in answer.text or trace_id in ("x", "-1")


def test_only_a_sampled_trace_is_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens there: what is sampled is for this test alone.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1000")
    running = start(trace_url="https://jaeger.example/trace/{trace_id}?x={trace_id}")
    try:
        for trace_id, flag in (("a" * 32, "01"), ("b" * 32, "00")):
            sent = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-{flag}"}
            running.post("/predict", PAIR, headers=sent)
            trace = requests.get(f"{running.predictions}/traces/{trace_id}", timeout=60).json()
            linked = f"https://jaeger.example/trace/{trace_id}?x={trace_id}"
            assert trace.get("url") == (linked if flag == "01" else None)
    finally:
        running.service.stop()
