"""What is lost when a part of the stack goes away under load, and what is not."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stack import logs
from tests.stack.clients import Jaeger, Prometheus, eventually, exposed, spans
from tests.stack.conftest import prepare
from tests.stack.test_chain import SPANS
from tools import native
from tools.load import LoadSummary, run
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

OUTAGE_SECONDS = float(os.environ.get("STACK_OUTAGE_SECONDS", "20"))
"""How long Jaeger is away. The closing measurement is made with 60."""

RATE = 20.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own: what is lost here must not be missed by other tests."""
    only = ["mgeo", "otel-collector", "prometheus", "jaeger", native.log_store()]
    with prepare(tmp_path_factory.mktemp("outages"), {}, only) as running:
        running.start()
        yield running


@contextmanager
def load_for(url: str, seconds: float) -> Iterator[LoadSummary]:
    """Sends requests at an even pace in the background; the result is whole after the block."""
    result = LoadSummary()

    def send() -> None:
        done = run(
            url, requests=int(RATE * seconds), concurrency=8, rate=RATE, seconds=seconds + 200
        )
        result.statuses.update(done.statuses)
        result.seconds.extend(done.seconds)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield result
    thread.join(timeout=seconds + 260)
    assert not thread.is_alive()


def _complete_since(jaeger: Jaeger, started: float) -> int:
    """How many requests' traces that began after `started` are whole."""
    names: dict[str, set[str]] = defaultdict(set)
    for span in spans(jaeger.search("mgeo-inference", limit=20000, since=started)):
        names[span.trace_id].add(span.name)
    return sum(found >= SPANS for found in names.values())


def _all_complete(jaeger: Jaeger, started: float, sent: LoadSummary) -> int:
    """The number of complete traces, once there is one for each answered request."""
    return eventually(
        "all traces in Jaeger",
        lambda: _complete_since(jaeger, started),
        lambda found: found >= sent.answered,
        seconds=180,
    )


def _logged_since(log_store: logs.LogStore, started: float) -> int:
    """How many requests that began after `started` have a log line."""
    lines = log_store.lines("mgeo-inference", scope="mgeo.request")
    return len({line.fields["trace_id"] for line in lines if line.seconds >= started})


def test_jaeger_away_under_load_loses_no_span(
    stack: Stack,
    prometheus: Prometheus,
    jaeger: Jaeger,
    predict_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = stack.process("jaeger")
    started = time.time()
    with load_for(predict_url, seconds=OUTAGE_SECONDS + 15) as result:
        time.sleep(5)
        process.kill()
        time.sleep(OUTAGE_SECONDS)
        waiting = prometheus.value('otelcol_exporter_queue_size{exporter="otlp_http/jaeger"}')
        process.start()
        process.wait_healthy(60)
    complete = _all_complete(jaeger, started, result)
    with capsys.disabled():
        print(
            f"\nJaeger away for {OUTAGE_SECONDS:.0f} s: {result.answered} requests, "
            f"{complete} complete traces, "
            f"{waiting:.0f} items waited on disk at the last scrape"
        )
    assert result.statuses == {200: result.answered}
    assert complete == result.answered
    # What is tried again is not lost: the alert MgeoCollectorExportFailing must not page for it.
    lost = "otelcol_exporter_(send|enqueue)_failed_(spans|metric_points|log_records)_total"
    assert prometheus.value(f'sum({{__name__=~"{lost}"}})') == 0


def test_killed_collector_costs_no_prediction_no_count_and_no_trace(
    stack: Stack,
    prometheus: Prometheus,
    jaeger: Jaeger,
    log_store: logs.LogStore,
    predict_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = stack.process("otel-collector")
    page = stack.url("mgeo", 8000, "/metrics")
    before = exposed(page, "mgeo_request_total")
    started = time.time()
    with load_for(predict_url, seconds=50) as result:
        time.sleep(15)
        killed = time.time()
        process.kill()
        time.sleep(10)
        process.start()
        process.wait_healthy(60)
        back = time.time()
    assert result.statuses == {200: int(RATE * 50)}, "a prediction was lost"
    # Metrics are cumulative: the next export after the gap holds all of it.
    counted = eventually(
        "every request counted",
        lambda: prometheus.value("mgeo_request_total") - before,
        lambda value: value >= result.answered,
        seconds=60,
    )
    assert counted == result.answered == exposed(page, "mgeo_request_total") - before
    # Spans wait in the SDK while nobody listens, and on the Collector's disk once it has them.
    complete = _all_complete(jaeger, started, result)
    with capsys.disabled():
        print(
            f"\nCollector away for {back - killed:.0f} s: {result.answered} predictions, all "
            f"answered, {counted:.0f} counted; {complete} of their traces are complete"
        )
    assert complete == result.answered
    # One line a request; sent again after the kill, one may be there twice, none may be missing.
    eventually(
        "all log lines in the store",
        lambda: _logged_since(log_store, started),
        lambda requests: requests == result.answered,
        seconds=60,
    )
