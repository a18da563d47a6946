"""Other people's parts attach as they do to any program: agents, distributions, span processors."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
import requests
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from typing_extensions import override

from tests.conftest import eventually
from tests.serving import Service
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start
from tests.telemetry.test_measure import app_of

PAIR = {"address1": "文三路138号", "address2": "文三路139号"}
SPANS = {"POST /predict", "batch", "admit", "tokenize", "queue", "compute", "respond"}


class Agent(Service):
    command = (str(Path(sys.executable).with_name("opentelemetry-instrument")), *Service.command)


def predict(service: Service, times: int = 3) -> None:
    host, port = service.predictions
    for number in range(times):
        body = {**PAIR, "address1": f"文三路{number}号"}
        answer = requests.post(f"http://{host}:{port}/predict", json=body, timeout=30)
        assert answer.status_code == 200
        assert requests.get(f"http://{host}:{port}/healthz", timeout=30).status_code == 200


def check_spans(collector: Collector, times: int = 3) -> None:
    assert Counter(span.name for span in collector.spans) == dict.fromkeys(SPANS, times)
    assert not any("url.path" in span.attributes for span in collector.spans)
    assert {span.resource["service.name"] for span in collector.spans} == {"mgeo-inference"}


@pytest.mark.slow
def test_under_opentelemetry_instrument_every_request_is_traced_once(collector: Collector) -> None:
    with Agent(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        predict(service)
        timed = "http_server_request_duration_seconds_count"
        # It is timed once its answer is sent.
        seen = eventually(lambda: (page := service.scrape()).total(timed) >= 3 and page)
        assert service.terminate() == 0

    check_spans(collector)
    assert seen.repeated() == []
    assert "process_cpu_time_seconds" in seen.families
    assert seen.total(timed) == 3


@pytest.mark.slow
def test_under_a_distribution_every_request_is_traced_once(
    collector: Collector, tmp_path: Path
) -> None:
    # What opentelemetry-distro does: an SDK of its own, by the same variables.
    (tmp_path / "distribution.py").write_text(
        textwrap.dedent(
            """
            from opentelemetry.sdk._configuration import _OTelSDKConfigurator

            class Configurator(_OTelSDKConfigurator):
                pass
            """
        )
    )
    metadata = tmp_path / "distribution-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: distribution\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[opentelemetry_configurator]\nconfigurator = distribution:Configurator\n"
    )
    variables = {"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(tmp_path)}
    with Agent(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **variables) as service:
        predict(service)
        assert service.terminate() == 0

    check_spans(collector)


@pytest.mark.slow
def test_a_processor_that_was_there_before_sees_every_span(
    collector: Collector, tmp_path: Path
) -> None:
    profiled = tmp_path / "profiled.py"
    profiled.write_text(
        textwrap.dedent(
            f"""
            import sys

            sys.path.insert(0, {str(Path(__file__).parents[2])!r})

            from opentelemetry import trace
            from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

            class Profiler(SpanProcessor):
                def on_start(self, span, parent_context=None):
                    print(f"start {{span.name}}\\n", end="", flush=True)

                def on_end(self, span):
                    print(f"end {{span.name}}\\n", end="", flush=True)

            provider = TracerProvider()
            provider.add_span_processor(Profiler())
            trace.set_tracer_provider(provider)

            from service.__main__ import main

            sys.exit(main())
            """
        )
    )

    class Profiled(Service):
        command = (sys.executable, str(profiled), "serve")

    with Profiled(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        predict(service)
        assert service.terminate() == 0

    check_spans(collector)
    seen = Counter(service.not_log())
    assert seen == {f"{when} {name}": 3 for name in SPANS for when in ("start", "end")}


class Foreign(SpanProcessor):
    def __init__(self) -> None:
        self.started: list[Span] = []
        self.ended: list[ReadableSpan] = []

    @override
    def on_start(self, span: Span, parent_context: object = None) -> None:
        self.started.append(span)

    @override
    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def test_a_processor_added_later_sees_start_and_end_of_every_span(start: Start) -> None:
    telemetry = start(OTEL_TRACES_SAMPLER="always_on")
    foreign = Foreign()
    telemetry.tracer_provider.add_span_processor(foreign)
    app_of(telemetry).test_client().post("/predict").close()
    assert telemetry.shutdown(5)

    names = ["POST /predict", "admit"]
    assert [span.name for span in foreign.started] == names
    assert [span.name for span in foreign.ended] == names
    server, admit = foreign.ended
    assert admit.parent is not None
    assert admit.parent.span_id == server.context.span_id


def test_the_provider_is_the_global_one_unless_there_was_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: preset)
    assert start().tracer_provider is preset
