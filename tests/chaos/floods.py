"""What clients do to a service: too much, too slowly, not to the end, or nonsense.

Each is a context manager whose block is the time that it lasts.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.chaos.faults import PAIR
from tests.chaos.stage import Stage
from tools.compose import REPOSITORY

CAPACITY = 50.0
"""Pairs a second that an instance on the stage can score, roughly."""


@contextmanager
def overload(stage: Stage, name: str) -> Iterator[None]:
    """Ten times what it can do, whether it answers or not."""
    load = subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.load"),
            *("--url", f"http://{stage.address(name)}/predict", "--seconds", "600"),
            *("--rate", str(10 * CAPACITY), "--concurrency", "300"),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        load.kill()
        load.wait(10)


@contextmanager
def _repeated(act: Callable[[], None], rate: float) -> Iterator[None]:
    """`act` again and again in the background, `rate` times a second."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(1 / rate):
            with suppress(OSError, http.client.HTTPException):
                act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _connect(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=5)


@contextmanager
def slow_loris(stage: Stage, name: str) -> Iterator[None]:
    """1,100 requests that come in letter by letter, each begun again when it is ended."""
    address = stage.address(name)
    clients: list[socket.socket] = []

    def trickle() -> None:
        clients.extend(_connect(address) for _ in range(min(200, 1100 - len(clients))))
        for number, client in enumerate(clients):
            try:
                client.sendall(b"x")
            except OSError:
                client.close()
                clients[number] = _connect(address)
                clients[number].sendall(b"POST /predict HTTP/1.1\r\nX: ")

    with _repeated(trickle, rate=2):
        yield
    for client in clients:
        client.close()


@contextmanager
def idle_connections(stage: Stage, name: str) -> Iterator[None]:
    """2,000 connections on which nothing comes."""
    with ExitStack() as connections:
        for _ in range(2000):
            connections.enter_context(_connect(stage.address(name)))
        yield


@contextmanager
def hang_ups(stage: Stage, name: str) -> Iterator[None]:
    """Clients that send a request and go away."""
    body = json.dumps(PAIR).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )

    def ask_and_leave() -> None:
        with _connect(stage.address(name)) as client:
            client.sendall(request)

    with _repeated(ask_and_leave, rate=15):
        yield


@contextmanager
def malformed(stage: Stage, name: str) -> Iterator[None]:
    """A flood of bodies that cannot be read."""

    def flood() -> None:
        connection = http.client.HTTPConnection(stage.address(name), timeout=5)
        for body in ("", "{", "[]", '{"address1": 7}', "\x00" * 100, '{"pairs": []}'):
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert 400 <= answer.status < 500
        connection.close()

    with _repeated(flood, rate=10):
        yield
