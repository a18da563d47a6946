"""The service under load: what it counts, traces and logs is what its clients saw."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import pairwise

import pytest

from service.scoring.timeline import STAGES
from tests.serving import Address, Service
from tests.telemetry.collector import Collector, Span
from tests.telemetry.exposition import Exposition
from tests.waiting import RunningClock, Stopwatch

REQUESTS, CLIENTS = 2000, 16

DISTINCT = 170
"""So few that pairs come again, and again while the first is still being computed."""

Body = Callable[[dict[str, str]], object]

# method, path, JSON body, endpoint label, expected status
MIX: list[tuple[str, str, Body | None, str, int]] = [
    *[("POST", "/predict", lambda pair: pair, "/predict", 200)] * 5,
    ("POST", "/predict", lambda pair: {"address1": pair["address1"]}, "/predict", 400),
    ("POST", "/predict", lambda pair: float("nan"), "/predict", 400),
    *[
        ("POST", "/predict/batch", lambda pair: {"pairs": [pair, {}, pair]}, "/predict/batch", 200)
    ] * 2,
    ("GET", "/nowhere", None, "unmatched", 404),
]  # fmt: skip


def pair(number: int) -> dict[str, str]:
    house = 1 + number % DISTINCT
    return {"address1": f"浙江省杭州市西湖区文三路{house}号", "address2": f"杭州文三路{house}号"}


Key = tuple[str, str, str]

pytestmark = pytest.mark.slow


def client(address: Address, requests: range) -> tuple[Counter[Key], float]:
    """Sends its share over one connection; what it saw, and how long it waited in all."""
    seen: Counter[Key] = Counter()
    waited = 0.0
    connection = HTTPConnection(*address, timeout=60)
    for number in requests:
        method, path, make, endpoint, expected = MIX[number % len(MIX)]
        body = json.dumps(make(pair(number // len(MIX)))).encode() if make else None
        headers = {"Content-Type": "application/json"} if body else {}
        began = time.perf_counter()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        waited += time.perf_counter() - began
        assert response.status == expected
        seen[method, endpoint, str(response.status)] += 1
    connection.close()
    return seen, waited


def quiet(service: Service) -> Exposition:
    """A scrape after the last request was counted, which is after its answer was sent.

    That it was sampled is the last thing that is counted of a request.
    """
    clock = RunningClock()
    while True:
        seen = service.scrape()
        if seen.total("mgeo_request_sampled_total") >= REQUESTS:
            return seen
        assert clock.seconds() < 60, seen.text
        time.sleep(0.05)


def by_trace(spans: list[Span]) -> dict[str, list[Span]]:
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        traces[span.trace_id].append(span)
    return traces


def test_every_count_agrees_and_every_exemplar_resolves(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    with Service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            shares = [range(first, REQUESTS, CLIENTS) for first in range(CLIENTS)]
            results = list(pool.map(lambda share: client(service.predictions, share), shares))
        seconds = time.perf_counter() - began
        scraped = quiet(service)
        code = service.terminate()
        log = service.log()
    sent = sum((seen for seen, _ in results), Counter[Key]())
    waited = sum(waited for _, waited in results)
    assert code == 0
    assert sent.total() == REQUESTS
    problems = [line for line in log if line["level"] in ("warning", "error", "critical")]
    assert problems == []

    check_scraped_counts(scraped, sent)
    check_pushed_counts(collector, sent)
    duration = check_stage_sums(scraped)
    assert duration < waited
    traces = by_trace(collector.spans)
    assert len(traces) == REQUESTS
    traced = sum(check_tiling(spans) for spans in traces.values())
    check_batches(collector.spans, scraped)
    assert math.isclose(traced, duration, rel_tol=1e-9)
    exemplars = check_exemplars(scraped, collector)
    lines = {line["trace_id"] for line in log if line["logger"] == "mgeo.request"}
    pushed = {record.trace_id for record in collector.logs if record.logger == "mgeo.request"}
    assert lines == pushed == traces.keys()
    summary = (
        f"{REQUESTS} requests at concurrency {CLIENTS} in {seconds:.1f} s "
        f"({REQUESTS / seconds:.0f}/s): counted {sent.total()} by clients, on /metrics and by "
        f"OTLP; {len(traces)} traces, {len(collector.spans)} spans; {exemplars} exemplars, "
        f"all exported; {len(lines)} log lines with their trace; stages {duration:.3f} s in sum"
    )
    with capsys.disabled():
        print(f"\n{summary}")


def check_scraped_counts(scraped: Exposition, sent: Counter[Key]) -> None:
    counted = {
        (s.labels["method"], s.labels["endpoint"], s.labels["status"]): int(s.value)
        for s in scraped.samples
        if s.name == "mgeo_request_total" and s.value
    }
    assert counted == dict(sent)
    assert scraped.repeated() == []
    for endpoint in {endpoint for _, endpoint, _ in sent}:
        of_endpoint = sum(n for (_, where, _), n in sent.items() if where == endpoint)
        count = scraped.total("mgeo_request_duration_seconds_count", endpoint=endpoint)
        assert count == of_endpoint
    by_conventions = {
        (
            s.labels["http_request_method"],
            s.labels["http_route"] or "unmatched",
            s.labels["http_response_status_code"],
        ): int(s.value)
        for s in scraped.samples
        if s.name == "http_server_request_duration_seconds_count"
    }
    assert by_conventions == dict(sent)
    assert scraped.total("mgeo_request_sampled_total") == sent.total()
    assert scraped.total("http_server_active_requests") == 0
    good = sent["POST", "/predict", "200"] + 2 * sent["POST", "/predict/batch", "200"]
    assert scraped.total("mgeo_prediction_total") == good
    asked = {
        result: scraped.value("mgeo_cache_lookup_total", result=result)
        for result in ("hit", "coalesced", "miss")
    }
    assert sum(asked.values()) == good
    # Each pair once, however often and however close together it was asked for.
    assert asked["miss"] == scraped.total("mgeo_batch_size_sum") == DISTINCT
    assert scraped.value("mgeo_cache_size") == DISTINCT
    assert asked["coalesced"] > 0


def check_pushed_counts(collector: Collector, sent: Counter[Key]) -> None:
    metrics = collector.metrics
    counted = {
        (p.attributes["method"], p.attributes["endpoint"], p.attributes["status"]): p.value
        for p in metrics["mgeo.request"].points
        if p.value
    }
    assert counted == dict(sent)
    assert sum(p.count for p in metrics["mgeo.request.duration"].points) == sent.total()
    assert [p.value for p in metrics["mgeo.requests.inprogress"].points] == [0]


def check_stage_sums(scraped: Exposition) -> float:
    duration = scraped.total("mgeo_request_duration_seconds_sum")
    stages = scraped.total("mgeo_request_stage_duration_seconds_sum")
    assert math.isclose(stages, duration, rel_tol=1e-9)
    return duration


def check_tiling(spans: list[Span]) -> float:
    """Seconds of one request; its stages follow one another within their server span."""
    [server] = [span for span in spans if not span.parent_id]
    stages = sorted(
        (span for span in spans if span.name in STAGES), key=lambda s: (s.start_ns, s.end_ns)
    )
    assert {stage.parent_id for stage in stages} == {server.span_id}
    assert stages[0].name == "admit"
    for before, after in pairwise(stages):
        assert before.end_ns == after.start_ns
    # Two readings of the wall clock apart: the span's own and the timeline's.
    slack = 1_000_000
    assert server.start_ns - slack <= stages[0].start_ns
    assert stages[-1].end_ns <= server.end_ns + slack
    return (stages[-1].end_ns - stages[0].start_ns) / 1e9


def check_batches(spans: list[Span], scraped: Exposition) -> None:
    """Each batch links to the requests in it, and the compute stage of each of them back to it."""
    batches = {span.span_id: span for span in spans if span.name == "batch"}
    assert len(batches) == scraped.total("mgeo_batch_size_count")
    assert sum(int(batch.attributes["mgeo.batch.size"]) for batch in batches.values()) == (
        scraped.total("mgeo_batch_size_sum")
    )
    lanes = {
        (b.attributes["mgeo.batch.lane"], b.attributes["mgeo.batch.cut"]) for b in batches.values()
    }
    assert ("interactive", "none") in lanes
    assert {cut for _, cut in lanes} <= {"none", "budget"}
    computes = [span for span in spans if span.name == "compute"]
    assert computes
    forward = {(batch, request) for batch, span in batches.items() for request in span.linked}
    backward = {(batch, span.parent_id) for span in computes for batch in span.linked}
    assert forward == backward


def check_exemplars(scraped: Exposition, collector: Collector) -> int:
    exported = {(span.trace_id, span.span_id) for span in collector.spans}
    found = [sample.exemplar.labels for sample in scraped.exemplars()]
    pushed = {
        (trace_id, span_id)
        for metric in collector.metrics.values()
        for point in metric.points
        for trace_id, span_id, _ in point.exemplars
    }
    assert found
    assert {(labels["trace_id"], labels["span_id"]) for labels in found} <= exported
    assert pushed <= exported
    families = {sample.name for sample in scraped.exemplars()}
    assert families == {
        "http_server_request_duration_seconds_bucket",
        "mgeo_request_duration_seconds_bucket",
        "mgeo_request_stage_duration_seconds_bucket",
    }
    return len(found)


def test_a_collector_that_hangs_does_not_keep_the_service_from_ending() -> None:
    with (
        Collector(mode="hang") as collector,
        Service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service,
    ):
        client(service.predictions, range(50))
        with Stopwatch() as watch:
            code = service.terminate()

    assert code == 0
    assert watch.seconds < 12
