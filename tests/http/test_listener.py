"""A listener's own end: what it waits for, what it lets go of, and that nobody overlooks its death.

Its application is made for the test, so that an answer can be held back, or be a large one.
"""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, request

from service.lifecycle import State
from service.transport.listener import Listener
from service.transport.server import ServerLimits
from tests.conftest import eventually, start
from tests.waiting import Stopwatch

LARGE = 8 << 20


class Listening:
    """A listener whose `/held` answers once it is let go.

    Attributes:
        failures: What it has told of.
    """

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.failures: list[BaseException] = []
        app = Flask("test")
        app.add_url_rule("/held", "held", self._hold)
        app.add_url_rule("/large", "large", lambda: b"x" * LARGE)
        app.add_url_rule("/length", "length", lambda: str(len(request.data)), methods=["POST"])
        self.listener = Listener(
            app,
            name="test",
            host="127.0.0.1",
            port=0,
            limits=ServerLimits(
                threads=2, waiting=10, connections=100, body_bytes=1 << 20, receive_seconds=60
            ),
            failed=self.failures.append,
        )
        self.server: Any = self.listener._server
        self.listener.start()

    def _hold(self) -> str:
        self.entered.set()
        assert self.gate.wait(60)
        return "let go"

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        host, port = self.listener.address.split(":")
        client = socket.socket()
        client.settimeout(10)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect((host, int(port)))
        return client

    def ask(self, path: str, **how: int) -> socket.socket:
        client = self.connect(**how)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client


@pytest.fixture
def listening() -> Iterator[Listening]:
    made = Listening()
    yield made
    made.gate.set()
    made.listener.close()


def _rest(client: socket.socket) -> bytes:
    received = b""
    while part := client.recv(65536):
        received += part
    return received


@pytest.mark.slow
def test_a_drain_waits_for_an_upload_that_has_begun(listening: Listening) -> None:
    def trickle(client: socket.socket) -> None:
        for _ in range(3):
            time.sleep(0.3)
            client.sendall(b"x")

    with listening.connect() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        eventually(lambda: listening.server.unanswered() == 1)
        sending = threading.Thread(target=trickle, args=[client])
        sending.start()
        assert listening.listener.drain(60) == 0
        listening.listener.close()
        sending.join()
        answer = _rest(client)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n3")


def test_a_drain_waits_for_those_whom_only_the_system_has_taken(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, go_on = threading.Event(), threading.Event()
    readable = listening.server.readable

    def stall() -> Any:
        stalled.set()
        assert go_on.wait(60)
        return readable()

    monkeypatch.setattr(listening.server, "readable", stall)
    assert stalled.wait(60)
    with listening.ask("/nothing") as client:
        drain = threading.Thread(target=listening.listener.drain, args=[60])
        drain.start()
        time.sleep(0.8)
        go_on.set()
        drain.join()
        listening.listener.close()
        assert _rest(client).startswith(b"HTTP/1.1 404 ")


@pytest.mark.slow
def test_a_drain_ends_an_upload_that_takes_too_long(listening: Listening) -> None:
    listening.server.limits = replace(listening.server.limits, receive_seconds=4)
    with listening.connect() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
        eventually(lambda: listening.server.unanswered() == 1)
        assert listening.listener.drain(60) == 0
        listening.listener.close()
        assert _rest(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
def test_a_drain_waits_for_an_answer_that_is_not_sent_yet(listening: Listening) -> None:
    with listening.ask("/large", receive_buffer=4096) as client:
        eventually(lambda: [c for c in listening.server.active_channels.values() if c.is_half()])
        left: list[int] = []
        drain = threading.Thread(target=lambda: left.append(listening.listener.drain(60)))
        drain.start()
        time.sleep(2)  # while its client reads nothing
        assert drain.is_alive()
        received = 0
        # It was answered before the drain, and so its connection stays open.
        while received < LARGE:
            received += len(client.recv(1 << 20))
        drain.join(60)
    assert left == [0]


def test_a_drain_does_not_wait_for_a_connection_that_is_idle(listening: Listening) -> None:
    with listening.ask("/nothing") as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 404 ")
        with Stopwatch() as watch:
            assert listening.listener.drain(60) == 0
        assert watch.seconds < 30


def test_an_answer_after_the_close_is_sent_and_wakes_nothing_else(listening: Listening) -> None:
    with ExitStack() as opened:
        client = opened.enter_context(listening.ask("/held"))
        assert listening.entered.wait(60)
        listening.listener.close()
        time.sleep(1.2)  # longer than a turn of the loop
        # They get the numbers of whatever was closed meanwhile.
        files = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(20)]
        listening.gate.set()
        assert _rest(client).endswith(b"let go")
        for file in files:
            assert file.seek(0, 2) == 0


def test_a_close_ends_all_its_threads_and_connections(listening: Listening) -> None:
    host, port = listening.listener.address.split(":")
    with listening.ask("/nothing") as client:
        assert client.recv(65536)
        listening.listener.close()
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=60)
    eventually(lambda: not listening.listener._thread.is_alive())
    server = listening.server
    eventually(lambda: not server.task_dispatcher.threads and not server._refusals.threads)
    assert listening.failures == []


def test_a_listener_that_was_never_started_lets_go_of_its_port() -> None:
    listener = Listener(
        Flask("test"), name="test", host="127.0.0.1", port=0, limits=ServerLimits(1, 1, 1, 1024, 1)
    )
    host, port = listener.address.split(":")
    # A thread counts as at work until it has begun to wait for some.
    eventually(lambda: listener._server.unanswered() == 0)
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=60)


@contextmanager
def _no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the listener has logged; an exporter of an earlier test may still try its Collector."""
    return [
        record.message for record in caplog.records if record.name == "service.transport.server"
    ]


def test_without_descriptors_the_most_silent_make_room_for_those_who_come(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    with listening.ask("/nothing") as silent, socket.socket() as late:
        assert silent.recv(65536)
        time.sleep(1.1)  # nobody is closed who was heard of more recently
        late.settimeout(60)
        host, port = listening.listener.address.split(":")
        with _no_descriptor_left():
            late.connect((host, int(port)))
            late.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert late.recv(65536).startswith(b"HTTP/1.1 404 ")
            assert silent.recv(1) == b""
    assert told(caplog) == ["a connection cannot be accepted"]


@pytest.mark.slow
def test_without_descriptors_the_loop_does_not_spin(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as late:
        late.settimeout(60)
        host, port = listening.listener.address.split(":")
        began = time.monotonic()
        with _no_descriptor_left():
            late.connect((host, int(port)))
            late.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            used = time.process_time()
            time.sleep(2)
            assert time.process_time() - used < 0.5
        lasted = time.monotonic() - began
        assert late.recv(65536).startswith(b"HTTP/1.1 404 "), "accepted once there is one again"
    assert 1 <= len(told(caplog)) <= lasted + 1, "once a second"
    assert set(told(caplog)) == {"a connection cannot be accepted"}


def test_the_death_of_a_loop_is_told(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> bool:
        raise RuntimeError("a defect of the listener, not of a connection")

    monkeypatch.setattr(listening.server, "readable", fails)
    eventually(lambda: [str(error)[:8] for error in listening.failures] == ["a defect"])


def test_a_service_of_which_a_listener_has_died_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    service = start().service

    def fails(_: float) -> None:
        raise RuntimeError("a defect of the loop")

    monkeypatch.setattr(service.predictions._server._open, "turn", fails)
    try:
        assert service.lifecycle.wait_while(State.READY, timeout=60) is State.FAILED
        assert str(service.lifecycle.error) == "a defect of the loop"
    finally:
        with Stopwatch() as watch:
            service.stop()
            service.versions.stop(5)
    assert watch.seconds < 15
