"""A client that hangs up before its answer has left: counted as such, whatever the answer was."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.http import infer, problems, rerank, schemas
from tests.conftest import eventually
from tests.http.held import PAIR, Held

BATCH = {"pairs": [PAIR] * 3}
RERANK = {"query": PAIR["address1"], "texts": [PAIR["address2"]]}
INFER = {
    "inputs": [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [PAIR[name]]}
        for name in ("address1", "address2")
    ]
}


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    made = Held(max_batch_pairs=2000)
    yield made
    made.stop()


def request(path: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def connect(held: Held, *, receive_buffer: int = 0) -> socket.socket:
    address = urlsplit(held.running.predictions)
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(10)
    client.connect((address.hostname, address.port))
    return client


def reset(client: socket.socket) -> None:
    """Close it so that the other end learns at once that nothing will be read."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def counted(held: Held) -> Callable[[], Counter[str]]:
    """What has been counted since, by status; problems as `gone`."""

    def now() -> Counter[str]:
        metrics = held.metrics()
        found: Counter[str] = Counter()
        for sample in metrics.samples:
            if sample.name == "mgeo_request_total":
                found[sample.labels["status"]] += int(sample.value)
        found["gone"] = int(metrics.total("mgeo_request_problem_total", problem="client-gone"))
        return found

    before = now()
    return lambda: now() - before


@pytest.mark.parametrize(
    ("path", "body", "where", "name"),
    [
        ("/predict", PAIR, schemas, "prediction"),
        ("/predict/batch", BATCH, schemas, "result"),
        ("/rerank", RERANK, rerank, "_rank"),
        ("/v2/models/tiny/infer", INFER, infer, "answer"),
        ("/predict", {"address1": PAIR["address1"]}, problems, "document"),
    ],
)
def test_one_that_hangs_up_while_its_answer_is_written_is_not_counted_as_served(
    held: Held, monkeypatch: pytest.MonkeyPatch, path: str, body: Any, where: Any, name: str
) -> None:
    begun, gone = threading.Event(), threading.Event()
    original = getattr(where, name)

    def slow(*arguments: Any, **named: Any) -> Any:
        begun.set()
        assert gone.wait(60)
        return original(*arguments, **named)

    monkeypatch.setattr(where, name, slow)
    since = counted(held)
    client = connect(held)
    client.sendall(request(path.replace("tiny", held.running.engine.model.protocol_name), body))
    assert begun.wait(60)
    reset(client)
    eventually(lambda: held.service.predictions.connections() == 0)
    gone.set()
    eventually(lambda: since() == {"499": 1, "gone": 1})
    assert held.metrics().value("mgeo_requests_inprogress") == 0


def large(held: Held, pairs: int = 2000) -> bytes:
    """A request whose answer fits into no buffer of the system: nothing of it needs the model."""
    listening = held.service.predictions._server.socket
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return request("/predict/batch", {"pairs": [{"address1": "N/A", "address2": "-"}] * pairs})


def test_one_that_hangs_up_in_the_middle_of_its_answer_is_not_counted_as_served(held: Held) -> None:
    since = counted(held)
    sent = large(held)
    client = connect(held, receive_buffer=4096)
    client.sendall(sent)
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert since() == {}  # not yet: most of it is still to be sent
    # The thread that began it counts until it has turned to something else.
    eventually(lambda: held.service.predictions._server.unanswered() == 1)
    reset(client)
    eventually(lambda: since() == {"499": 1, "gone": 1})
    assert held.metrics().value("mgeo_requests_inprogress") == 0


def test_one_that_reads_slowly_is_counted_once_it_has_all(held: Held) -> None:
    since = counted(held)
    sent = large(held)
    client = connect(held, receive_buffer=4096)
    client.sendall(sent.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    received = client.recv(100)
    assert since() == {}
    while part := client.recv(65536):
        received += part
    client.close()
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    eventually(lambda: since() == {"200": 1})


def test_answers_on_one_connection_are_counted_each(held: Held) -> None:
    """The second is gone with the connection; the first was sent as a whole."""
    since = counted(held)
    client = connect(held, receive_buffer=4096)
    client.sendall(request("/predict", PAIR))
    assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    client.sendall(large(held))
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    reset(client)
    eventually(lambda: since() == {"200": 1, "499": 1, "gone": 1})


def test_what_the_loop_itself_refuses_is_counted_by_its_own_status(held: Held) -> None:
    since = counted(held)
    with connect(held) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
    eventually(lambda: since() == {"400": 1})


def test_a_client_that_closes_after_its_answer_was_served(held: Held) -> None:
    since = counted(held)
    for _ in range(50):
        client = connect(held)
        client.sendall(request("/predict", PAIR))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        reset(client)
    eventually(lambda: since() == {"200": 50})
