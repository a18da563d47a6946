"""The operations listener answers whatever the prediction listener is doing."""

from __future__ import annotations

import gzip
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.conftest import Running, eventually, start

PAIR = {"address1": "紫萱路363号", "address2": "紫萱路363号市人社局"}


def test_it_answers_when_every_prediction_thread_is_busy() -> None:
    running = start(http_threads=2)
    backend = running.engine.model.backend
    release, predict = threading.Event(), backend.predict

    def hang(pairs: Any, stream: Any) -> Any:
        assert release.wait(60)
        return predict(pairs)

    backend.predict = hang
    try:
        with ThreadPoolExecutor(4) as clients:
            waiting = [clients.submit(running.post, "/predict", PAIR) for _ in range(4)]
            eventually(lambda: "mgeo_requests_inprogress 2.0" in running.get("/metrics").text)
            for path in ("/healthz", "/livez", "/readyz"):
                assert running.get(path).status_code == 200
            metrics = running.get("/metrics").text
            age = [ln for ln in metrics.splitlines() if ln.startswith("mgeo_engine_last_progress")]
            assert float(age[0].split()[1]) > 0
            try:
                requests.get(running.predictions + "/healthz", timeout=0.3)
                busy = False
            except requests.Timeout:
                busy = True
            assert busy
            release.set()
            assert [answer.result().status_code for answer in waiting] == [200] * 4
    finally:
        release.set()
        running.service.stop()


def test_a_stuck_engine_fails_liveness_and_says_where_it_is() -> None:
    running = start(stuck_after=0.3)
    told: list[Any] = []
    handler = logging.Handler()
    handler.emit = told.append  # type: ignore[method-assign]
    logging.getLogger("service.watchdog").addHandler(handler)
    backend = running.engine.model.backend
    release, predict = threading.Event(), backend.predict

    def loop_without_end(pairs: Any, stream: Any) -> Any:
        assert release.wait(60)
        return predict(pairs)

    backend.predict = loop_without_end
    try:
        assert running.get("/livez").json() == {"status": "ready"}
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(running.post, "/predict", PAIR)
            eventually(lambda: running.get("/livez").status_code == 503)
            assert running.get("/livez").json() == {"status": "stuck"}
            assert (
                requests.get(running.predictions + "/v2/health/live", timeout=60).status_code == 503
            )
            [record] = eventually(lambda: list(told))
            assert record.getMessage() == "engine makes no progress"
            [stuck] = [
                s for s in record.stacks if any("loop_without_end" in at for at in s["stack"])
            ]
            assert stuck["threads"] == ["engine"]
            assert PAIR["address1"] not in str(record.stacks)
            assert len(record.stacks) < 20  # the idle threads are in one place together
            release.set()
            assert waiting.result().status_code == 200
        eventually(lambda: running.get("/livez").status_code == 200)
        assert eventually(lambda: told[1:])[0].getMessage() == "engine makes progress again"
    finally:
        logging.getLogger("service.watchdog").removeHandler(handler)
        release.set()
        running.service.stop()


OPENMETRICS = "application/openmetrics-text"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/*", "text/plain; version=0.0.4"),
        (OPENMETRICS, OPENMETRICS),
        (f"{OPENMETRICS};q=0, text/plain", "text/plain"),
        (f"{OPENMETRICS};q=0", "text/plain"),
        (f"{OPENMETRICS};q=0.1, text/plain;q=0.9", "text/plain"),
        (f"text/plain;q=0.1, {OPENMETRICS};version=1.0.0;q=0.9", f"{OPENMETRICS}; version=1.0.0"),
        (f"text/plain, {OPENMETRICS}", OPENMETRICS),
        (f"{OPENMETRICS};q=0.5, */*", "text/plain"),
        (OPENMETRICS.upper(), OPENMETRICS),
        ("image/png", "text/plain"),
        (f"{OPENMETRICS};q=x", ""),
        (f"{OPENMETRICS};version=one", "text/plain"),
        # As Prometheus 3 asks.
        (
            f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,{OPENMETRICS};version=0.0.1;"
            "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;"
            "q=0.3,*/*;q=0.2",
            f"{OPENMETRICS}; version=1.0.0",
        ),
    ],
)
def test_metrics_come_in_the_format_that_is_preferred(
    running: Running, accept: str, kind: str
) -> None:
    answer = running.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.text.endswith("# EOF\n") == (OPENMETRICS in answer.headers["Content-Type"])


@pytest.mark.parametrize(
    ("accept", "is_packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("identity;q=0.1, gzip;q=0.5", True),
        ("identity;q=0, *", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzipped", False),
    ],
)
def test_metrics_are_packed_where_that_is_wanted(
    running: Running, accept: str, is_packed: bool
) -> None:
    with requests.get(
        running.operations + "/metrics",
        headers={"Accept-Encoding": accept},
        stream=True,
        timeout=30,
    ) as answer:
        raw = answer.raw.read(decode_content=False)
    assert (answer.headers.get("Content-Encoding") == "gzip") == is_packed
    text = gzip.decompress(raw) if is_packed else raw
    assert b"mgeo_ready" in text
    assert {name.strip() for name in answer.headers["Vary"].split(",")} >= {"Accept-Encoding"}
    assert int(answer.headers["Content-Length"]) == len(raw)


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_metrics_that_are_named_come_alone(running: Running, accept: str) -> None:
    def names(*asked: str) -> set[str]:
        answer = running.get("/metrics", params={"name[]": asked}, headers={"Accept": accept})
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {line.split("{")[0].split(" ")[0] for line in lines}

    assert names("mgeo_ready") == {"mgeo_ready"}
    assert names("mgeo_ready", "mgeo_connections") == {"mgeo_ready", "mgeo_connections"}
    assert names("mgeo_request_total") == {"mgeo_request_total"}
    histogram = "mgeo_request_duration_seconds"
    running.post("/predict", PAIR)
    assert names(f"{histogram}_count") == {f"{histogram}_count"}
    assert names(histogram) >= {f"{histogram}_{part}" for part in ("bucket", "count", "sum")}
    assert names("no_such_metric") == set()
    assert len(names()) > 20


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/rerank", "/", "/docs"])
def test_a_route_of_the_other_port_is_told_with_its_port(running: Running, path: str) -> None:
    answer = requests.post(running.operations + path, json=PAIR, timeout=60)
    assert answer.status_code == 404
    # The port of this service is the system's choice.
    assert answer.json()["detail"] == (
        "this port has no such route: it is for operations. "
        "Predictions are answered on the port that the log names (MGEO_PORT)"
    )


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/models"])
def test_a_route_of_operations_is_told_with_its_port(running: Running, path: str) -> None:
    answer = requests.get(running.predictions + path, timeout=60)
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith(
        "Metrics and readiness are on the port that the log names (MGEO_METRICS_PORT)"
    )


def test_ports_that_are_set_are_told_by_their_numbers() -> None:
    from types import SimpleNamespace
    from typing import cast

    from service.app import _port
    from service.http import operations

    assert (_port(5000), _port(0)) == ("port 5000", "the port that the log names")
    where = f"Predictions are answered on {_port(5000)} (MGEO_PORT)"
    nothing = cast(Any, SimpleNamespace())
    app = operations.create_app(nothing, nothing, lambda: False, nothing, predictions=where)
    answer = app.test_client().post("/predict", json=PAIR)
    assert answer.json is not None
    assert answer.json["detail"].endswith(
        "it is for operations. Predictions are answered on port 5000 (MGEO_PORT)"
    )
