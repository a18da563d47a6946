"""Which addresses the listeners are reached by, and what they say of it."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection

import pytest

from tests.serving import Service

pytestmark = pytest.mark.slow

BOTH = ("127.0.0.1", "::1")


def _reached(service: Service) -> list[str]:
    found = []
    for listener, path in ((service.operations, "/readyz"), (service.predictions, "/healthz")):
        for host in BOTH:
            connection = HTTPConnection(host, listener[1], timeout=60)
            try:
                connection.request("GET", path)
                assert connection.getresponse().status == 200
                found.append(host)
            except ConnectionRefusedError:
                pass
            finally:
                connection.close()
    return found


@pytest.mark.parametrize(
    ("host", "bound", "reached"),
    [
        ("::", "[::]", [*BOTH, *BOTH]),
        ("[::]", "[::]", [*BOTH, *BOTH]),
        ("0:0:0:0:0:0:0:0", "[::]", [*BOTH, *BOTH]),
        ("::1", "[::1]", ["::1", "::1"]),
        ("0.0.0.0", "0.0.0.0", ["127.0.0.1", "127.0.0.1"]),
    ],
)
def test_it_is_reached_by_what_the_host_means(host: str, bound: str, reached: list[str]) -> None:
    with Service(MGEO_HOST=host, MGEO_METRICS_HOST=host) as service:
        assert _reached(service) == reached
        lines = [line["bound"] for line in service.log() if line["message"] == "listening"]
        assert [line.rpartition(":")[0] for line in lines] == [bound, bound]
        assert service.terminate() == 0


def test_a_drain_refuses_both_families() -> None:
    with Service(MGEO_HOST="::") as service:
        port = service.predictions[1]
        kept = socket.create_connection(("127.0.0.1", port))
        kept.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n")
        service.terminate()
        for host in BOTH:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, port), 60)
        kept.close()


def test_a_name_with_several_addresses_says_which_one_is_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flask import Flask

    from service.transport import listener as server
    from service.transport.server import ServerLimits

    def two(*_: object, **__: object) -> list[tuple[object, ...]]:
        of = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET, *of, ("127.0.0.1", 0)),
            (socket.AF_INET6, *of, ("::1", 0, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    told: list[dict[str, object]] = []
    monkeypatch.setattr(server.log, "warning", lambda _, extra: told.append(extra))
    limits = ServerLimits(threads=1, waiting=1, connections=1, body_bytes=1024, receive_seconds=1)
    listener = server.Listener(Flask("x"), name="x", host="localhost", port=0, limits=limits)
    listener.start()
    listener.close()
    assert [line["not_bound"] for line in told] == [["::1"]], json.dumps(told)
