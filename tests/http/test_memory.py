"""What clients send and are sent stays in memory: no file holds it, however large it is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import eventually
from tests.http.held import PAIR, Held

LARGE = 1_200_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    made = Held(max_body_bytes=2 * LARGE, max_address_chars=100_000)
    yield made
    made.stop()


@pytest.fixture
def before(held: Held) -> set[str]:
    return _files()


def _files() -> set[str]:
    """Open files of this process, with which the service runs, that have no name."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(descriptor))
        except FileNotFoundError:  # the one that lists them
            continue
    return {name for name in found if name.endswith(" (deleted)")}


def _body() -> bytes:
    return json.dumps(PAIR).encode().ljust(LARGE)


def _chunked() -> bytes:
    body = _body()
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("header", "sent"),
    [(b"Content-Length: %d" % LARGE, _body()), (b"Transfer-Encoding: chunked", _chunked())],
    ids=["whole", "chunked"],
)
def test_a_large_body_is_in_no_file(
    held: Held, before: set[str], header: bytes, sent: bytes
) -> None:
    held.busy()
    address = urlsplit(held.running.predictions)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\n%s\r\n\r\n%s" % (header, sent[:-1])
        )
        eventually(lambda: _received(held) >= LARGE - 1)
        assert _files() == before
        client.sendall(sent[-1:])
        held.waiting(1)
        assert _files() == before
        held.gate.set()
        assert b" 200 " in client.recv(65536)


def _received(held: Held) -> int:
    """Bytes of a body of which more is to come."""
    channels = held.service.predictions._server.active_channels.values()
    arriving = [request for channel in channels if (request := channel.request)]
    return max((request.body_bytes_received for request in arriving), default=0)


def test_a_large_answer_is_in_no_file(held: Held, before: set[str]) -> None:
    held.gate.set()
    asked = {"query": "甲", "texts": ["路" * 99_999] * 4, "return_text": True}
    with closing(HTTPConnection(urlsplit(held.running.predictions).netloc, timeout=30)) as client:
        client.request("POST", "/rerank", json.dumps(asked, ensure_ascii=False).encode(), JSON)
        answer = client.getresponse()
        assert len(answer.read()) > LARGE - 1000
        # waitress closes the file with the connection, or with the next answer on it.
        assert _files() == before
