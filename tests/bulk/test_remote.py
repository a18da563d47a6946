"""Scoring by a running service: a real one, and one that misbehaves by a script."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.bulk.client import PatientClient
from service.bulk.job import BulkJob
from service.errors import BulkError
from tests.bulk.jobs import parse
from tests.conftest import TINY, Running

Reply = tuple[int, dict[str, str], Any]

MODEL = {"name": "stub", "version": "1", "backend": "f32"}


def score(*arguments: str | Path) -> None:
    BulkJob(parse(*arguments)).run()


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


@pytest.mark.slow
def test_a_service_gives_what_the_model_here_gives(running: Running, tmp_path: Path) -> None:
    given = tmp_path / "in.csv"
    pairs = [f"紫萱路{n}号{'人力' * (n % 40)},紫萱路{n % 7}号" for n in range(300)]
    pairs[7], pairs[8], pairs[9] = ",x", "\u200b,x", "长" * 513 + ",x"
    given.write_text("\n".join(["address1,address2", *pairs]) + "\n", "utf-8")
    score(given, "-o", tmp_path / "here.csv", "--model", TINY, "--backend", "openvino-f32",
          "--cpu-threads", "1", "--batch-tokens", "64")  # fmt: skip
    score(given, "-o", tmp_path / "there.csv", "--url", running.predictions,
          "--request-pairs", "16")  # fmt: skip
    here, there = _rows(tmp_path / "here.csv"), _rows(tmp_path / "there.csv")
    assert len(here) == len(there) == 300
    for one, other in zip(here, there, strict=True):
        assert {k: one[k] for k in ("address1", "label", "truncated", "error")} == {
            k: other[k] for k in ("address1", "label", "truncated", "error")
        }
        if not one["error"]:
            assert float(one["similarity"]) == pytest.approx(float(other["similarity"]), abs=2e-6)
    assert [row["error"] for row in here[7:10]] == [
        "address1 is empty",
        "an address has no readable character",
        "address1 has 513 characters; the limit is 512",
    ]
    for which in ("here", "there"):
        assert not list(tmp_path.glob(f"{which}.csv.*"))


class Stub:
    """A service that answers each request by a function of its pairs.

    Attributes:
        url: Where it is.
        seen: The number of pairs of each request.
        authorization: That header of the last request.
        reply: Answers.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.authorization: str | None = None
        self.reply: Callable[[int, list[Any]], Reply | None] = lambda turn, pairs: good(pairs)
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                pairs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["pairs"]
                stub.seen.append(len(pairs))
                stub.authorization = self.headers["Authorization"]
                reply = stub.reply(len(stub.seen), pairs)
                if reply is None:
                    self.close_connection = True
                    return
                status, headers, document = reply
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()


def good(pairs: list[Any], model: dict[str, str] = MODEL) -> Reply:
    """The answer of a service in order."""
    one = {
        "similarity": 0.5,
        "label": "partial_match",
        "probabilities": {"exact_match": 0.25, "partial_match": 0.5, "not_match": 0.25},
        "truncated": False,
    }
    return 200, {}, {"results": [one] * len(pairs), "model": model}


def problem(status: int, code: str, **headers: str) -> Reply:
    """The answer of this service when it refuses."""
    document = {"type": f"urn:mgeo:problem:{code}", "detail": f"because of {code}"}
    return status, headers, document


@pytest.fixture
def stub() -> Iterator[Stub]:
    service = Stub()
    yield service
    service.server.shutdown()
    service.server.server_close()
    service.thread.join(60)


class Patient(PatientClient):
    """A client that notes for how long it would wait, and does not.

    Attributes:
        notes: What it told.
        pauses: Seconds.
    """

    def __init__(self, stub: Stub, patience: float = 60) -> None:
        self.notes: list[str] = []
        super().__init__(
            stub.url, api_key=None, connections=1, patience=patience, note=self.notes.append
        )
        self.pauses = pauses = list[float]()

        class Event(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                pauses.append(timeout or 0.0)
                return self.is_set()

        self._ended = Event()


def test_retry_after_is_honoured_and_else_pauses_grow(stub: Stub) -> None:
    script = [
        problem(429, "queue-full", **{"Retry-After": "7"}),
        problem(503, "not-ready"),
        (502, {}, b"<html>"),
        None,
        problem(504, "timed-out"),
        problem(429, "queue-full", **{"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    ]
    stub.reply = lambda turn, pairs: script[turn - 1] if turn <= len(script) else good(pairs)
    client = Patient(stub)
    assert client.predict_batch([("1", "2")])["model"] == MODEL
    client.close()
    assert client.pauses == [7, 0.5, 1, 2, 4, 0]
    assert len(stub.seen) == 7
    assert len(client.notes) == 1


def test_an_outage_is_told_once_and_ends_after_the_patience(stub: Stub) -> None:
    stub.reply = lambda turn, pairs: problem(503, "not-ready")
    client = Patient(stub, patience=3)
    with pytest.raises(BulkError, match=r"answered 503: because of not-ready; the same command"):
        client.predict_batch([])
    client.close()
    assert client.pauses == [0.25, 0.5, 1, 2]
    assert len(client.notes) == 1
    assert "trying again for up to 3 s" in client.notes[0]


def test_a_failure_within_the_service_is_tried_three_times(stub: Stub) -> None:
    stub.reply = lambda turn, pairs: problem(500, "engine-failed")
    client = Patient(stub)
    with pytest.raises(BulkError, match="answered 500: because of engine-failed"):
        client.predict_batch([])
    client.close()
    assert len(stub.seen) == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((404, {}, b"<p>secret</p>"), r"answered 404$"),
        ((200, {}, b"<p>secret</p>"), "is not this service"),
        ((200, {}, {"hello": 1}), "is not this service"),
        ((200, {}, [1]), "is not this service"),
    ],
)
def test_something_else_at_the_url_is_refused_at_once(
    stub: Stub, tmp_path: Path, reply: Reply, message: str
) -> None:
    (tmp_path / "in.csv").write_text("address1,address2\n1,2\n")
    stub.reply = lambda turn, pairs: reply
    with pytest.raises(BulkError, match=message) as caught:
        score(tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--url", stub.url)
    assert "secret" not in str(caught.value)
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    "url", ["localhost:5000", "ftp://h", "http://", "http://h:x", "http://u:p@h", "http://h?q=1"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BulkError, match="--url") as caught:
        PatientClient(url, api_key=None, connections=1, patience=1, note=print)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "status", "said"),
    [
        (None, 401, "asks for an API key: give --api-key-file"),
        ("wrong", 401, "does not know the key of --api-key-file; give another one"),
        ("wrong", 403, "refuses the request: it answered 403"),
        (None, 404, "refuses the request: it answered 404"),
        (None, 400, "refuses the request: it answered 400: because of invalid-body"),
    ],
)
def test_a_refusal_says_what_to_do(stub: Stub, key: str | None, status: int, said: str) -> None:
    stub.reply = lambda turn, pairs: (
        problem(400, "invalid-body") if status == 400 else (status, {}, b"")
    )
    client = PatientClient(stub.url, api_key=key, connections=1, patience=1, note=print)
    with pytest.raises(BulkError) as caught:
        client.predict_batch([])
    client.close()
    assert str(caught.value) == f"{stub.url} {said}"


def test_a_request_that_is_too_large_is_halved(stub: Stub, tmp_path: Path) -> None:
    def reply(turn: int, pairs: list[Any]) -> Reply:
        huge = any(len(pair["address1"]) > 5 for pair in pairs)
        return problem(413, "too-large") if len(pairs) > 3 or huge else good(pairs)

    stub.reply = reply
    addresses = ["1"] * 4 + ["123456"] + ["1"] * 3
    (tmp_path / "in.csv").write_text(
        "\n".join(["address1,address2", *(a + ",2" for a in addresses)])
    )
    score(tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--url", stub.url)
    rows = _rows(tmp_path / "out.csv")
    assert [row["error"] for row in rows] == [""] * 4 + [
        "it answered 413: because of too-large"
    ] + [""] * 3  # fmt: skip
    assert rows[0]["similarity"] == "0.500000"


@pytest.mark.parametrize("difference", [{"version": "2"}, {"backend": "int8"}])
def test_another_model_ends_the_run_and_the_right_one_goes_on(
    stub: Stub, tmp_path: Path, difference: dict[str, str]
) -> None:
    lines = ["address1,address2", *["1,2"] * 1500]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    arguments = (tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--url", stub.url)
    flags = ("--in-flight", "1", "--request-pairs", "512")
    other = MODEL | difference
    stub.reply = lambda turn, pairs: good(pairs, MODEL if turn <= 3 else other)
    with pytest.raises(
        BulkError, match=r"answers with model stub .* now; .* begun with stub 1 f32"
    ):
        score(*arguments, *flags)
    with pytest.raises(BulkError, match="begun with another model"):
        score(*arguments, *flags)
    stub.reply, stub.seen = lambda turn, pairs: good(pairs), []
    score(*arguments, *flags)
    assert stub.seen == [0, 476]  # the first chunk stands in the journal
    assert len(_rows(tmp_path / "out.csv")) == 1500


def test_several_requests_are_in_flight(stub: Stub, tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=60)

    def reply(turn: int, pairs: list[Any]) -> Reply:
        if pairs:
            together.wait()  # no request is answered before four are there
        return good(pairs)

    stub.reply = reply
    (tmp_path / "in.csv").write_text("\n".join(["address1,address2", *["1,2"] * 64]))
    score(tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--url", stub.url,
          "--request-pairs", "8")  # fmt: skip
    assert len(_rows(tmp_path / "out.csv")) == 64


def test_a_pair_that_failed_with_the_engine_is_asked_for_again(stub: Stub, tmp_path: Path) -> None:
    failure = {
        "type": "urn:mgeo:problem:engine-failed",
        "status": 500,
        "detail": "the model failed",
    }

    def reply(turn: int, pairs: list[Any]) -> Reply:
        answer = good(pairs)
        for place, pair in enumerate(pairs):
            if pair["address1"] == "always" or (pair["address1"] == "once" and turn == 2):
                answer[2]["results"][place] = failure
        return answer

    stub.reply = reply
    (tmp_path / "in.csv").write_text("address1,address2\n1,2\nonce,2\nalways,2\n1,2\n")
    score(tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--url", stub.url)
    assert [row["error"] for row in _rows(tmp_path / "out.csv")] == ["", "", "the model failed", ""]
    assert stub.seen == [0, 4, 2, 1]


def test_a_key_is_read_from_a_file(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("address1,address2\n1,2\n")
    (tmp_path / "key").write_text("pV0-secret\n")
    arguments = (tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--url", stub.url)
    score(*arguments, "--api-key-file", tmp_path / "key")
    assert stub.authorization == "Bearer pV0-secret"
    with pytest.raises(BulkError, match=r"--api-key-file: .* cannot be read"):
        score(*arguments, "--force", "--api-key-file", tmp_path / "none")
    for number, content in enumerate([b"", b"\n", b"one\ntwo\n", "密钥".encode(), b"a\0b"]):
        (tmp_path / f"key{number}").write_bytes(content)
        with pytest.raises(BulkError, match=r"--api-key-file: .* no key on one line"):
            score(*arguments, "--force", "--api-key-file", tmp_path / f"key{number}")
