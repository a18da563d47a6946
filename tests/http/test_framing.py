"""HTTP's own rules: what is framed in two ways, or not at all, is refused, counted, and closed.

Two servers on a request's way that read its end differently let a client hide a request from one
of them. So nothing that another server could read otherwise is answered as if it were clear.
"""

from __future__ import annotations

import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from tests.conftest import Running, eventually, start
from tests.http.held import PAIR

BODY = json.dumps(PAIR).encode()
KIND = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HOST = b"Host: x\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


STAYS_OPEN = 0.5
"""Seconds of silence by which a connection counts as one that the service keeps open."""


class Answer:
    """What came back on one connection.

    Args:
        running: The service.
        sent: What it is sent.
        patience: Seconds without a word by which all has come. Of a connection that the service
            ends it is a bound that no test waits for.

    Attributes:
        statuses: Of each answer, in order.
        closed: Whether the service ended the connection.
        text: All of it.
    """

    def __init__(self, running: Running, sent: bytes, *, patience: float = 60.0) -> None:
        address = urlsplit(running.predictions)
        received, self.closed = b"", False
        with socket.create_connection((address.hostname, address.port), timeout=60) as client:
            client.sendall(sent)
            try:
                while data := client.recv(65536):
                    received += data
                    client.settimeout(patience)
                self.closed = True
            except TimeoutError:
                pass
            except ConnectionResetError:
                self.closed = True
        self.text = received.decode("latin-1")
        self.statuses = [int(one) for one in re.findall(r"HTTP/1\.[01] (\d+)", self.text)]
        self.problems = re.findall(r"urn:mgeo:problem:([a-z-]+)", self.text)


def counted(running: Running, endpoint: str, status: int) -> float:
    """Requests of a route that were answered with a status."""
    page = running.get("/metrics?name[]=mgeo_request_total").text
    labels = f'endpoint="{re.escape(endpoint)}",method="[A-Z_]+",status="{status}"'
    found = re.findall(rf"^mgeo_request_total{{{labels}}} (.*)$", page, re.MULTILINE)
    return sum(map(float, found))


def post(headers: bytes, body: bytes = BODY, version: bytes = b"HTTP/1.1") -> bytes:
    """A request to `/predict`."""
    return b"POST /predict " + version + b"\r\n" + KIND + headers + b"\r\n" + body


AMBIGUOUS = {
    "two hosts": post(HOST + b"Host: y\r\n" + LENGTH),
    "two hosts alike": post(HOST + HOST + LENGTH),
    "no host": post(LENGTH),
    "host with a path": post(b"Host: x/y\r\n" + LENGTH),
    "host with a user": post(b"Host: a@x\r\n" + LENGTH),
    "host with a blank": post(b"Host: x y\r\n" + LENGTH),
    "host not ASCII": post("Host: 路\r\n".encode() + LENGTH),
    "two hosts, HTTP/1.0": post(HOST + b"Host: y\r\n" + LENGTH, version=b"HTTP/1.0"),
    "length and coding": post(HOST + LENGTH + CHUNKED, CHUNKS),
    "coding and length": post(HOST + CHUNKED + LENGTH, CHUNKS),
    "coding and length 0": post(HOST + CHUNKED + b"Content-Length: 0\r\n", CHUNKS),
    "two lengths": post(HOST + LENGTH + b"Content-Length: 5\r\n"),
    "two lengths alike": post(HOST + LENGTH + LENGTH),
    "two lengths in one": post(HOST + b"Content-Length: 5, 5\r\n", b"12345"),
    "length below 0": post(HOST + b"Content-Length: -5\r\n"),
    "length with a plus": post(HOST + b"Content-Length: +5\r\n"),
    "length in hexadecimal": post(HOST + b"Content-Length: 0x5\r\n"),
    "length with an underscore": post(HOST + b"Content-Length: 1_0\r\n"),
    "length empty": post(HOST + b"Content-Length:\r\n"),
    "length of 5000 digits": post(HOST + b"Content-Length: " + b"9" * 5000 + b"\r\n"),
    "coding with a blank before its colon": post(HOST + b"Transfer-Encoding : chunked\r\n", CHUNKS),
    "coding empty": post(HOST + b"Transfer-Encoding:\r\n" + LENGTH),
    "coding of HTTP/1.0": post(HOST + CHUNKED, CHUNKS, version=b"HTTP/1.0"),
    "coding of HTTP/1.0 with a length": post(HOST + CHUNKED + LENGTH, version=b"HTTP/1.0"),
    "chunked twice": post(HOST + b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    "chunked in two headers": post(HOST + CHUNKED + CHUNKED, CHUNKS),
    "coding on a folded line": post(HOST + b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    "a folded header": post(HOST + b"X-A: 1\r\n 2\r\n" + LENGTH),
    "a header folded with a tab": post(HOST + b"X-A: 1\r\n\t2\r\n" + LENGTH),
    "NUL in a header": post(HOST + b"X-A: a\x00b\r\n" + LENGTH),
    "CR in a header": post(HOST + b"X-A: a\rb\r\n" + LENGTH),
    "LF in a header": post(HOST + b"X-A: a\nX-B: b\r\n" + LENGTH),
    "a header without a name": post(HOST + b": a\r\n" + LENGTH),
    "a line without a colon": post(HOST + b"nonsense\r\n" + LENGTH),
    "a blank line first": b"POST /predict HTTP/1.1\r\n Host: x\r\n" + LENGTH + b"\r\n" + BODY,
    "chunk size with a prefix": post(HOST + CHUNKED, b"0x5\r\n12345\r\n0\r\n\r\n"),
    "chunk size below 0": post(HOST + CHUNKED, b"-5\r\n12345\r\n0\r\n\r\n"),
    "chunk size with a plus": post(HOST + CHUNKED, b"+5\r\n12345\r\n0\r\n\r\n"),
    "chunk size with a blank": post(HOST + CHUNKED, b"5 \r\n12345\r\n0\r\n\r\n"),
    "chunk size that is none": post(HOST + CHUNKED, b"five\r\n12345\r\n0\r\n\r\n"),
    "chunk size before a bare LF": post(HOST + CHUNKED, b"5\n\r\n12345\r\n0\r\n\r\n"),
    "chunk extension before a bare LF": post(HOST + CHUNKED, b"5;a\n\r\n12345\r\n0\r\n\r\n"),
    "chunk longer than it says": post(HOST + CHUNKED, b"5\r\n123456\r\n0\r\n\r\n"),
    "a blank line for a chunk": post(HOST + CHUNKED, b"\r\n" + CHUNKS),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_is_framed_ambiguously_is_refused_closed_and_counted(
    running: Running, case: str
) -> None:
    before = counted(running, "/predict", 400)
    # Were it taken for the end of the first, the second would be answered.
    second = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = Answer(running, AMBIGUOUS[case] + second)
    assert answer.statuses == [400], answer.text
    assert answer.problems == ["bad-request"]
    assert answer.closed
    assert "\r\nConnection: close\r\n" in answer.text
    eventually(lambda: counted(running, "/predict", 400) == before + 1)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /healthz", 400),  # HTTP/0.9
        (b"GET /healthz HTTP/0.9", 505),
        (b"GET /healthz HTTP/1.2", 505),
        (b"GET /healthz HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET /healthz HTTP/1.10", 400),
        (b"GET /healthz http/1.1", 400),
        (b"GET  /healthz HTTP/1.1", 400),
        (b"GET\t/healthz HTTP/1.1", 400),
        (b"get /healthz HTTP/1.1", 400),
        (b"GET /healthz\x00 HTTP/1.1", 400),
        (b"GET /heal\tthz HTTP/1.1", 400),
        (b"GET http://[::1/healthz HTTP/1.1", 400),
        (b"GET HTTP/1.1", 400),
    ],
)
def test_a_request_line_that_is_none_is_refused_and_closed(
    running: Running, line: bytes, status: int
) -> None:
    answer = Answer(running, line + b"\r\nHost: x\r\n\r\n")
    assert answer.statuses == [status], answer.text
    assert answer.closed
    assert answer.problems == ["bad-request" if status == 400 else "http-version-not-supported"]


@pytest.mark.parametrize(
    "sent",
    [
        post(HOST + LENGTH),
        post(HOST + CHUNKED, CHUNKS),
        post(HOST + b"transfer-encoding:CHUNKED\r\n", b"0" + CHUNKS),
        post(HOST + b"Transfer-Encoding: \tchunked \r\n", CHUNKS),
        post(HOST + CHUNKED, CHUNKS[: -len(b"0\r\n\r\n")] + b"0\r\nX-Trailer: 1\r\n\r\n"),
        post(HOST + CHUNKED, b"%x;a=b;c\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
        post(b"Host:\r\n" + LENGTH),
        post(b"Host: [::1]:5000\r\n" + LENGTH),
        post(b"Host: mgeo_inference.x-y:5000\r\n" + LENGTH),
        post(LENGTH, version=b"HTTP/1.0"),
        post(HOST + LENGTH).replace(b"/predict ", b"http://other:80/predict "),
    ],
)
def test_what_follows_the_rules_is_answered(running: Running, sent: bytes) -> None:
    closes = b"HTTP/1.0" in sent
    answer = Answer(running, sent) if closes else Answer(running, sent, patience=STAYS_OPEN)
    assert answer.statuses == [200], answer.text
    assert answer.closed == closes


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_chunks_are_read_however_they_arrive(running: Running, size: int) -> None:
    sent = post(HOST + CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n")
    address = urlsplit(running.predictions)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), size):
            client.sendall(sent[at : at + size])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("coding", ["gzip", "identity", "chunked, identity", "gzip, chunked", "x"])
def test_a_coding_that_is_not_known_is_501(running: Running, coding: str) -> None:
    before = counted(running, "/predict", 501)
    answer = Answer(running, post(HOST + f"Transfer-Encoding: {coding}\r\n".encode(), CHUNKS))
    assert (answer.statuses, answer.closed) == ([501], True), answer.text
    assert answer.problems == ["transfer-encoding-not-supported"]
    eventually(lambda: counted(running, "/predict", 501) == before + 1)


@pytest.mark.parametrize("where", ["one header", "many headers"])
def test_a_large_head_is_431_and_counted_under_its_route(running: Running, where: str) -> None:
    before, other = counted(running, "/predict", 431), counted(running, "/", 431)
    large = b"X-A: " + b"a" * 300_000 if where == "one header" else b"X-A: 1\r\n" * 40_000 + b"X: 1"
    answer = Answer(running, post(HOST + LENGTH + large + b"\r\n", b""))
    assert (answer.statuses, answer.closed) == ([431], True), answer.text
    assert answer.problems == ["head-too-large"]
    eventually(lambda: counted(running, "/predict", 431) == before + 1)
    assert counted(running, "/", 431) == other


def test_a_large_target_is_414(running: Running) -> None:
    before = counted(running, "/predict", 414)
    answer = Answer(running, b"GET /predict?" + b"a" * 300_000)
    assert (answer.statuses, answer.closed) == ([414], True), answer.text
    assert answer.problems == ["target-too-long"]
    eventually(lambda: counted(running, "/predict", 414) == before + 1)


EXPECT = b"Expect: 100-continue\r\n"


def test_an_upload_over_the_limit_is_refused_before_it_is_sent(running: Running) -> None:
    before = counted(running, "/predict", 413)
    answer = Answer(running, post(HOST + EXPECT + b"Content-Length: 99999999\r\n", b""))
    assert (answer.statuses, answer.closed) == ([413], True), answer.text
    eventually(lambda: counted(running, "/predict", 413) == before + 1)


@pytest.mark.parametrize("headers", [HOST + HOST, b"", HOST + CHUNKED, HOST + b"X-A: 1\r\n 2\r\n"])
def test_what_is_refused_for_its_head_is_not_asked_to_send_its_body(
    running: Running, headers: bytes
) -> None:
    answer = Answer(running, post(headers + EXPECT + LENGTH, b""))
    assert (answer.statuses, answer.closed) == ([400], True), answer.text


def test_an_upload_that_is_expected_is_asked_for(running: Running) -> None:
    address = urlsplit(running.predictions)
    for _ in range(2):
        with socket.create_connection((address.hostname, address.port), timeout=60) as client:
            client.sendall(post(HOST + EXPECT + LENGTH, b""))
            assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(BODY)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_upload_of_nothing_is_not_waited_for(running: Running) -> None:
    sent = b"GET /healthz HTTP/1.1\r\n" + HOST + EXPECT + b"Content-Length: 0\r\n\r\n"
    answer = Answer(running, sent, patience=STAYS_OPEN)
    assert answer.statuses == [200], answer.text


def test_an_expectation_that_is_not_known_is_417(running: Running) -> None:
    before = counted(running, "/predict", 417)
    answer = Answer(running, post(HOST + b"Expect: a-miracle\r\n" + LENGTH))
    assert (answer.statuses, answer.closed) == ([417], True), answer.text
    assert answer.problems == ["expectation-failed"]
    eventually(lambda: counted(running, "/predict", 417) == before + 1)
    # HTTP/1.0 has no expectations.
    old = Answer(running, post(b"Expect: a-miracle\r\n" + LENGTH, version=b"HTTP/1.0"))
    assert old.statuses == [200]


def test_a_body_of_just_the_limit_is_taken() -> None:
    running = start(max_body_bytes=1024)
    try:
        for size, status in ((1024, 200), (1025, 413)):
            body = BODY + b" " * (size - len(BODY))
            answer = Answer(running, post(HOST + b"Content-Length: %d\r\n" % size, body))
            assert answer.statuses == [status], answer.text
    finally:
        running.service.stop()
