"""SIGTERM under load: every request is answered, or was never taken."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

import pytest

from tests.serving import Service

pytestmark = pytest.mark.slow

BODY = json.dumps({"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"})


class Client(threading.Thread):
    """Sends request after request until the service takes no more connections.

    Attributes:
        answered: Requests answered with 200.
        lost: What happened to requests that were sent and not answered.
    """

    def __init__(self, service: Service, *, keep_alive: bool) -> None:
        super().__init__(daemon=True)
        self._address, self._keep_alive = service.predictions, keep_alive
        self.answered = 0
        self.lost: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=20)
        headers = {"Content-Type": "application/json"}
        while True:
            try:
                connection.connect() if connection.sock is None else None
            except ConnectionRefusedError:
                return  # it was not taken: another instance gets it
            except OSError as error:
                self.lost.append(f"connect: {error!r}")
                return
            try:
                connection.request("POST", "/predict", BODY, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return
            if answer.status == 200:
                self.answered += 1
            else:
                self.lost.append(str(answer.status))
            if not self._keep_alive:
                connection.close()
                time.sleep(0.02)  # as a new client comes, not as fast as one can


@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_is_lost(keep_alive: bool) -> None:
    with Service() as service:
        clients = [Client(service, keep_alive=keep_alive) for _ in range(8)]
        for client in clients:
            client.start()
        time.sleep(1)
        began = time.monotonic()
        assert service.terminate() == 0
        seconds = time.monotonic() - began
        for client in clients:
            client.join(20)
    assert [client.lost for client in clients] == [[]] * 8
    assert sum(client.answered for client in clients) > 50
    assert seconds < 10


def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    with Service() as service:
        connection = http.client.HTTPConnection(*service.predictions, timeout=20)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        began = time.monotonic()
        assert service.terminate() == 0
        assert time.monotonic() - began < 6
        connection.close()


def test_a_delay_goes_on_accepting_while_unready() -> None:
    with Service("--shutdown-delay", "2") as service:
        ending: list[Any] = []
        end = threading.Thread(target=lambda: ending.append(service.terminate()))
        end.start()
        service.wait_until(lambda: service.get(service.operations, "/readyz")[0] == 503, "draining")
        assert service.get(service.predictions, "/healthz")[0] == 200
        end.join(20)
    assert ending == [0]
