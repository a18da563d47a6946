"""Sends bad requests to a running service: each must be answered, and none with a 5xx.

A case is made from its number and a seed alone, so that one that failed can be sent again.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from random import Random
from typing import Any

from tests.fuzz import mutate

Address = tuple[str, int]

PAIR = {"address1": "杭州市西湖区文三路138号", "address2": "文三路138号 B座"}
BODIES: tuple[Any, ...] = (
    PAIR,
    {"pairs": [PAIR, PAIR, {"address1": "a"}]},
    {"query": PAIR["address1"], "texts": [PAIR["address2"], "b"], "raw_scores": False},
    {
        "inputs": [
            {"name": name, "shape": [1], "datatype": "BYTES", "data": [text]}
            for name, text in PAIR.items()
        ]
    },
)
"""What routes take, whichever does: each body is sent to each."""

_HEADERS = (
    "Content-Type: application/json; charset=gbk", "Content-Type: text/plain", "Content-Type:",
    "Content-Type: application/octet-stream", "X-Envoy-Expected-Rq-Timeout-Ms: -5",
    "X-Envoy-Expected-Rq-Timeout-Ms: 99999", "X-Envoy-Expected-Rq-Timeout-Ms: 1e9",
    "Inference-Header-Content-Length: 20", "Inference-Header-Content-Length: -1",
    "traceparent: 00-zz-1-01", f"traceparent: 00-{0xABC:032x}-{0xDEF:016x}-01",
    "tracestate: =,=", "baggage: a=b;c,=", "Authorization: Bearer \xe9", "Accept: */*;q=x",
    "Expect: 100-continue", "Expect: x", "Host:", "Host: a", "Cookie: a=\x01", "Range: bytes=9-1",
    "If-None-Match: *", "Upgrade: websocket", "Forwarded: for=x", "X-Forwarded-For: x",
    "Accept-Encoding: gzip", "Content-Encoding: gzip", "X: " + "y" * 5000,
)  # fmt: skip

PATIENCE_SECONDS = 10.0
"""An answer, or the end of the connection, must have come by then; a request may take 0.2 s to
arrive, and the server looks for late ones once a second."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request.

    Attributes:
        data: Its bytes.
        whole: Whether it ends where its head says, so that the connection can be used again.
    """

    data: bytes
    whole: bool

    @property
    def method(self) -> str:
        """What it begins with: an answer to HEAD has no body."""
        return self.data.split(b" ", 1)[0].decode("latin-1")


@dataclass
class Report:
    """What came of the cases.

    Attributes:
        statuses: Answers by status; 0 where the connection ended without one.
        failures: The number of each case that broke a rule, and which.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)


_TWO_WAYS = (
    b"Content-Length: 3", b"Content-Length: +3", b"Content-Length: 3, 3", b"Content-Length: 0x3",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x",
    b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"Content-Length: " + b"9" * 30,
)  # fmt: skip
"""Heads that say twice, or oddly, where the request ends."""


def routes(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Methods and paths to send to: those of an OpenAPI document, and some besides."""
    found = [
        (method.upper(), re.sub(r"{[^}]+}", "tiny", path))
        for path, operations in document["paths"].items()
        for method in operations
    ]
    pages = [("GET", "/"), ("GET", "/docs"), ("GET", "/assets/page.js"), ("GET", "/nowhere")]
    others = [(method, "/predict") for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "X")]
    return found + pages + others


def make(number: int, seed: int, routes: Sequence[tuple[str, str]]) -> Case:
    """The case of that number."""
    chance = Random(f"{seed}:{number}")
    method, path = chance.choice(routes)
    body = json.dumps(chance.choice(BODIES), ensure_ascii=False).encode()
    kind = chance.random()
    if kind < 0.5:
        body = mutate.written(chance, mutate.of_json(chance, chance.choice(BODIES)))
    elif kind < 0.7:
        body = mutate.of_bytes(chance, body)
    head = [f"{method} {_path(chance, path)} HTTP/1.1", "Host: localhost"]
    content_type = "Content-Type: application/json"
    if kind >= 0.7:
        head += chance.choices(_HEADERS, k=chance.choice((1, 1, 2, 5)))
        content_type = chance.choice((content_type, "X: y"))
    chunked = chance.random() < 0.05
    if chunked:
        body = (
            b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
            + b"0\r\n\r\n"
        )
    head += [
        content_type,
        "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}",
    ]
    data = "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body
    if kind >= 0.96:
        return Case(mutate.of_bytes(chance, data), whole=False)
    if kind >= 0.93:
        end = data.index(b"\r\n") + 2
        return Case(data[:end] + chance.choice(_TWO_WAYS) + b"\r\n" + data[end:], whole=False)
    return Case(data, whole=True)


def _path(chance: Random, path: str) -> str:
    match chance.randrange(12):
        case 0:
            return (
                path + "?" + chance.choice(("a=%FF", "%", "address1=x&address1=y", "&" * 99, ";"))
            )
        case 1:
            made = mutate.of_bytes(chance, path.encode())
            return "/" + "".join(c for c in made.decode("latin-1") if c > " ").lstrip("/")
        case 2:
            return chance.choice(
                ("//", "/..", "/%00", "/%", "/%2e%2e/", "*", "http://x/predict", "/" + "a" * 3000)
            )
        case _:
            return path


def run(
    address: Address,
    numbers: Sequence[int],
    seed: int,
    routes: Sequence[tuple[str, str]],
    threads: int,
) -> Report:
    """Send the cases of these numbers, shared between `threads` connections."""
    report, lock = Report(), threading.Lock()

    def send(share: Sequence[int]) -> None:
        client = _Client(address)
        for number in share:
            case = make(number, seed, routes)
            status, failure = client.send(case)
            with lock:
                report.statuses[status] += 1
                if failure:
                    report.failures.append((number, failure))
        client.close()

    workers = [threading.Thread(target=send, args=(numbers[i::threads],)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return report


class _Client:
    """One connection, made anew when it has ended."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def send(self, case: Case) -> tuple[int, str]:
        """The status of its answer, and which rule was broken, if one was."""
        if not case.whole:
            self.close()
        fresh = self._socket is None
        connection = self._socket = self._socket or socket.create_connection(
            self._address, timeout=PATIENCE_SECONDS
        )
        began = time.monotonic()
        keep = False
        try:
            with suppress(ConnectionError):  # refused while we still send: the answer is there
                connection.sendall(case.data)
            response = HTTPResponse(connection, method=case.method)
            response.begin()
            body = response.read()
            keep = case.whole and not response.will_close
            return response.status, _broken(response, body, case)
        except TimeoutError:
            if not case.data.strip(b"\r\n"):
                return 0, ""  # blank lines before a request that never comes
            return 0, f"no answer within {time.monotonic() - began:.1f} s"
        except (ConnectionError, HTTPException) as error:
            if case.whole and fresh:
                return 0, f"the connection ended without an answer: {type(error).__name__}"
            if case.whole:  # it may have been closed after the answer before
                self.close()
                return self.send(case)
            return 0, ""
        finally:
            if not keep:
                self.close()


def is_failure(status: int) -> bool:
    """Whether the service failed: 501 and 505 say that the client asked for another protocol."""
    return status >= 500 and status not in (501, 505)


def _broken(response: HTTPResponse, body: bytes, case: Case) -> str:
    if is_failure(response.status):
        return f"status {response.status}: {body[:300]!r}"
    if response.headers["Server"] or b"Traceback" in body:
        return "it says what it is made of"
    if case.method == "HEAD" or response.status in (204, 304):
        return ""
    if response.status >= 400:
        if "json" not in response.headers.get("Content-Type", ""):
            return f"status {response.status} is no JSON"
        problem = json.loads(body)
        if "error" not in problem:
            return f"status {response.status} has no error"
    elif response.headers.get("Content-Type", "").startswith("application/json"):
        json.loads(body)
    return ""
