"""The client against a server of our own making, and against the service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span

from service import client as module
from service.client import (
    BadAnswer,
    ClientError,
    DeadlineExceeded,
    MGeoClient,
    Refused,
    Unreachable,
)
from service.http import request_context
from tests.conftest import Running, logged_here
from tests.waiting import Stopwatch

PAIR = ("紫萱路363号人力社保局", "紫萱路363号市人社局")
FULL = {"type": "urn:mgeo:problem:queue-full", "status": 429, "detail": "9 pairs are waiting"}


class Server:
    """Gives the prepared answers in their order, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes] | None] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, dict(self.headers.items()), body))
                time.sleep(outer.delay)
                answer = outer.answers.pop(0)
                if answer is None:  # hang up
                    self.close_connection = True
                    return
                status, headers, data = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(0.01), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, json.dumps(body).encode()))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited, without waiting."""
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=slept.append)
    monkeypatch.setattr(module, "time", clock)
    return slept


def test_it_answers_what_the_service_answers(running: Running) -> None:
    with MGeoClient(running.predictions) as client:
        one = client.predict(*PAIR)
        assert one == running.post("/predict", {"address1": PAIR[0], "address2": PAIR[1]}).json()
        good, bad = client.predict_batch([PAIR, ("a", " ")])["results"]
        assert good["similarity"] == pytest.approx(one["similarity"], abs=1e-5)
        assert bad["detail"] == "address2 is empty"
        ranks = client.rerank(PAIR[0], ["x", PAIR[1]], return_text=True)
        assert {rank["text"]: rank["index"] for rank in ranks} == {"x": 0, PAIR[1]: 1}
        with pytest.raises(Refused) as refused:
            client.rerank(PAIR[0], [])
    error = refused.value
    assert (error.status, error.type) == (400, "urn:mgeo:problem:missing-fields")
    assert str(error) == "400: texts is empty"


def test_it_waits_as_long_as_it_is_told_and_tries_again(
    server: Server, sleeps: list[float]
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    server.answer(429, FULL, Retry_After="3")
    server.answer(503, FULL, Retry_After=soon)
    server.answer(502)
    server.answer(200, {"similarity": 1})
    with MGeoClient(server.url, timeout=1000) as client:
        assert client.predict(*PAIR) == {"similarity": 1}
    first, second, third = sleeps
    assert first == 3
    assert 60 < second <= 120  # less the time since it was told
    assert 0.2 <= third <= 0.4  # the third doubling of 0.1, with its jitter
    assert len(server.requests) == 4


def test_a_broken_connection_is_tried_again_as_often_as_is_allowed(
    server: Server, sleeps: list[float]
) -> None:
    server.answers += [None, None, None]
    with MGeoClient(server.url, attempts=3) as client, pytest.raises(Unreachable) as error:
        client.predict(*PAIR)
    assert len(server.requests) == 3
    assert len(sleeps) == 2
    assert PAIR[0] not in str(error.value)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 504, 301])
def test_what_will_not_get_better_is_not_repeated(
    server: Server, sleeps: list[float], status: int
) -> None:
    server.answer(status, ["no", "problem"], Location="http://127.0.0.1:1/")
    with MGeoClient(server.url) as client, pytest.raises(Refused) as error:
        client.predict(*PAIR)
    assert (error.value.status, error.value.type, sleeps) == (status, "", [])


def test_a_wait_beyond_the_deadline_is_not_begun(server: Server, sleeps: list[float]) -> None:
    server.answer(429, FULL, Retry_After="31")
    with MGeoClient(server.url, timeout=30) as client, pytest.raises(Refused) as error:
        client.predict(*PAIR)
    assert error.value.retry_after == 31
    assert (sleeps, len(server.requests)) == ([], 1)


def test_a_call_ends_at_its_deadline(server: Server) -> None:
    server.delay = 1.0
    server.answer(200, {})
    with MGeoClient(server.url, timeout=0.1) as client, pytest.raises(DeadlineExceeded):
        client.predict(*PAIR)


def test_nobody_there_is_one_line() -> None:
    with (
        MGeoClient("http://127.0.0.1:1", attempts=1) as client,
        pytest.raises(ClientError) as error,
    ):
        client.predict(*PAIR)
    assert str(error.value) == "http://127.0.0.1:1: NewConnectionError"
    with pytest.raises(ValueError, match="begin the URL with http:// or https://"):
        MGeoClient("127.0.0.1:5000")


@pytest.mark.parametrize("attempts", [0, -1])
def test_no_attempt_at_all_is_refused(attempts: int) -> None:
    with pytest.raises(ValueError, match=r"^attempts must be at least 1$"):
        MGeoClient(attempts=attempts)


def test_a_request_carries_the_key_the_deadline_and_the_trace(server: Server) -> None:
    server.answer(200, {})
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("caller")
    with MGeoClient(server.url, api_key="secret", timeout=60) as client, use_span(span):
        client.predict_batch([PAIR])
    [(path, headers, body)] = server.requests
    assert (path, body) == (
        "/predict/batch",
        {"pairs": [{"address1": PAIR[0], "address2": PAIR[1]}]},
    )
    assert headers["Authorization"] == "Bearer secret"
    assert 30_000 < int(headers["X-Envoy-Expected-Rq-Timeout-Ms"]) <= 60_000
    assert headers["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"
    assert "secret" not in repr(client)


def test_it_says_its_deadline_as_the_service_reads_it(server: Server) -> None:
    assert request_context.HEADER == module._DEADLINE
    server.answer(200, {})
    with MGeoClient(server.url, timeout=86_400) as client:
        client.predict(*PAIR)
    [(_, headers, _)] = server.requests
    assert 86_390_000 < int(headers[request_context.HEADER]) <= 86_400_000


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_time_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be above 0 and at most 86,400 seconds$"):
        MGeoClient(timeout=timeout)


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("-0000", None, None),
        ("-5", None, None),
        ("+5", None, None),
        ("1.5", None, None),
        ("", None, None),
        ("soon", None, None),
        ("٣", None, None),
        ("Wed, 99 Xyz 2026 99:99:99 GMT", None, None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None, None),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00", 0, 0),
        ("Wed, 21 Oct 2099 07:28:00 -0000", 1e8, 1e10),
        ("0", 0, 0),
        ("9" * 30, 1e29, 1e31),
        ("9" * 400, float("inf"), float("inf")),
    ],
)
def test_any_retry_after_is_a_time_or_none(
    header: str, low: float | None, high: float | None
) -> None:
    seconds = module._seconds(header)
    if low is None or high is None:
        assert seconds is None
    else:
        assert seconds is not None
        assert low <= seconds <= high


def test_a_retry_after_that_is_none_is_waited_for_as_if_it_were_not_there(
    server: Server, sleeps: list[float]
) -> None:
    server.answer(429, FULL, Retry_After="-0000")
    server.answer(200, {})
    with MGeoClient(server.url) as client:
        client.predict(*PAIR)
    assert [0.05 <= wait <= 0.1 for wait in sleeps] == [True]


@pytest.mark.parametrize("data", [b"<html>log in</html>", b"", b"\xb0\xa1", b"[" * 100_000, b"{"])
def test_an_answer_that_is_no_json_is_an_error_of_its_own(
    server: Server, sleeps: list[float], data: bytes
) -> None:
    server.answers.append((200, {}, data))
    with MGeoClient(server.url) as client, pytest.raises(BadAnswer) as error:
        client.predict(*PAIR)
    assert str(error.value) == f"{server.url} is not this service: it answered no JSON"
    assert sleeps == []


@pytest.mark.parametrize("answer", [[], "text", 7, None])
def test_an_answer_of_another_shape_is_the_same_error(server: Server, answer: object) -> None:
    server.answer(200, answer)
    with MGeoClient(server.url) as client, pytest.raises(BadAnswer, match="answered other JSON"):
        client.predict_batch([PAIR])
    server.answer(200, {})
    with MGeoClient(server.url) as client, pytest.raises(BadAnswer, match="answered other JSON"):
        client.rerank("a", ["b"])


class Trickle:
    """Answers one byte at a time, for longer than any test waits."""

    def __init__(self, answer: bytes, pause: float) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._answer, self._pause = answer, pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listening.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            for byte in self._answer:
                if self._ended.wait(self._pause):
                    return
                connection.sendall(bytes([byte]))

    def close(self) -> None:
        self._ended.set()
        self._thread.join(60)
        self._listening.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b" " * 900,
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 90,
        b"HTTP/1.1 200 " + b"O" * 900,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100,
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 900,
        b"HTTP/1.1 429 Full\r\nContent-Length: 900\r\n\r\n" + b" " * 900,
    ],
    ids=["body", "headers", "status line", "chunks", "until it closes", "a refusal"],
)
def test_the_time_is_of_the_call_and_not_of_each_read(answer: bytes) -> None:
    slow = Trickle(answer, pause=0.02)
    try:
        with (
            Stopwatch() as watch,
            MGeoClient(slow.url, timeout=0.5) as client,
            pytest.raises(DeadlineExceeded),
        ):
            client.predict(*PAIR)
        assert watch.seconds < 5  # 18 seconds, byte by byte
    finally:
        slow.close()


def test_importing_it_loads_neither_the_server_nor_a_model() -> None:
    code = "import sys, service.client; print(*sorted(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"flask", "waitress", "openvino", "torch", "tokenizers", "numpy", "opentelemetry"}
    assert heavy & set(done.stdout.split()) == set()


_AFTER_ONE_CALL = """
import sys
from service.client import MGeoClient
with MGeoClient(sys.argv[1], attempts=1) as client:
    for _ in range(2):
        print(client.predict("a", "b"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_PROPAGATORS", "nobody"),
        ("OTEL_PROPAGATORS", "tracecontext,,x y"),
        ("OTEL_PYTHON_CONTEXT", "nobody"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "nobody"),
    ],
)
def test_telemetry_that_is_set_up_badly_fails_no_call(
    server: Server, variable: str, value: str
) -> None:
    server.answers = [(200, {}, b'{"label": "not_match"}')] * 2
    done = subprocess.run(
        [sys.executable, "-c", _AFTER_ONE_CALL, server.url],
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["{'label': 'not_match'}"] * 2, done.stderr


def test_a_trace_that_cannot_be_passed_on_is_told_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError("no baggage")

    monkeypatch.setattr(propagate, "inject", fail)
    server.answers = [(200, {}, b"{}")] * 3
    with MGeoClient(server.url) as client:
        for _ in range(3):
            client.predict(*PAIR)
    assert [record.getMessage() for record in logged_here(caplog)] == [
        "traces are not passed on: LookupError: no baggage"
    ]


@pytest.mark.parametrize("name", ["api_key", "version", "session"])
@pytest.mark.parametrize("value", ["版本一", "a\nb", "a\r\nX-Other: b", "naïve", "a\0"])
def test_what_no_header_can_carry_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: a header carries") as caught:
        MGeoClient(**{name: value})
    assert value not in str(caught.value)
