"""The real Collector takes all three signals over both protocols, and hands on the same counts."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import requests

from tests.conftest import eventually
from tests.serving import Service
from tests.telemetry.collector import Collector
from tests.telemetry.test_agents import SPANS
from tools import native
from tools.build import BuildError, require

pytestmark = pytest.mark.slow

REQUESTS = 50
CONFIGURATION = """
extensions:
  health_check: {{endpoint: "127.0.0.1:{health}"}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  otlp: {{endpoint: "{forward}", tls: {{insecure: true}}, sending_queue: {{enabled: false}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp]}}
    metrics: {{receivers: [otlp], exporters: [otlp]}}
    logs: {{receivers: [otlp], exporters: [otlp]}}
"""


@contextmanager
def real_collector(folder: Path, forward: str) -> Iterator[dict[str, str]]:
    """The Collector's program, which hands on what it gets; its endpoint for each protocol."""
    try:
        program = require("otelcol-mgeo")
    except BuildError as error:
        pytest.fail(str(error))
    grpc, http, health = native.free_ports([4317, 4318, 13133]).values()
    file = folder / "collector.yaml"
    address = forward.removeprefix("http://")
    file.write_text(CONFIGURATION.format(grpc=grpc, http=http, health=health, forward=address))
    process = subprocess.Popen([str(program), "--config", str(file)], stderr=subprocess.DEVNULL)
    try:

        def is_up() -> bool:
            assert process.poll() is None, "the Collector has ended"
            try:
                with urlopen(f"http://127.0.0.1:{health}/", timeout=60) as answer:
                    return bool(answer.status == 200)
            except URLError:
                return False

        eventually(is_up, 60)
        yield {"grpc": f"http://127.0.0.1:{grpc}", "http/protobuf": f"http://127.0.0.1:{http}"}
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize(("protocol", "compression"), [("grpc", "none"), ("http/protobuf", "gzip")])
def test_every_signal_arrives_with_exact_counts(
    collector: Collector, tmp_path: Path, protocol: str, compression: str
) -> None:
    with real_collector(tmp_path, collector.endpoint) as endpoints:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoints[protocol],
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        }
        with Service(**variables) as service:
            host, port = service.predictions
            for number in range(REQUESTS):
                body = {"address1": f"文三路{number}号", "address2": "文三路138号"}
                answer = requests.post(f"http://{host}:{port}/predict", json=body, timeout=30)
                assert answer.status_code == 200
            assert service.terminate() == 0
        collector.wait_for(lambda c: len(c.spans) >= REQUESTS * len(SPANS), 30)

    assert Counter(span.name for span in collector.spans) == dict.fromkeys(SPANS, REQUESTS)
    lines = [log for log in collector.logs if log.logger == "mgeo.request"]
    assert {log.trace_id for log in lines} == {span.trace_id for span in collector.spans}
    assert len(lines) == REQUESTS
    [counted] = [p for p in collector.metrics["mgeo.request"].points if p.value]
    assert counted.value == REQUESTS
    [timed] = collector.metrics["http.server.request.duration"].points
    assert timed.count == REQUESTS
    exported = {(span.trace_id, span.span_id) for span in collector.spans}
    for metric in collector.metrics.values():
        for point in metric.points:
            assert {exemplar[:2] for exemplar in point.exemplars} <= exported
