"""What the service says of itself: which model answers, and where a recent request's time went."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from service.errors import NotReady, UnknownTrace
from service.http import schemas
from service.http.openapi import Api, Operation
from service.scoring.scorer import Scorer
from telemetry.recent import CAPACITY, RecentRequest, RecentRequests

_TAG = "About"


class StageOfRequest(TypedDict):
    """One stage of a request."""

    name: str
    start_ms: Annotated[float, {"description": "From the request's beginning."}]
    duration_ms: float
    attributes: Annotated[dict[str, Any], {"description": "The attributes of its span."}]


class TracedRequest(TypedDict):
    """One request and its stages, which add up to the whole."""

    span_id: str
    method: str
    endpoint: str
    status: int
    stages: list[StageOfRequest]


class Trace(TypedDict):
    """The recent requests of a trace, oldest first."""

    trace_id: str
    url: NotRequired[Annotated[str, {"description": "Link to the whole trace (`MGEO_TRACE_URL`)."}]]
    requests: list[TracedRequest]


def add_routes(api: Api, scorer: Scorer, recent: RecentRequests, trace_url: str) -> None:
    """Add `/model` and `/traces/{trace_id}`.

    Args:
        api: Where to.
        scorer: Has the model.
        recent: The requests answered last.
        trace_url: Where traces can be looked at, with `{trace_id}`; empty if nowhere.
    """

    @api.route(
        Operation(
            method="GET",
            path="/model",
            tag=_TAG,
            summary="Which model answers; of several, the one with the most traffic.",
            answer=schemas.Model,
            errors=(NotReady,),
        )
    )
    def model() -> schemas.Model:
        return schemas.identity(scorer.models()[0])

    @api.route(
        Operation(
            method="GET",
            path="/traces/<trace_id>",
            tag=_TAG,
            summary="Where the time of a recent request went.",
            description=f"This process keeps its last {CAPACITY} POST requests that a worker "
            "thread took. Each answer has its trace id in its `traceparent` header.",
            answer=Trace,
            errors=(UnknownTrace,),
        )
    )
    def trace(trace_id: str) -> Trace:
        number = _number(trace_id)
        requests = recent.of_trace(number) if number else []
        if not requests:
            raise UnknownTrace(f"none of the last {CAPACITY} requests here belongs to this trace")
        answer: Trace = {
            "trace_id": trace_id,
            "requests": [_shown(request) for request in requests],
        }
        # A trace that was not sampled is nowhere else.
        if trace_url and any(request.span.trace_flags.sampled for request in requests):
            answer["url"] = trace_url.replace("{trace_id}", trace_id)
        return answer


def _number(trace_id: str) -> int:
    """A trace id as written in headers; 0, which is none, for anything else."""
    written = len(trace_id) == 32 and set(trace_id) <= set("0123456789abcdef")
    return int(trace_id, 16) if written else 0


def _shown(request: RecentRequest) -> TracedRequest:
    return {
        "span_id": f"{request.span.span_id:016x}",
        "method": request.method,
        "endpoint": request.endpoint,
        "status": request.status,
        "stages": [
            {
                "name": stage.name,
                "start_ms": round(stage.start_ms, 3),
                "duration_ms": round(stage.duration_ms, 3),
                "attributes": dict(stage.attributes),
            }
            for stage in request.stages
        ],
    }
