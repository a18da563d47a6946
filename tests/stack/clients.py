"""Asks Prometheus and Jaeger what Grafana asks them, by their HTTP interfaces."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

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
    """Asks until the answer is accepted; fails with the last answer after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if accept(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s; last: {str(answer)[:500]}")
        time.sleep(0.25)


def exposed(url: str, metric: str) -> float:
    """The sum of a metric's series on a /metrics page."""
    with urllib.request.urlopen(url, timeout=10) as answer:
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


class Jaeger:
    """Jaeger at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, none if it is unknown."""
        try:
            data = get(f"{self.url}/api/traces/{trace_id}")["data"]
        except AssertionError as error:
            if ": 404: " in str(error):
                return []
            raise
        return [span for trace in data for span in trace["spans"]]

    def search(self, service: str, limit: int = 20) -> list[dict[str, Any]]:
        """The most recent traces of a service, as Grafana's search asks for them."""
        now = time.time()
        result: list[dict[str, Any]] = get(
            f"{self.url}/api/traces",
            service=service,
            limit=str(limit),
            start=str(int((now - 3600) * 1e6)),
            end=str(int(now * 1e6)),
        )["data"]
        return result
