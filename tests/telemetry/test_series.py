"""Series of models that are gone: they end wherever metrics leave the process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry.setup import Telemetry
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start
from tests.telemetry.exposition import scrape


def record(telemetry: Telemetry, version: str) -> None:
    """What a version that loads and answers leaves: counters and histograms."""
    instruments = telemetry.instruments
    instruments.loaded(version, ["exact_match", "not_match"], ["0.5", "1.0"])
    instruments.compares(version, "other", ["exact_match", "not_match"])
    instruments.batch_size.record(3, {"model_version": version})
    instruments.stage_duration.record(0.1, {"stage": "compute", "model_version": version})
    instruments.shadow_shift.record(0.1, {"model_version": "other", "against": version})


def of_scrape(telemetry: Telemetry, version: str) -> set[str]:
    return {s.name for s in scrape(telemetry).samples if version in s.labels.values()}


def of_collector(collector: Collector, version: str) -> set[str]:
    return {
        name
        for name, metric in collector.metrics.items()
        if any(version in point.attributes.values() for point in metric.points)
    }


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_they_end_on_metrics_and_over_otlp(
    collector: Collector, start: Start, protocol: str
) -> None:
    endpoint = collector.endpoint if protocol == "grpc" else collector.http_endpoint
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    there = {"one", "other"}
    telemetry.series.versions = lambda: there
    record(telemetry, "one")
    record(telemetry, "other")
    assert telemetry.meter_provider.force_flush()
    before = of_scrape(telemetry, "one"), of_collector(collector, "one")
    assert "mgeo_batch_size_bucket" in before[0]
    assert {"mgeo.batch.size", "mgeo.shadow.shift", "mgeo.prediction"} <= before[1]

    there.remove("one")
    collector.requests.clear()
    assert telemetry.meter_provider.force_flush()
    assert (of_scrape(telemetry, "one"), of_collector(collector, "one")) == (set(), set())
    kept = {"mgeo.batch.size", "mgeo.request.stage.duration", "mgeo.prediction"}
    assert kept <= of_collector(collector, "other")
    assert scrape(telemetry).repeated() == []
    assert "mgeo_input_truncated_total" in {s.name for s in scrape(telemetry).samples}


def test_one_that_comes_back_goes_on_counting(start: Start) -> None:
    telemetry = start()
    there = {"one"}
    telemetry.series.versions = lambda: there
    record(telemetry, "one")
    labels = {"stage": "compute", "model_version": "one"}
    there.clear()
    assert scrape(telemetry).get("mgeo_request_stage_duration_seconds_count", **labels) is None
    there.add("one")
    record(telemetry, "one")
    assert scrape(telemetry).value("mgeo_request_stage_duration_seconds_count", **labels) == 2
    assert scrape(telemetry).repeated() == []


def test_without_a_word_of_models_all_of_them_are_there(start: Start) -> None:
    telemetry = start()
    record(telemetry, "one")
    assert of_scrape(telemetry, "one")


DECLARED = """
file_format: "1.1"
meter_provider:
  readers:
    - periodic:
        interval: 3600000
        exporter:
          {exporter}
"""

PROGRAM = """
import sys
from telemetry import setup
telemetry = setup.start(service_version="1", instance_id="here")
there = {"one", "other"}
telemetry.series.versions = lambda: there
for version in ("one", "other"):
    telemetry.instruments.batch_size.record(3, {"model_version": version})
there.remove("one")
assert telemetry.shutdown(5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["otlp_grpc", "otlp_http", "delta", "console"])
def test_they_end_where_a_configuration_file_declares_the_exporter(
    collector: Collector, tmp_path: Path, exporter: str
) -> None:
    said: dict[str, Callable[[], str]] = {
        "otlp_grpc": lambda: f"otlp_grpc: {{endpoint: {collector.endpoint}}}",
        "otlp_http": lambda: f"otlp_http: {{endpoint: {collector.http_endpoint}/v1/metrics}}",
        "delta": lambda: (
            f"otlp_grpc: {{endpoint: {collector.endpoint}, temporality_preference: delta}}"
        ),
        "console": lambda: "console: {}",
    }
    file = tmp_path / "otel.yaml"
    file.write_text(DECLARED.format(exporter=said[exporter]()))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"OTEL_CONFIG_FILE": str(file), "PATH": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if exporter == "console":
        assert '"other"' in done.stdout
        assert '"one"' not in done.stdout
    else:
        assert "mgeo.batch.size" in of_collector(collector, "other")
        assert of_collector(collector, "one") == set()
