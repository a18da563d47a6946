"""Three instances without a Collector, found by Prometheus through DNS and scraped directly."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.stack.clients import Prometheus, eventually
from tests.stack.conftest import MODEL
from tools import native
from tools.build import BuildError, require
from tools.compose import COMPOSE_FILE, REPOSITORY
from tools.load import run
from tools.processes import Managed
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
NAME = "mgeo.internal"
NAME_SERVER = "127.0.0.53"
SERVICE_PORTS = {"predictions": 5000, "operations": 8000}
"""The compose file's own: a DNS name holds addresses, and the port is in the configuration."""


@pytest.fixture(scope="module")
def dns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A name server that knows one name with three addresses."""
    if os.geteuid() != 0:
        pytest.skip("needs root: port 53, and a mount namespace for /etc/resolv.conf")
    program = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin")
    if program is None:
        pytest.fail("dnsmasq is not installed: apt-get install -y dnsmasq-base (tools/apt.txt)")
    folder = tmp_path_factory.mktemp("dns")
    (folder / "hosts").write_text("".join(f"{host} {NAME}\n" for host in HOSTS))
    arguments = [
        "--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces",
        f"--listen-address={NAME_SERVER}", "--port=53", f"--addn-hosts={folder / 'hosts'}",
        "--user=root", "--pid-file=",
    ]  # fmt: skip
    server = Managed("dnsmasq", [program, *arguments], {}, folder, folder / "log", None)
    server.start()
    yield
    assert server.running, server.log_tail()
    server.stop()


@pytest.fixture(scope="module")
def scraped(dns: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Three services that push nothing, and a Prometheus that finds them by name."""
    folder = tmp_path_factory.mktemp("direct")
    try:
        port = native.free_ports([9090])[9090]
        program = require("prometheus")
    except BuildError as error:
        pytest.fail(str(error))
    with ExitStack() as running:
        for number, host in enumerate(HOSTS, start=1):
            instance = Stack(
                directory=folder / host,
                files=[COMPOSE_FILE],
                only=["mgeo"],
                extra_environment={
                    "mgeo": {
                        "MGEO_MODEL": str(MODEL),
                        "MGEO_DEVICE": "cpu",
                        "MGEO_HOST": host,
                        "MGEO_METRICS_HOST": host,
                        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
                        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id=mgeo-{number}",
                    }
                },
            )
            process = instance.process("mgeo")
            process.health_url = f"http://{host}:{SERVICE_PORTS['operations']}/readyz"
            running.enter_context(instance)
            instance.start()
        found = _prometheus(folder, program, port)
        running.callback(found.stop)
        found.start()
        found.wait_healthy(30)
        yield Prometheus(f"http://127.0.0.1:{port}")


def _prometheus(folder: Path, program: Path, port: int) -> Managed:
    """Prometheus in a mount namespace of its own, where /etc/resolv.conf names our server."""
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {NAME_SERVER}\n")
    arguments = [
        str(program),
        f"--config.file={REPOSITORY / 'prometheus' / 'discovery' / 'dns.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(resolver), *arguments]
    url = f"http://127.0.0.1:{port}/-/ready"
    return Managed("prometheus", command, {}, folder, folder / "prometheus.log", url)


def test_instances_are_found_by_name_and_counted_once(scraped: Prometheus) -> None:
    up = 'up{job="mgeo-inference"} == 1'
    eventually("three instances up", lambda: len(scraped.query(up)), lambda n: n == 3, seconds=60)
    for host in HOSTS:
        url = f"http://{host}:{SERVICE_PORTS['predictions']}/predict"
        assert run(url, requests=50, concurrency=2).statuses == {200: 50}
    query = 'mgeo_request_total{job="mgeo-inference", status="200", endpoint="/predict"}'
    eventually("all counted", lambda: scraped.value(query), lambda n: n >= 150, seconds=120)
    by_instance = {s["metric"]["instance"]: float(s["value"][1]) for s in scraped.query(query)}
    assert by_instance == {f"{host}:{SERVICE_PORTS['operations']}": 50.0 for host in HOSTS}


def test_nothing_is_pushed_and_no_exemplar_names_a_trace_that_nobody_has(
    scraped: Prometheus,
) -> None:
    assert scraped.exemplars("mgeo_request_duration_seconds_bucket") == []
