"""The load generator against a server that answers as it is told."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load import Generator, Workload

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Peer:
    """Answers each connection on a thread of its own.

    Attributes:
        requests: Received so far.
        most: Requests under way at the same time, at most.
    """

    def __init__(self, answer: Callable[[int, socket.socket], bool]) -> None:
        self._answer, self._lock = answer, threading.Lock()
        self.requests = self.most = self._under_way = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                with self._lock:
                    number = self.requests
                    self.requests += 1
                    self._under_way += 1
                    self.most = max(self.most, self._under_way)
                stays = self._answer(number, connection)
                with self._lock:
                    self._under_way -= 1
                if not stays:
                    return


@contextmanager
def peer(answer: Callable[[int, socket.socket], bool]) -> Iterator[Peer]:
    one = Peer(answer)
    try:
        yield one
    finally:
        one.close()


def job(one: Peer, **changes: object) -> Workload:
    plain = Workload(
        port=one.port, path="/predict", kind="single", pairs_per_request=1, first=0,
        concurrency=1, rate=None, ramp=0.0, seconds=0.3, drain=60.0,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def send(connection: socket.socket, answer: bytes, after: float = 0.0) -> bool:
    time.sleep(after)
    connection.sendall(answer)
    return True


def test_a_closed_loop_keeps_as_many_requests_under_way_as_it_says() -> None:
    with peer(lambda number, connection: send(connection, OK, 0.03)) as one:
        result = Generator(job(one, concurrency=4)).run()
    assert one.most == 4
    assert result.statuses == {"200": one.requests} == {"200": result.sent}
    assert min(result.latencies) >= 0.03
    assert result.unanswered == 0


def test_an_open_loop_charges_a_stall_to_all_who_were_due_meanwhile() -> None:
    """At 20 a second a stall of .5 s delays those due in it, by less the later they were due."""
    gate = threading.Event()

    def answer(number: int, connection: socket.socket) -> bool:
        if number == 0:
            time.sleep(0.5)
            gate.set()
        gate.wait(60)
        return send(connection, OK)

    with peer(answer) as one:
        result = Generator(job(one, rate=20.0, seconds=1.0)).run()
    assert result.sent == 20
    waited = sorted(result.latencies, reverse=True)[:8]
    for number, latency in enumerate(waited):
        assert latency >= 0.5 - number / 20 - 0.01


def test_an_answer_in_pieces_counts_once() -> None:
    def answer(number: int, connection: socket.socket) -> bool:
        for piece in (OK[:20], OK[20:-1], OK[-1:]):
            send(connection, piece, 0.005)
        return True

    with peer(answer) as one:
        result = Generator(job(one)).run()
    assert result.statuses == {"200": result.sent}


def test_a_connection_that_the_server_ends_is_replaced() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    def answer(number: int, connection: socket.socket) -> bool:
        send(connection, closing, 0.01)
        return False

    with peer(answer) as one:
        result = Generator(job(one, seconds=1.0)).run()
    assert result.sent > 3
    assert result.statuses == {"200": result.sent}


def test_refusals_and_broken_connections_are_no_latencies() -> None:
    def answer(number: int, connection: socket.socket) -> bool:
        time.sleep(0.01)
        if number % 3 == 0:
            return send(connection, OK.replace(b"200 OK", b"429 No"))
        return send(connection, OK) if number % 3 == 1 else False

    with peer(answer) as one:
        result = Generator(job(one, seconds=1.0)).run()
    assert set(result.statuses) == {"200", "429", "0"}
    assert len(result.latencies) == result.statuses["200"]


def test_what_is_not_answered_in_time_is_counted() -> None:
    gate = threading.Event()

    def answer(number: int, connection: socket.socket) -> bool:
        gate.wait(60)
        return False

    with peer(answer) as one:
        result = Generator(job(one, rate=10.0, drain=0.1)).run()
        gate.set()
    assert (result.sent, result.unanswered, result.latencies) == (3, 3, [])


@pytest.mark.parametrize("concurrency", [1, 8])
def test_nothing_counts_before_every_client_had_an_answer(concurrency: int) -> None:
    with peer(lambda number, connection: send(connection, OK, 0.2)) as one:
        result = Generator(job(one, concurrency=concurrency, seconds=0.1)).run()
    assert result.statuses["200"] - result.completed >= concurrency
    assert result.completed >= 1
    assert result.counted >= 0.1
