"""A listener's own end: what it waits for, what it lets go of, and that nobody overlooks its death.

Its application is made for the test, so that an answer can be held back, or be a large one.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, request

from service.connections import Bounds
from service.lifecycle import State
from service.server import Listener
from tests.conftest import eventually, start

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
            bounds=Bounds(
                threads=2, waiting=10, connections=100, body_bytes=1 << 20, receive_seconds=4
            ),
            failed=self.failures.append,
        )
        self.server: Any = self.listener._server
        self.listener.start()

    def _hold(self) -> str:
        self.entered.set()
        assert self.gate.wait(30)
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
        assert service.lifecycle.wait_while(State.READY, timeout=5) is State.FAILED
        assert str(service.lifecycle.error) == "a defect of the loop"
    finally:
        began = time.monotonic()
        service.stop()
        service.versions.stop(5)
    assert time.monotonic() - began < 15
