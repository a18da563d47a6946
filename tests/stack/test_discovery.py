"""Three instances without a Collector, found by Prometheus through DNS and scraped directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.stack import names
from tests.stack.clients import Prometheus, eventually
from tests.stack.conftest import MODEL
from tools import native
from tools.build import BuildError, require
from tools.compose import COMPOSE_FILE, REPOSITORY
from tools.load import run
from tools.processes import Managed
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

SERVICE_PORTS = {"predictions": 5000, "operations": 8000}
"""The compose file's own: a DNS name holds addresses, and the port is in the configuration."""


@pytest.fixture(scope="module")
def scraped(name_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Three services that push nothing, and a Prometheus that finds them by name."""
    folder = tmp_path_factory.mktemp("direct")
    try:
        port = native.free_ports([9090])[9090]
        program = require("prometheus")
    except BuildError as error:
        pytest.fail(str(error))
    with ExitStack() as running:
        for number, host in enumerate(names.HOSTS, start=1):
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
        found.wait_healthy(60)
        yield Prometheus(f"http://127.0.0.1:{port}")


def _prometheus(folder: Path, program: Path, port: int) -> Managed:
    """Prometheus, resolving names by our server."""
    arguments = [
        str(program),
        f"--config.file={REPOSITORY / 'prometheus' / 'discovery' / 'dns.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    command = names.asking_only_it(folder, arguments)
    url = f"http://127.0.0.1:{port}/-/ready"
    return Managed("prometheus", command, {}, folder, folder / "prometheus.log", url)


def test_instances_are_found_by_name_and_counted_once(scraped: Prometheus) -> None:
    up = 'up{job="mgeo-inference"} == 1'
    eventually("three instances up", lambda: len(scraped.query(up)), lambda n: n == 3, seconds=60)
    for host in names.HOSTS:
        url = f"http://{host}:{SERVICE_PORTS['predictions']}/predict"
        assert run(url, requests=50, concurrency=2).statuses == {200: 50}
    query = 'mgeo_request_total{job="mgeo-inference", status="200", endpoint="/predict"}'
    eventually("all counted", lambda: scraped.value(query), lambda n: n >= 150, seconds=120)
    by_instance = {s["metric"]["instance"]: float(s["value"][1]) for s in scraped.query(query)}
    assert by_instance == {f"{host}:{SERVICE_PORTS['operations']}": 50.0 for host in names.HOSTS}


def test_nothing_is_pushed_and_no_exemplar_names_a_trace_that_nobody_has(
    scraped: Prometheus,
) -> None:
    assert scraped.exemplars("mgeo_request_duration_seconds_bucket") == []
