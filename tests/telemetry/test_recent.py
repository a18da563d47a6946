from __future__ import annotations

from opentelemetry.trace import SpanContext

from service.scoring.timeline import Timeline
from telemetry.recent import RecentRequests


def _finished() -> Timeline:
    timeline = Timeline()
    timeline.enter("compute")
    timeline.attributes["compute"] = {"mgeo.batch.size": 3, "address": "文三路478号"}
    timeline.finish()
    return timeline


def _span(trace_id: int, span_id: int = 1) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False)


def test_a_request_is_kept_with_its_stages_and_no_text_of_a_client() -> None:
    recent, timeline = RecentRequests(), _finished()
    recent.add(_span(7), "POST", "/predict", 200, timeline)
    [request] = recent.of_trace(7)
    assert (request.method, request.endpoint, request.status) == ("POST", "/predict", 200)
    assert [stage.name for stage in request.stages] == ["admit", "compute"]
    assert request.stages[0].start_ms == 0
    total = sum(stage.duration_ms for stage in request.stages)
    assert abs(total - timeline.seconds * 1e3) < 1e-6
    assert request.stages[1].start_ms == request.stages[0].duration_ms
    assert request.stages[1].attributes == {"mgeo.batch.size": 3}


def test_the_oldest_is_forgotten_first() -> None:
    recent = RecentRequests(capacity=3)
    for number in range(5):
        recent.add(_span(number), "POST", "/predict", 200, _finished())
    assert [bool(recent.of_trace(number)) for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_requests_of_one_trace_come_in_order() -> None:
    recent = RecentRequests()
    for span_id in (3, 1, 2):
        recent.add(_span(9, span_id), "POST", "/predict", 200, _finished())
    assert [request.span.span_id for request in recent.of_trace(9)] == [3, 1, 2]
