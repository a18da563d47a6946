"""`ready` says in one line, and by its exit status, what `/readyz` of the running service says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.__main__ import main
from service.http import operations
from service.lifecycle import Lifecycle, State
from service.settings import Settings
from service.transport.listener import Listener
from service.transport.server import ServerLimits
from tests.conftest import Running
from tests.serving import run


def _port(url: str) -> str:
    return str(urlsplit(url).port)


@contextmanager
def _listening(lifecycle: Lifecycle, host: str = "127.0.0.1", warning: str = "") -> Iterator[str]:
    """The real operations listener over this lifecycle; the port it has."""
    none: Any = None
    app = operations.create_app(
        lifecycle, none, lambda: False, none, warning=lambda: warning or None
    )
    limits = ServerLimits(threads=1, waiting=5, connections=5, body_bytes=1024, receive_seconds=5)
    listener = Listener(
        app, name="operations", host=host, port=0, limits=limits, failed=lambda error: None
    )
    listener.start()
    try:
        yield listener.address.rpartition(":")[2]
    finally:
        listener.close()


def test_a_ready_service_is_ready(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ready", "--metrics-port", _port(running.operations)]) == 0
    assert capsys.readouterr() == ("ready\n", "")


def test_loading_and_draining_are_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    lifecycle = Lifecycle()
    lifecycle.loading("reading the weights", 0.4)
    with _listening(lifecycle) as port:
        assert main(["ready", "--metrics-port", port]) == 1
        assert capsys.readouterr() == (
            "", "mgeo: not ready: starting: reading the weights, 40%\n"
        )  # fmt: skip
        lifecycle.to(State.DRAINING)
        assert main(["ready", "--metrics-port", port]) == 1
        assert capsys.readouterr() == ("", "mgeo: not ready: draining\n")


def test_a_warning_is_told_and_ready_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    lifecycle = Lifecycle()
    lifecycle.to(State.READY)
    with _listening(lifecycle, warning="the API keys cannot be read") as port:
        assert main(["ready", "--metrics-port", port]) == 0
    assert capsys.readouterr().out == "ready; the API keys cannot be read\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "*", "localhost", "127.0.0.1", "::1"])
def test_it_asks_by_the_address_that_the_service_binds(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    lifecycle = Lifecycle()
    lifecycle.to(State.READY)
    with _listening(lifecycle, host) as port:
        monkeypatch.setenv("MGEO_METRICS_HOST", host)
        monkeypatch.setenv("MGEO_METRICS_PORT", port)
        # As Docker's client and corporate images set it: nobody outside is to be asked.
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        assert main(["ready"]) == 0


def test_nobody_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["ready", "--metrics-port", str(port)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"mgeo: not ready: no answer from 127.0.0.1:{port}: Connection refused")
    assert "MGEO_METRICS_PORT" in told
    assert told.count("\n") == 1


def test_one_who_never_answers_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ready._SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert main(["ready", "--metrics-port", str(silent.getsockname()[1])]) == 1
    assert "timed out" in capsys.readouterr().err


@pytest.mark.parametrize("document", [b"<html>hello</html>", b"[]", b"3", b'{"ok": true}', b""])
def test_another_server_on_the_port_is_not_ready(
    document: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        asked = threading.Thread(target=server.handle_request)
        asked.start()
        assert main(["ready", "--metrics-port", str(server.server_port)]) == 1
        asked.join(60)
    assert "is not this service" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["--metrics-port", "0"], {}, "give the port that the service's log names"),
        ([], {"MGEO_METRICS_PORT": "x"}, "a whole number is expected"),
        ([], {"MGEO_METRICS_PROT": "1"}, "did you mean"),
    ],
)
def test_settings_that_serve_would_refuse_are_refused(
    arguments: list[str],
    variables: dict[str, str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["ready", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_its_default_is_where_serve_listens_by_default() -> None:
    settings = Settings()
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 8000)


@pytest.mark.slow
def test_it_loads_no_tokenizer_and_no_server() -> None:
    """It runs every ten seconds beside the service, on the same processors."""
    code = (
        "import json, sys; from service.__main__ import main; main(['ready']); "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"tokenizers", "numpy", "flask", "opentelemetry", "service.bulk.formats"}


@pytest.mark.slow
def test_flags_of_the_other_commands_are_there_when_they_are_asked_for() -> None:
    assert "--in-flight" in run("score", "--help").stdout
    assert "--picture" in run("evaluate", "--help").stdout
    told = run("--help").stdout
    assert all(name in told for name in ("score", "evaluate", "ready"))
    assert run("score").returncode == 2
