"""What clients can make the server hold: requests, connections, time. And clients that are gone."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from service.http.request_context import HEADER
from tests.conftest import eventually
from tests.http.held import PAIR, Held, problem
from tests.waiting import Stopwatch

BODY = json.dumps(PAIR)
JSON = {"Content-Type": "application/json"}
RAW = (
    "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    made = Held(http_threads=2, max_waiting_requests=2, max_connections=20, receive_timeout=3.0)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def idle(held: Held) -> Iterator[None]:
    yield
    held.gate.set()
    eventually(lambda: held.metrics().value("mgeo_requests_inprogress") == 0)


def _connect(held: Held) -> socket.socket:
    address = urlsplit(held.running.predictions)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def _http(held: Held) -> HTTPConnection:
    return HTTPConnection(urlsplit(held.running.predictions).netloc, timeout=60)


def _predict(connection: HTTPConnection) -> int:
    connection.request("POST", "/predict", BODY, JSON)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_request_that_finds_no_thread_and_no_place_to_wait_is_refused_at_once(held: Held) -> None:
    held.busy()
    second = held.send()
    held.waiting(1)  # both threads wait for the model now
    third, fourth = held.send(), held.send()
    listener = held.service.predictions
    eventually(lambda: listener.waiting() == 2)
    assert held.metrics().value("mgeo_requests_waiting") == 2
    with closing(_http(held)) as connection:
        connection.request("POST", "/predict", BODY, JSON)
        refused = connection.getresponse()
        assert json.load(refused)["type"] == "urn:mgeo:problem:too-busy"
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) >= 1
        held.gate.set()
        assert [future.result().status_code for future in (second, third, fourth)] == [200] * 3
        # The connection is as good as before.
        assert _predict(connection) == 200
    assert held.metrics().value("mgeo_request_problem_total", problem="too-busy") == 1
    refusals = {"endpoint": "/predict", "method": "POST", "status": "429"}
    assert held.metrics().value("mgeo_request_total", **refusals) == 1


def test_a_refused_head_has_no_body_that_the_next_answer_would_begin_with(held: Held) -> None:
    held.busy()
    held.send()
    held.waiting(1)
    waiting = [held.send(), held.send()]
    eventually(lambda: held.service.predictions.waiting() == 2)
    with _connect(held) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = client.recv(65536)
        held.gate.set()
        assert all(future.result().ok for future in waiting)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while part := client.recv(65536):
            received += part
    refusal, _, following = received.partition(b"\r\n\r\n")
    assert refusal.startswith(b"HTTP/1.1 429 ")
    assert following.startswith(b"HTTP/1.1 200 ")


def test_a_request_that_could_not_wait_for_a_thread_is_refused_at_once(held: Held) -> None:
    held.busy()
    held.send()
    held.waiting(1)
    queue = held.running.queue
    # Learnt by nobody but this test: a batch takes 20 seconds.
    for _ in range(30):
        queue.computed(tokens=20, seconds=20)
    try:
        with Stopwatch() as watch:
            refused = held.send(**{HEADER: "15000"}).result()
        assert problem(refused, 429, "too-late").startswith("an answer would take about")
        assert watch.seconds < 10
        assert "Connection" not in refused.headers
    finally:
        for _ in range(200):
            queue.computed(tokens=20, seconds=0.001)


def test_the_wait_for_a_thread_is_part_of_the_request(held: Held) -> None:
    held.busy()
    held.send()
    held.waiting(1)
    third = held.send()
    eventually(lambda: held.service.predictions.waiting() == 1)
    time.sleep(0.3)
    held.gate.set()
    [admit] = [
        part for part in third.result().headers["Server-Timing"].split(", ") if "admit" in part
    ]
    assert float(admit.split("dur=")[1]) >= 300


def test_work_of_a_client_that_hung_up_is_never_computed(held: Held) -> None:
    gone = {"endpoint": "/predict", "status": "499"}
    held.busy()
    before = len(held.computed)
    with _connect(held) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY.encode())
        )
        held.waiting(1)
    # Its thread is free at once, not when its turn comes.
    eventually(lambda: held.metrics().total("mgeo_request_total", **gone) == 1)
    assert held.metrics().value("mgeo_requests_inprogress") == 1
    held.gate.set()
    assert held.send().result().ok
    assert len(held.computed) == before + 1
    assert held.metrics().value("mgeo_queue_dropped_total") >= 1


def test_a_client_that_hangs_up_while_it_waits_for_a_thread_is_counted(held: Held) -> None:
    gone = {"endpoint": "/predict", "method": "POST", "status": "499"}

    def counted() -> tuple[float, float]:
        metrics = held.metrics()
        return (
            metrics.total("mgeo_request_total", **gone),
            metrics.total("mgeo_request_problem_total", problem="client-gone"),
        )

    requests, problems = counted()
    held.busy()
    held.send()
    held.waiting(1)
    with _connect(held) as client:
        client.sendall(RAW)
        eventually(lambda: held.service.predictions.waiting() == 1)
        gone_from = client.getsockname()
    channels = held.service.predictions._server.active_channels
    eventually(lambda: gone_from not in [channel.addr for channel in list(channels.values())])
    held.gate.set()
    eventually(lambda: held.service.predictions.waiting() == 0)
    eventually(lambda: counted() == (requests + 1, problems + 1))


def test_a_request_that_trickles_in_is_ended(held: Held) -> None:
    with _connect(held) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
        answer = b""
        while part := client.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:mgeo:problem:too-slow" in answer
    assert b"Connection: close" in answer
    assert held.metrics().value("mgeo_connection_closed_total", reason="slow") >= 1


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nX-Slow: "])
def test_connections_that_say_nothing_crowd_nobody_out(held: Held, said: bytes) -> None:
    with ExitStack() as connections:
        for _ in range(40):
            client = connections.enter_context(_connect(held))
            client.sendall(said)
        eventually(lambda: held.service.predictions.connections() >= 19)
        assert held.send().result().ok


@pytest.mark.parametrize("step", [86_400, -86_400])
def test_a_step_of_the_wall_clock_closes_no_connection(
    held: Held, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    wall = time.time
    with closing(_http(held)) as connection:
        assert _predict(connection) == 200
        sock = connection.sock
        monkeypatch.setattr(time, "time", lambda: wall() + step)
        time.sleep(1.2)  # the server looks for silent connections once a second
        assert _predict(connection) == 200
        assert connection.sock is sock


def test_a_bad_request_is_answered_while_all_threads_are_busy(held: Held) -> None:
    held.busy()
    held.send()
    held.waiting(1)
    with _connect(held) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert b" 400 " in client.recv(65536)


def test_an_answer_is_one_packet(held: Held) -> None:
    with _connect(held) as client:
        client.sendall(b"GET /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        while client.recv(65536):
            pass
        # `tcpi_data_segs_in` of Linux's `struct tcp_info`: segments that held data.
        [segments] = struct.unpack_from(
            "=I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152
        )
        assert segments == 1


def test_a_refusal_behind_another_request_keeps_its_place(held: Held) -> None:
    held.busy()
    with _connect(held) as client:
        client.sendall(RAW)
        held.waiting(1)
        client.sendall(b"nonsense\r\n\r\n")
        held.gate.set()
        received = b""
        while part := client.recv(65536):
            received += part
    assert re.findall(rb"HTTP/1\.[01] (\d+) ", received) == [b"200", b"400"]


def test_requests_sent_at_once_are_refused_one_after_the_other(held: Held) -> None:
    held.busy()
    held.send()
    held.waiting(1)
    admission = held.running.queue._admission
    admission.max_pairs = 1
    try:
        with _connect(held) as client:
            client.sendall(RAW * 3)
            received = b""
            while received.count(b"queue-full") < 3:
                received += client.recv(65536)
    finally:
        admission.max_pairs = 1000
    assert received.count(b"HTTP/1.1 429 ") == 3
