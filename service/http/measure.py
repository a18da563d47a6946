"""Counts, times and traces every request of the prediction listener.

Metrics and stage spans are made once the server has sent the response: telemetry costs the client
no latency, and an answer that a client did not wait for is not counted as one.
"""

from __future__ import annotations

import logging
import os
import re

from flask import Flask, Response, g, request
from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.trace import SpanContext, get_current_span

from service.errors import ClientGone, RequestError
from service.http import request_context, statuses
from service.scoring.timeline import Timeline
from telemetry.recent import RecentRequests
from telemetry.setup import Telemetry
from telemetry.spans import ArrivalTracerProvider, emit_stages

log = logging.getLogger("mgeo.request")

HEALTH = (
    "/healthz",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/<name>/ready",
    "/v2/models/<name>/versions/<version>/ready",
)
"""Routes that are not measured: fast probes would hide slow and failing predictions."""

SCORING = (
    "/predict",
    "/predict/batch",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/match",
    "/v2/models/<name>/infer",
    "/v2/models/<name>/versions/<version>/infer",
)
"""Routes whose requests may be refused for load before a thread takes them. Their series exist from
the start, at 0, so that rate() sees the first increment."""


def _paths(*rules: str) -> re.Pattern[str]:
    return re.compile("|".join(re.sub("<[a-z]+>", "[^/?]+", rule) for rule in rules))


_HEALTH_PATH = _paths(*HEALTH)
_SCORING_PATHS = {rule: _paths(rule) for rule in SCORING}

# Of the whole URL, and of nothing that a client can put behind its path. One expression, which the
# instrumentation searches three times a request: five in a row take 4 microseconds more each time.
_HEALTH_URL = rf"^[a-z]+://[^/?#]*(?:{_HEALTH_PATH.pattern})(?:[?#]|$)"

UNMATCHED = "unmatched"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER_METHOD = "_OTHER"


def measure_requests(app: Flask, telemetry: Telemetry, recent: RecentRequests) -> None:
    """Instrument `app`: a server span per request, its stages, and the request metrics.

    Call before anything else registers on the app, so that the clock starts first.

    Args:
        app: The application of the prediction listener.
        telemetry: Where to.
        recent: Told of each POST before its answer is sent, so that a client finds its own.
    """
    instruments = telemetry.instruments
    for endpoint in SCORING:
        for status in ("200", "400", "429", "500", "503", "504"):
            instruments.request.add(0, {"method": "POST", "endpoint": endpoint, "status": status})
    for problem in RequestError.__subclasses__():
        instruments.request_problem.add(0, {"problem": problem.code})

    @app.before_request
    def begin() -> None:
        # By its path: a wrong method on a probe's route has no rule.
        if not _HEALTH_PATH.fullmatch(request.path):
            # The wait for a thread is the service's time, and the request's first stage.
            g.timeline = Timeline(request.environ.get(request_context.ARRIVED))
            instruments.requests_inprogress.add(1)

    @app.after_request
    def finish(response: Response) -> Response:
        timeline: Timeline | None = g.get("timeline")
        if timeline is not None:
            timeline.finish()
            response.headers.add("Server-Timing", timeline.server_timing())
            span = get_current_span().get_span_context()
            environ = request.environ
            method, endpoint = known_method(environ["REQUEST_METHOD"]), _endpoint()
            # Not where OTEL_SDK_DISABLED or the instrumentation's own list says so.
            if span.is_valid:
                response.headers.add("traceparent", _traceparent(span))
                if method == "POST":
                    recent.add(span, method, endpoint, response.status_code, timeline)
            parent, status = context.get_current(), response.status_code
            problem: str | None = g.get("problem")

            def answered(sent: bool) -> None:
                counted = (status, problem) if sent else (statuses.of(ClientGone), ClientGone.code)
                record(timeline, method, endpoint, *counted, parent, span)

            on_answered = environ.get(request_context.ON_ANSWERED)
            if on_answered:
                on_answered(answered)
            else:  # another server than ours, which does not say
                response.call_on_close(lambda: answered(True))
        return response

    def record(
        timeline: Timeline,
        method: str,
        endpoint: str,
        status: int,
        problem: str | None,
        parent: Context,
        span: SpanContext,
    ) -> None:
        # In the request's context again, so that exemplars and the log line name its trace.
        token = context.attach(parent)
        try:
            instruments.requests_inprogress.add(-1)
            of_route = {"method": method, "endpoint": endpoint}
            instruments.request.add(1, {**of_route, "status": str(status)})
            if problem:
                instruments.request_problem.add(1, {"problem": problem})
            # By class, so that an error answered in a millisecond is no fast prediction.
            of_class = {**of_route, "status_class": f"{status // 100}xx"}
            version = timeline.model_version
            of_version = {"model_version": version} if version else {}
            instruments.request_duration.record(timeline.seconds, {**of_class, **of_version})
            for stage, start, end in timeline.stages():
                seconds = (end - start) / 1e9
                instruments.stage_duration.record(seconds, {"stage": stage, **of_version})
            if is_sampled := span.trace_flags.sampled:
                instruments.request_sampled.add(1)
                emit_stages(telemetry.tracer, timeline, span, _links(timeline))
            if is_sampled or _is_failure(status):
                _log(timeline, method, endpoint, status)
        finally:
            context.detach(token)

    # After our hooks: the instrumentation's own time counts as the request's.
    FlaskInstrumentor().instrument_app(
        app,
        tracer_provider=ArrivalTracerProvider(telemetry.tracer_provider, _arrived_ns),
        meter_provider=telemetry.meter_provider,
        excluded_urls=",".join([_HEALTH_URL, *_excluded_urls()]),
        enable_commenter=False,
    )


def _arrived_ns() -> int | None:
    timeline: Timeline | None = g.get("timeline")
    return timeline.began_epoch_ns if timeline else None


def _excluded_urls() -> list[str]:
    """What the instrumentation would read by itself if it were told nothing."""
    names = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
    given = next((value for name in names if (value := os.environ.get(name))), "")
    return [pattern for pattern in given.split(",") if pattern.strip()]


def _traceparent(span: SpanContext) -> str:
    """This request's own place in its trace: what to look up, or to quote in a report."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def scoring_rule(path: str) -> str | None:
    """The rule of `SCORING` that a path is of, if it is of one."""
    return next((rule for rule, paths in _SCORING_PATHS.items() if paths.fullmatch(path)), None)


def known_method(method: str) -> str:
    """The method as a label: itself if HTTP has it, else `OTHER_METHOD`."""
    return method if method in METHODS else OTHER_METHOD


def _endpoint() -> str:
    """The route as a label, with bounded values: a client cannot make series."""
    rule = request.url_rule
    return rule.rule if rule else UNMATCHED


def _links(timeline: Timeline) -> dict[str, list[SpanContext]]:
    """Of the stage in which its pairs were computed, to each batch that has a span."""
    return {"compute": [b.record.get_span_context() for b in timeline.batches if b.record]}


def _is_failure(status: int) -> bool:
    """Whether a request failed. 503 is none: it says that the service starts, and may come at any
    rate."""
    return status >= 500 and status != 503


def _log(timeline: Timeline, method: str, endpoint: str, status: int) -> None:
    """The line of a request: of each sampled one, so that a trace has its log, and each failure."""
    fields: dict[str, object] = {
        "method": method,
        "endpoint": endpoint,
        "status": status,
        "duration_ms": round(timeline.seconds * 1e3, 3),
    }
    for stage, start, end in timeline.stages():
        fields[f"{stage}_ms"] = round((end - start) / 1e6, 3)
    log.log(logging.ERROR if _is_failure(status) else logging.INFO, "request", extra=fields)
