"""`python -m tools.load`, the load's container: told to end, it ends and says what it counted."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import load

ROOT = Path(__file__).parents[2]


class _Handler(http.server.BaseHTTPRequestHandler):
    asked = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.asked.set()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    """Answers 200 to all."""
    _Handler.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/predict"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("rate", ["100", "0.001"])  # it waits for the next one for 17 minutes
def test_a_signal_ends_the_load_and_its_count_is_told(
    url: str, number: signal.Signals, rate: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.load", "--url", url, "--rate", rate, "--seconds", "3600"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert _Handler.asked.wait(60)
            process.send_signal(number)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert told.startswith("load: ")
    assert "{200: " in told


def test_a_load_that_is_stopped_before_it_begins_sends_nothing(url: str) -> None:
    stop = threading.Event()
    stop.set()
    assert load.run(url, requests=10, stop=stop).statuses == {}
