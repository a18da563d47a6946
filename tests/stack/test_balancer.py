"""HAProxy follows a replica that comes back under another address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.stack import names
from tests.stack.clients import eventually
from tools import native
from tools.compose import REPOSITORY, load_services
from tools.processes import Managed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

COMPOSE = [REPOSITORY / "docker-compose.yml", REPOSITORY / "docker-compose.replicas.yml"]
BEFORE, AFTER = "127.0.0.2", "127.0.0.3"


class _Replica(BaseHTTPRequestHandler):
    """Answers everything with its own address."""

    def do_GET(self) -> None:
        said = str(self.server.server_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _replica(host: str, ports: list[int]) -> Iterator[None]:
    """A service's two ports at `host`."""
    with ExitStack() as listening:
        for port in ports:
            server = listening.enter_context(ThreadingHTTPServer((host, port), _Replica))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            listening.callback(thread.join)
            listening.callback(server.shutdown)
        yield


@pytest.fixture
def ports() -> dict[int, int]:
    return native.free_ports([5000, 5080, 8000, 8404])


def _balancer(folder: Path, ports: dict[int, int]) -> Managed:
    """HAProxy with the compose file's settings, where each replica's name is `names.NAME`."""
    service = load_services(COMPOSE)["haproxy"]
    hosts = {f"mgeo-{number}": names.NAME for number in (1, 2, 3)} | {"haproxy": "127.0.0.1"}
    layout = native.Layout(hosts=hosts, ports=ports)
    configuration = str(REPOSITORY / "haproxy" / "haproxy.cfg")
    command = [*native.program(service), "-W", "-db", "-f", configuration]
    return Managed(
        "haproxy",
        names.asking_only_it(folder, command),
        native.environment(service, layout, folder),
        folder,
        folder / "haproxy.log",
        f"http://127.0.0.1:{ports[8404]}/health",
    )


def test_a_replica_that_was_made_anew_is_found(tmp_path: Path, ports: dict[int, int]) -> None:
    url = f"http://127.0.0.1:{ports[5080]}/"
    own = [ports[5000], ports[8000]]

    def answered() -> str:
        return requests.get(url, timeout=20).text

    with names.server(tmp_path, [BEFORE]) as name_is:
        balancer = _balancer(tmp_path, ports)
        with ExitStack() as running:
            running.callback(balancer.stop)
            with _replica(BEFORE, own):
                balancer.start()
                balancer.wait_healthy(60)
                eventually("it answers", answered, lambda said: said == BEFORE, seconds=60)
            with _replica(AFTER, own):
                name_is([AFTER])
                eventually("it answers again", answered, lambda said: said == AFTER, seconds=60)


def test_it_starts_before_the_replicas_have_names(tmp_path: Path, ports: dict[int, int]) -> None:
    with names.server(tmp_path, []) as name_is:
        balancer = _balancer(tmp_path, ports)
        with ExitStack() as running:
            running.callback(balancer.stop)
            balancer.start()
            balancer.wait_healthy(60)
            with _replica(BEFORE, [ports[5000], ports[8000]]):
                name_is([BEFORE])
                url = f"http://127.0.0.1:{ports[5080]}/"
                eventually(
                    "it answers",
                    lambda: requests.get(url, timeout=20).text,
                    lambda said: said == BEFORE,
                    seconds=60,
                )


def test_its_servers_are_in_its_metrics(tmp_path: Path, ports: dict[int, int]) -> None:
    with names.server(tmp_path, [BEFORE]):
        balancer = _balancer(tmp_path, ports)
        with ExitStack() as running:
            running.callback(balancer.stop)
            balancer.start()
            balancer.wait_healthy(60)
            page = requests.get(f"http://127.0.0.1:{ports[8404]}/metrics", timeout=20).text
    for number in (1, 2, 3):
        assert (
            f'haproxy_server_status{{proxy="instances",server="mgeo-{number}",state="UP"}}' in page
        )
    assert 'haproxy_backend_active_servers{proxy="instances"}' in page
