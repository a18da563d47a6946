"""Telemetry hurts nobody: predictions go on whatever happens to it, and what is lost is counted."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.faults.clock import Clock
from tests.serving import Service
from tests.telemetry.collector import Collector
from tests.telemetry.exposition import Exposition

pytestmark = pytest.mark.slow

REQUESTS = 60


def _predict(connection: HTTPConnection, number: int) -> None:
    body = json.dumps({"address1": f"文三路{number}号", "address2": "文三路138号"})
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200


def _lost(seen: Exposition, item: str) -> float:
    return sum(
        sample.value
        for sample in seen.samples
        if sample.name.startswith("otel_sdk_")
        and sample.name.endswith(f"_{item}_exported_total")
        and sample.labels.get("error_type")
    )


@pytest.mark.parametrize("state", ["dead", "hanging", "refusing"])
def test_a_sick_collector_costs_no_prediction_and_the_loss_is_counted(state: str) -> None:
    with Collector(mode="hang" if state == "hanging" else "refuse") as collector:
        endpoint = "http://127.0.0.1:9" if state == "dead" else collector.endpoint
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        with Service(**variables) as service:
            with closing(HTTPConnection(*service.predictions, timeout=30)) as connection:
                for number in range(REQUESTS):
                    _predict(connection, number)

            def all_lost() -> bool:
                return _lost(service.scrape(), "span") >= 6 * REQUESTS

            eventually(all_lost, 30)
            assert _lost(service.scrape(), "log") > 0
            assert service.scrape().value("mgeo_request_total", **_OK) == REQUESTS
            assert service.terminate() == 0


_OK = {"method": "POST", "endpoint": "/predict", "status": "200"}


def test_a_step_of_the_wall_clock_bends_no_duration_and_stops_no_export(
    collector: Collector, tmp_path: Path
) -> None:
    clock = Clock(tmp_path)
    began = time.monotonic()
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, **clock.variables}
    with (
        Service("--receive-timeout", "60", **variables) as service,
        closing(HTTPConnection(*service.predictions, timeout=30)) as connection,
    ):
        numbers = itertools.count()
        for offset in (0, 86_400, -86_400, 3600):
            clock.set(offset)
            _predict(connection, next(numbers))
            sock = connection.sock
            time.sleep(1.2)  # the server looks for silent connections once a second
            for _ in range(9):
                _predict(connection, next(numbers))
            assert connection.sock is sock
        # Counted once the response is closed, which may be after the client has it.
        eventually(lambda: service.scrape().value("mgeo_request_total", **_OK) == 40)
        seconds = time.monotonic() - began
        seen = service.scrape()
        assert 0 < seen.total("mgeo_request_duration_seconds_sum") < seconds
        assert 0 < seen.total("mgeo_batch_duration_seconds_sum") < seconds
        assert seen.value("mgeo_engine_last_progress_age_seconds") == 0
        assert service.terminate() == 0
    stages = [span for span in collector.spans if span.name == "compute"]
    assert len(stages) == 40
    # The clock was really moved, and is what spans are dated by.
    assert max(s.start_ns for s in stages) - min(s.start_ns for s in stages) > 170_000 * 10**9
    assert all(0 <= span.end_ns - span.start_ns < seconds * 1e9 for span in stages)
