"""SIGTERM under load: every request is answered once, or was never taken.

`DRAIN_ROUNDS` says how often that is tried; the closing measurement is made with 20.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import threading
import time

import pytest

from tests.conftest import eventually
from tests.serving import Service
from tests.telemetry.collector import Collector
from tests.waiting import Stopwatch

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("DRAIN_ROUNDS", "2"))


class Client(threading.Thread):
    """Sends request after request until the service takes no more connections.

    Each is for another number of pairs than the one before, so that an answer to another request
    would be seen.

    Attributes:
        answered: Requests answered with 200.
        lost: What happened to requests that were sent and not answered.
    """

    def __init__(self, service: Service, number: int, *, keep_alive: bool) -> None:
        super().__init__(daemon=True)
        self._address, self._keep_alive = service.predictions, keep_alive
        self._number = number
        self.answered = 0
        self.lost: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        headers = {"Content-Type": "application/json"}
        for request in itertools.count():
            pairs = [
                {"address1": f"紫萱路{self._number}号{request}室", "address2": f"紫萱路{part}号"}
                for part in range(1 + request % 5)
            ]
            try:
                connection.connect() if connection.sock is None else None
            except ConnectionRefusedError:
                return  # it was not taken: another instance gets it
            except OSError as error:
                self.lost.append(f"connect: {error!r}")
                return
            try:
                body = json.dumps({"pairs": pairs})
                connection.request("POST", "/predict/batch", body, headers)
                answer = connection.getresponse()
                results = json.loads(answer.read()).get("results", [])
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return
            if answer.status == 200 and len(results) == len(pairs):
                self.answered += 1
            else:
                self.lost.append(str(answer.status))
            if not self._keep_alive:
                connection.close()
                time.sleep(0.02)  # as a new client comes, not as fast as one can


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_no_request_is_lost_or_answered_twice(round_: int) -> None:
    with (
        Collector() as collector,
        Service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service,
    ):
        clients = [Client(service, n, keep_alive=(n + round_) % 2 == 0) for n in range(8)]
        for client in clients:
            client.start()
        time.sleep(1)
        eventually(lambda: sum(client.answered for client in clients) > 20)
        with Stopwatch() as watch:
            assert service.terminate() == 0
        for client in clients:
            client.join(60)
    assert [client.lost for client in clients] == [[]] * 8
    assert watch.seconds < 10
    # What the service has counted, by its last export: as many as the clients have seen.
    points = collector.metrics["mgeo.request"].points
    assert sum(p.value for p in points) == sum(client.answered for client in clients)


def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    with Service() as service:
        connection = http.client.HTTPConnection(*service.predictions, timeout=60)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        with Stopwatch() as watch:
            assert service.terminate() == 0
        assert watch.seconds < 6
        connection.close()


def test_a_delay_goes_on_accepting_while_unready() -> None:
    with Service("--shutdown-delay", "300") as service:
        service.send(signal.SIGTERM)
        service.wait_until(lambda: service.get(service.operations, "/readyz")[0] == 503, "draining")
        assert service.get(service.predictions, "/healthz")[0] == 200


def test_after_the_delay_it_ends() -> None:
    with Service("--shutdown-delay", "1") as service:
        assert service.terminate() == 0
