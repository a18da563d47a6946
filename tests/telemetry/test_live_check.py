"""What the service really sends is what its telemetry schema says, and all of it is sent."""

from __future__ import annotations

import json
import shutil
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from service.http import keys
from service.recorder import Recorder
from service.retrieval import files
from service.retrieval.register import Entry
from service.scoring.events import Batch, ShadowPass
from tests.conftest import TINY
from tests.models import declare, variant
from tests.serving import Service
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start
from tests.telemetry.live_check import LiveCheck
from tests.telemetry.nvml import stub
from tools import registry

FIRST, SECOND = "紫萱路363号", "紫萱路363号市人社局"
PAIR = {"address1": FIRST, "address2": SECOND}
CURRENT = registry.read(registry.CURRENT)

OF_LIBRARIES = {
    # The instrumentation has the name that the conventions had before `cpu.mode`.
    "process.cpu.time: no attribute type",
}
"""Where a library does not send what the conventions say."""


def _ask(service: Service, key: str, path: str, body: Any) -> int:
    connection = HTTPConnection(*service.predictions, timeout=30)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection.request("POST", path, body if isinstance(body, str) else json.dumps(body), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def _serve(collector: Collector, folder: Path) -> None:
    """A service that has everything that has metrics of its own, and requests of each kind."""
    models = declare(
        folder / "models.json",
        {"name": "a", "source": str(TINY), "weight": 1},
        {
            "name": "b",
            "source": str(variant(folder / "b" / "tiny", noise=1)),
            "role": "shadow",
        },
    )
    key, line = keys.make("tester")
    (folder / "keys").write_text(line)
    (folder / "register").mkdir()
    files.write(folder / "register", [Entry("R1", SECOND)])
    (folder / "nvml").mkdir()
    stub.write_state(folder / "gpus", stub.ONE_GPU)
    with Service(
        *("--model", "bundled", "--models-file", str(models)),
        *("--api-keys-file", str(folder / "keys"), "--register", str(folder / "register")),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="200",
        OTEL_METRIC_EXPORT_INTERVAL="500",
        LD_LIBRARY_PATH=str(stub.build(folder / "nvml")),
        NVML_STUB_STATE=str(folder / "gpus"),
    ) as service:
        pairs = [PAIR, {"address1": "N/A", "address2": SECOND}]
        statuses = [
            _ask(service, "", "/predict", PAIR),
            _ask(service, key, "/predict", PAIR),
            _ask(service, key, "/predict", PAIR),
            _ask(service, key, "/predict/batch", {"pairs": pairs}),
            _ask(service, key, "/match", {"address": FIRST}),
            _ask(service, key, "/nowhere", PAIR),
            _ask(service, key, "/predict", "no JSON"),
        ]
        assert statuses == [401, 200, 200, 200, 200, 404, 400]
        collector.wait_for(lambda c: any(span.name == "shadow" for span in c.spans), 30)
        collector.wait_for(lambda c: "hw.power" in c.metrics, 30)
        assert service.terminate() == 0


def _fail(collector: Collector, start: Start) -> None:
    """What a service in good order does not send."""
    from service.http import predict
    from service.settings import Settings

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    request = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
    recorder = Recorder(telemetry)
    batch = Batch("abc", 2, 20, 24, requests=[request], cut="split", started_ns=1, ended_ns=2)
    batch.error, batch.out_of_memory = MemoryError(), True
    recorder.batch_started(batch)
    recorder.batch_ended(batch)
    with (
        pytest.raises(ZeroDivisionError),
        recorder.shadow_pass(ShadowPass("abc", 1, requests=[request])),
    ):
        fail()
    scorer = SimpleNamespace(require_ready=lambda: None, score=fail)
    app = predict.create_app(Settings(), scorer, telemetry, lambda: False)
    assert app.test_client().post("/predict", json=PAIR).status_code == 500
    assert telemetry.shutdown(5)


@pytest.mark.slow
def test_what_is_sent_is_what_the_schema_says(
    collector: Collector, start: Start, tmp_path: Path
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) to build the stub of NVML with")
    _serve(collector, tmp_path)
    _fail(collector, start)
    checked = LiveCheck(collector, CURRENT)
    assert set(checked.findings) == OF_LIBRARIES
    assert checked.unseen == set()


def test_what_the_schema_does_not_say_is_found(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    instruments, tracer = telemetry.instruments, telemetry.tracer
    instruments.request.add(1, {"method": "BREW", "endpoint": "/", "code": "200"})
    telemetry.meter.create_counter("mgeo.made_up", "{event}").add(1)
    telemetry.meter.create_counter("mgeo.ready", "{thing}").add(1)
    tracer.start_span("tokenize", attributes={"mgeo.pairs": "2", "mgeo.problem": "x"}).end()
    tracer.start_span("compute", attributes={"mgeo.batch.size": True}).end()
    tracer.start_span("guess").end()
    tracer.start_span("queue", kind=SpanKind.CLIENT).end()
    assert telemetry.shutdown(5)

    told = LiveCheck(collector, CURRENT).findings
    assert [one for one in told if one not in OF_LIBRARIES and "is missing" not in one] == [
        "client span queue: no such span",
        "compute: mgeo.batch.size is bool, not int",
        "internal span guess: no such span",
        "mgeo.made_up: no such metric",
        "mgeo.ready: its instrument is counter, not gauge",
        "mgeo.ready: its unit is {thing}, not {instance}",
        "mgeo.request: method has no value 'BREW'",
        "mgeo.request: no attribute code",
        "tokenize: mgeo.pairs is str, not int",
        "tokenize: no attribute mgeo.problem",
    ]
    assert "mgeo.request: status is missing" in told
    assert "compute: mgeo.device is missing" in told
