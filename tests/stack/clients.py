"""Asks Prometheus and Jaeger what Grafana asks them, by their HTTP interfaces."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from tests.waiting import RunningClock

Answer = TypeVar("Answer")


def get(url: str, **parameters: str) -> Any:
    """The JSON that `url` answers to a GET; an error status raises with the answer's text."""
    if parameters:
        url = f"{url}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.code}: {error.read().decode()[:500]}") from error


def eventually(
    what: str, ask: Callable[[], Answer], accept: Callable[[Answer], bool], seconds: float
) -> Answer:
    """Asks until the answer is accepted; fails with the last one after `seconds`.

    An OSError counts as no answer: a program that is starting, or stalls, is asked again.
    """
    clock = RunningClock()
    while True:
        told: object
        try:
            answer = ask()
        except OSError as error:
            told = error
        else:
            if accept(answer):
                return answer
            told = answer
        if clock.seconds() > seconds:
            raise AssertionError(f"{what}: not within {seconds:.0f} s; last: {str(told)[:500]}")
        time.sleep(0.25)


def exposed(url: str, metric: str) -> float:
    """The sum of a metric's series on a /metrics page."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return sum(float(v) for v in re.findall(rf"^{metric}(?:{{.*}})? (\S+)", text, re.MULTILINE))


class Prometheus:
    """Prometheus at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Series that `expr` gives now."""
        result = get(f"{self.url}/api/v1/query", query=expr)["data"]["result"]
        assert isinstance(result, list), f"{expr} gave a scalar"
        return result

    def value(self, expr: str) -> float:
        """The sum of what `expr` gives now; 0 when it gives nothing."""
        return sum(float(series["value"][1]) for series in self.query(expr))

    def range(self, expr: str, seconds: float = 900, step: float = 15) -> list[dict[str, Any]]:
        """Series that `expr` gives over the last `seconds`."""
        now = time.time()
        answer = get(
            f"{self.url}/api/v1/query_range",
            query=expr,
            start=str(now - seconds),
            end=str(now),
            step=str(step),
        )
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def exemplars(self, expr: str, seconds: float = 900) -> list[dict[str, Any]]:
        """Exemplars of the series that `expr` reads, over the last `seconds`."""
        now = time.time()
        answer = get(
            f"{self.url}/api/v1/query_exemplars",
            query=expr,
            start=str(now - seconds),
            end=str(now),
        )
        return [exemplar for series in answer["data"] for exemplar in series["exemplars"]]


@dataclass(frozen=True)
class Span:
    """One span, as OTLP has it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: The same of its parent; empty for a root.
        name: What it is called.
        seconds: How long it took.
        attributes: Its own, without the resource's.
        events: Names and attributes of what happened in it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    seconds: float
    attributes: Mapping[str, Any]
    events: Sequence[tuple[str, Mapping[str, Any]]]


class Jaeger:
    """Jaeger at `url`, asked by its API v3, whose answers are OTLP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace, none if it is unknown."""
        return list(spans(self._ask(f"/api/v3/traces/{trace_id}")))

    def search(
        self, service: str, limit: int = 20, since: float | None = None
    ) -> list[dict[str, Any]]:
        """A service's most recent traces as Jaeger tells them, of an hour or `since` a time."""
        now = time.time()
        given = {
            "service_name": service,
            "num_traces": str(limit),
            "start_time_min": _rfc3339(now - 3600 if since is None else since),
            "start_time_max": _rfc3339(now),
        }
        return self._ask("/api/v3/traces", **{f"query.{key}": v for key, v in given.items()})

    def _ask(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = get(f"{self.url}{path}", **parameters)["result"][
                "resourceSpans"
            ]
        except AssertionError as error:
            if ": 404: " in str(error):
                return []
            raise
        return found


def spans(told: Iterable[Mapping[str, Any]]) -> Iterator[Span]:
    """The spans of OTLP's resource spans."""
    for resource in told:
        for scope in resource["scopeSpans"]:
            yield from map(_span, scope["spans"])


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _span(span: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        name=span["name"],
        seconds=(int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9,
        attributes=_attributes(span),
        events=[(event.get("name", ""), _attributes(event)) for event in span.get("events", ())],
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    """What `holder` has as `attributes`, each with its value alone."""
    return {
        entry["key"]: next(iter(entry["value"].values()), None)
        for entry in holder.get("attributes", ())
    }
