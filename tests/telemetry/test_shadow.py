"""What a trace tells of a shadow: in the request's own, after its answer, without addresses."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.models import declare, variant
from tests.serving import Service
from tests.telemetry.collector import Collector

pytestmark = pytest.mark.slow

FIRST, SECOND = "紫萱路363号", "紫萱路363号市人社局"


def test_a_shadow_is_in_the_trace_of_the_request_that_it_copies(tmp_path: Path) -> None:
    worse = variant(tmp_path / "worse" / "tiny", noise=1)
    file = declare(
        tmp_path / "models.json",
        {"name": "a", "source": str(TINY), "weight": 1},
        {"name": "worse", "source": str(worse), "role": "shadow"},
    )
    flags = ("--model", "bundled", "--models-file", str(file))
    with Collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        with Service(*flags, **variables) as service:
            connection = HTTPConnection(*service.predictions, timeout=30)
            body = json.dumps({"address1": FIRST, "address2": SECOND})
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            trace_id = answer.headers["traceparent"].split("-")[1]
            answered = json.loads(answer.read())["model"]["version"]
            connection.close()
            listed = json.loads(service.get(service.operations, "/models")[1])["models"]
            collector.wait_for(lambda c: any(span.name == "shadow" for span in c.spans))
            assert service.terminate() == 0
        spans = {span.name: span for span in collector.spans if span.name != "batch"}
        shadow, server = spans["shadow"], spans["POST /predict"]
        assert shadow.trace_id == server.trace_id == trace_id
        assert shadow.parent_id == server.span_id
        assert shadow.linked == [server.span_id]
        assert shadow.start_ns >= spans["compute"].end_ns
        version = {one["name"]: one["version"] for one in listed}
        assert answered == version["a"] == spans["compute"].attributes["mgeo.model_version"]
        assert shadow.attributes.pop("mgeo.shadow.agreed") in (0, 1)
        assert shadow.attributes == {"mgeo.model_version": version["worse"], "mgeo.pairs": 1}
        batches = [span for span in collector.spans if span.name == "batch"]
        told = {span.attributes["mgeo.model_version"]: span.trace_id for span in batches}
        assert told == {version["a"]: trace_id, version["worse"]: trace_id}
        for address in (FIRST, SECOND):
            assert address.encode() not in collector.wire()
