"""What each signal does to `serve`: only those that are meant to end it do, and none undrained."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.conftest import TINY, eventually
from tests.models import declare
from tests.serving import Process, Service
from tests.waiting import RunningClock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ENDLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)


def _answers(service: Service) -> bool:
    connection = HTTPConnection(*service.predictions, timeout=60)
    try:
        body = json.dumps({"address1": "紫萱路1号", "address2": "紫萱路2号"})
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    finally:
        connection.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as started:
        yield started


@pytest.mark.parametrize("number", ENDLESS)
def test_it_serves_on(service: Service, number: signal.Signals) -> None:
    for _ in range(3):
        service.send(number)
    time.sleep(0.3)
    assert _answers(service)


def test_it_starts_on() -> None:
    """At any moment from the first line of its own on, and while the model loads."""
    with Process() as process:
        process.wait_until(lambda: all(map(process.handles, ENDLESS)), "handlers")
        sent = itertools.cycle(ENDLESS)
        clock = RunningClock()
        while not any(line.get("to") == "ready" for line in process.log()):
            assert clock.seconds() < 200, process.lines
            process.send(next(sent))
            time.sleep(0.1)
        assert process.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_it_ends_drained(number: signal.Signals) -> None:
    with Service() as service:
        answered: list[bool] = []
        sent = threading.Event()

        def ask() -> None:
            connection = HTTPConnection(*service.predictions, timeout=60)
            pairs = [{"address1": f"紫萱路{n}号", "address2": f"{n}号楼"} for n in range(256)]
            connection.request(
                "POST", "/predict/batch", json.dumps({"pairs": pairs}),
                {"Content-Type": "application/json"},
            )  # fmt: skip
            sent.set()
            answered.append(connection.getresponse().status == 200)
            connection.close()

        asking = threading.Thread(target=ask)
        asking.start()
        assert sent.wait(60)
        time.sleep(0.05)
        service.send(number)
        service.send(signal.SIGHUP)  # a terminal that closes sends both
        assert service.wait() == 0
        asking.join(60)
    assert answered == [True]
    assert [line["to"] for line in service.log() if line["message"] == "state"] == [
        "ready", "draining", "stopped",
    ]  # fmt: skip


def test_hangup_reads_the_file_of_models_again(tmp_path: Path) -> None:
    file = declare(tmp_path / "models.json", {"name": "one", "source": str(TINY), "weight": 1})
    with Service("--model", "bundled", MGEO_MODELS_FILE=str(file)) as service:
        declare(file, {"name": "two", "source": str(TINY), "weight": 1})
        service.send(signal.SIGHUP)
        eventually(lambda: b'"two"' in service.get(service.operations, "/models")[1], 30)
        file.write_text("no JSON")
        service.send(signal.SIGHUP)
        eventually(lambda: [e for e in service.log() if e["message"].startswith("SIGHUP")], 30)
        assert b'"two"' in service.get(service.operations, "/models")[1]
        assert _answers(service)
        assert service.terminate() == 0


def test_under_nohup_it_serves_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it to its command
    try:
        with Service() as service:
            service.send(signal.SIGHUP)
            time.sleep(0.3)
            assert _answers(service)
            assert service.terminate() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
