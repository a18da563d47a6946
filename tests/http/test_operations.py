"""The operations listener answers whatever the prediction listener is doing."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.conftest import eventually, start

PAIR = {"address1": "紫萱路363号", "address2": "紫萱路363号市人社局"}


def test_it_answers_when_every_prediction_thread_is_busy() -> None:
    running = start(http_threads=2)
    backend = running.engine.model.backend
    release, predict = threading.Event(), backend.predict

    def hang(pairs: Any, stream: Any) -> Any:
        assert release.wait(20)
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
        assert release.wait(20)
        return predict(pairs)

    backend.predict = loop_without_end
    try:
        assert running.get("/livez").json() == {"status": "ready"}
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(running.post, "/predict", PAIR)
            eventually(lambda: running.get("/livez").status_code == 503)
            assert running.get("/livez").json() == {"status": "stuck"}
            assert (
                requests.get(running.predictions + "/v2/health/live", timeout=9).status_code == 503
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
