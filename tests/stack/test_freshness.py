"""How long after a request its sample is in Prometheus and its trace in Jaeger."""

from __future__ import annotations

import json
import random
import statistics
import time
import urllib.request

import pytest

from tests.stack.clients import Jaeger, Prometheus
from tests.stack.conftest import Traffic
from tests.waiting import RunningClock
from tools.load import pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

REQUESTS = 30
PAUSE_SECONDS = 1.7
"""Together 51 s: the requests fall on every part of the 15 s export and scrape intervals."""

SAMPLE_WITHIN_SECONDS = 15 + 15 + 5
"""An export interval, a scrape interval, and the time of both."""

TRACE_WITHIN_SECONDS = 5 + 5
"""The SDK's batch delay, and the time to send and store."""


def _ask(url: str, source: random.Random) -> str:
    """Sends one request; the id of its trace, as the answer's header gives it."""
    request = urllib.request.Request(
        url, json.dumps(pair(source)).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        trace_id: str = answer.headers["traceparent"].split("-")[1]
        return trace_id


def test_samples_and_traces_are_there_in_time(
    prometheus: Prometheus,
    jaeger: Jaeger,
    predict_url: str,
    traffic: Traffic,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = random.Random()  # pairs that the cache does not know: their traces have all stages
    counted = 'mgeo_request_total{status="200", endpoint="/predict"}'
    clock = RunningClock()
    clock.sleep(SAMPLE_WITHIN_SECONDS)  # earlier requests' samples are in
    before = prometheus.value(counted)
    sent: list[float] = []
    sample_after: list[float] = []
    trace_after: list[float] = []
    waiting: dict[str, float] = {}
    deadline = clock.seconds() + REQUESTS * PAUSE_SECONDS + SAMPLE_WITHIN_SECONDS + 30
    while clock.seconds() < deadline:
        if len(sent) < REQUESTS and (not sent or clock.seconds() - sent[-1] >= PAUSE_SECONDS):
            trace_id = _ask(predict_url, source)
            sent.append(clock.seconds())
            waiting[trace_id] = sent[-1]
        arrived = int(prometheus.value(counted) - before)
        now = clock.seconds()
        sample_after += [now - sent[k] for k in range(len(sample_after), arrived)]
        for trace_id in [t for t in waiting if len(jaeger.trace(t)) >= 6]:
            trace_after.append(now - waiting.pop(trace_id))
        if len(sample_after) == len(trace_after) == REQUESTS:
            break
        time.sleep(0.1)
    assert len(sample_after) == REQUESTS
    assert len(trace_after) == REQUESTS
    with capsys.disabled():
        for what, seconds in (("sample in Prometheus", sample_after), ("trace", trace_after)):
            print(
                f"\n{what} after: median {statistics.median(seconds):.1f} s, "
                f"worst {max(seconds):.1f} s ({REQUESTS} requests)"
            )
    assert max(sample_after) <= SAMPLE_WITHIN_SECONDS
    assert max(trace_after) <= TRACE_WITHIN_SECONDS
