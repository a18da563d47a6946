"""`OTEL_CONFIG_FILE`: what it declares is done, and this project's parts are added to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from telemetry import environment
from telemetry.config_file import SdkConfiguration
from telemetry.environment import TelemetryError
from tests.conftest import logged_here
from tests.serving import Service, run
from tests.telemetry.collector import Collector
from tests.telemetry.exposition import Exposition

SAMPLE = Path(__file__).parents[2] / "deploy" / "otel-config.yaml"
REQUESTS = 3


@dataclass(frozen=True)
class Seen:
    """What a service made of a few requests."""

    scraped: Exposition
    lines: list[str]


def serve(**variables: str) -> Seen:
    with Service(**variables) as service:
        host, port = service.predictions
        for number in range(REQUESTS):
            body = {"address1": f"文三路{number}号", "address2": "文三路138号"}
            url = f"http://{host}:{port}/predict?from=杭州市西湖区"
            assert requests.post(url, json=body, timeout=30).status_code == 200
        seen = service.scrape()
        assert service.terminate() == 0
    return Seen(seen, service.lines)


def made(collector: Collector) -> dict[str, Any]:
    """What arrived, as far as it is the same for the same requests."""
    for_itself = "service.instance.id"
    return {
        "spans": Counter(span.name for span in collector.spans),
        "span attributes": {key for span in collector.spans for key in span.attributes},
        "metrics": {
            (name, metric.unit, frozenset(len(point.buckets) for point in metric.points))
            for name, metric in collector.metrics.items()
            # What the SDK says of itself is there as soon as it has something to say.
            if not name.startswith("otel.sdk.")
        },
        "lines": {log.logger for log in collector.logs},
        "resources": {
            frozenset((key, value) for key, value in one.resource.items() if key != for_itself)
            for one in (*collector.spans, *collector.logs, *collector.metrics.values())
        },
        "capacity": [
            p.value for p in collector.metrics["otel.sdk.processor.span.queue.capacity"].points
        ],
    }


@pytest.mark.slow
def test_the_sample_is_what_the_service_does_without_it(collector: Collector) -> None:
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": "team=x,deployment.environment.name=test"}
    by_file = serve(
        OTEL_CONFIG_FILE=str(SAMPLE),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        **attributes,
    )
    with Collector() as other:
        by_variables = serve(OTEL_EXPORTER_OTLP_ENDPOINT=other.endpoint, **attributes)
        declared, usual = made(collector), made(other)
    assert declared.pop("metrics") ^ usual.pop("metrics") == set()
    assert declared == usual
    assert "url.query" not in {key for span in collector.spans for key in span.attributes}
    differ = by_file.scraped.families.keys() ^ by_variables.scraped.families.keys()
    assert not [name for name in differ if not name.startswith("otel_sdk_")]
    assert by_file.scraped.exemplars()
    assert by_file.scraped.repeated() == []


def test_the_sample_has_our_defaults() -> None:
    file = yaml.safe_load(SAMPLE.read_text("utf-8"))
    [spans] = file["tracer_provider"]["processors"]
    [reader] = file["meter_provider"]["readers"]
    [lines] = file["logger_provider"]["processors"]
    read = environment.check({})
    exporters = [
        one["exporter"]["otlp_grpc"] for one in (spans["batch"], reader["periodic"], lines["batch"])
    ]
    assert [str(one["timeout"]) for one in exporters] == [
        environment.of_signal(read, signal, "TIMEOUT") for signal in environment.SIGNALS
    ]
    assert str(spans["batch"]["max_queue_size"]) == read["OTEL_BSP_MAX_QUEUE_SIZE"]
    assert str(reader["periodic"]["interval"]) == read["OTEL_METRIC_EXPORT_INTERVAL"]


@pytest.mark.slow
def test_what_is_declared_is_done(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(
        f"""
        file_format: "1.1"
        resource:
          attributes: [{{name: service.name, value: declared}}]
        propagator: {{composite: [{{b3: }}]}}
        tracer_provider:
          sampler: {{always_on: }}
          limits: {{attribute_count_limit: 128}}
          processors:
            - simple: {{exporter: {{console: }}}}
            - batch:
                exporter:
                  otlp_http:
                    endpoint: {collector.http_endpoint}/v1/traces
                    compression: gzip
                    headers: [{{name: X-Key, value: secret}}]
        meter_provider:
          exemplar_filter: always_off
          readers: [{{periodic: {{interval: 3600000, exporter: {{console: }}}}}}]
          views:
            - selector: {{instrument_name: mgeo.ready}}
              stream: {{aggregation: {{drop: }}}}
        """
    )
    seen = serve(OTEL_CONFIG_FILE=str(file), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    assert Counter(span.name for span in collector.spans)["POST /predict"] == REQUESTS
    assert {span.resource["service.name"] for span in collector.spans} == {"declared"}
    assert collector.headers["x-key"] == "secret"
    assert collector.encodings == {"gzip"}
    assert (collector.logs, collector.metrics) == ([], {})
    assert seen.scraped.exemplars() == []
    assert "mgeo_ready" not in seen.scraped.families
    assert seen.scraped.total("mgeo_request_total") == REQUESTS
    printed = "\n".join(line for line in seen.lines if not line.startswith('{"time"'))
    assert '"name": "POST /predict"' in printed
    assert "西湖" not in printed
    assert "url.path" not in printed


@pytest.mark.slow
def test_disabled_is_disabled(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text('file_format: "1.1"\ndisabled: true\n')
    seen = serve(OTEL_CONFIG_FILE=str(file), OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)

    assert collector.calls == 0
    assert seen.scraped.samples == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file_format: [", "Failed to parse YAML"),
        ("", "file"),
        ("- 1", "file"),
        ('file_format: "9.0"', "file_format"),
        ('file_format: "1.1"\ntracer_provider: {processors: 1}', "processors"),
        ('file_format: "1.1"\nnonsense:\n  - {a: 1}\nresource: 5', "resource"),
    ],
)
def test_a_file_that_cannot_be_honoured_is_refused_in_one_line(
    tmp_path: Path, text: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(text)
    with pytest.raises(TelemetryError) as refused:
        SdkConfiguration(str(file), {}, "")

    message = str(refused.value)
    assert message.startswith(f"OTEL_CONFIG_FILE={str(file)!r}: ")
    assert says in message
    assert "\n" not in message
    assert logged_here(caplog) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "tracer_provider: {sampler: {mine: }, processors: [{simple: {exporter: {console: }}}]}",
            "mine",
        ),
        ("tracer_provider: {processors: [{batch: {exporter: {mine: }}}]}", "mine"),
        ("tracer_provider: {processors: [{mine: }]}", "use batch or simple"),
        ("propagator: {composite: [{mine: }]}", "mine"),
        ("meter_provider: {readers: [{periodic: {exporter: {mine: }}}]}", "mine"),
        (
            "meter_provider: {readers: [{periodic: {exporter: {otlp_grpc: "
            "{endpoint: 'https://127.0.0.1:9', tls: {ca_file: /no/such}}}}}]}",
            "'/no/such'",
        ),
    ],
)
def test_what_is_not_there_stops_the_start(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(f'file_format: "1.1"\n{text}\n')
    refused = run("serve", "--port", "0", "--metrics-port", "0", OTEL_CONFIG_FILE=str(file))

    assert refused.returncode == 2
    line = refused.stderr.splitlines()[-1]
    assert line.startswith(f"mgeo: error: OTEL_CONFIG_FILE={str(file)!r}: ")
    assert says in line
    assert "Traceback" not in refused.stderr
