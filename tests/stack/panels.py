"""Every query of every dashboard, and the data that it must find, asked as Grafana would ask."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from typing import Any

from grafana.generator import victorialogs
from tests.stack import grafana
from tests.stack.clients import Jaeger, Prometheus, eventually
from tests.stack.logs import LogStore
from tests.stack.senders import TROUBLED
from tools.compose import REPOSITORY
from tools.picture import fill

SHIPPED = REPOSITORY / "grafana" / "dashboards"
DASHBOARDS = sorted([*SHIPPED.glob("*.json"), *victorialogs.FOLDER.glob("*.json")])
STORES = {"loki": "loki", victorialogs.TYPE: "victorialogs"}
"""Type of a data source of log lines → the service behind it."""

NAME = "mgeo-inference"

ELSEWHERE = r"kube_horizontalpodautoscaler_|haproxy_|ALERTS|ratio_rate[13]d{[^}]*}\)"
"""What no stack of the tests has: a cluster, a load balancer, days, and an alert that fires while
all is well. tests/contract/test_queries.py runs these queries on made-up series."""

SECONDS = 120
"""A bound for what comes by itself; most of it is there after 30."""


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: str
    kind: str
    query: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.kind}: {self.query.get('refId')}"

    @property
    def text(self) -> str:
        """The query's expression; empty for a search of traces."""
        return str(self.query.get("expr", ""))


def targets() -> list[Target]:
    """Every query, for either store of log lines."""
    return [
        Target(file.stem, panel["title"], target["datasource"]["type"], target)
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
        # With VictoriaLogs all but the panels of log lines are the same.
        if file.parent == SHIPPED or target["datasource"]["type"] == victorialogs.TYPE
    ]


def numbers(target: Target, prometheus: Prometheus) -> list[float]:
    """What Prometheus answers to a query, over the last quarter of an hour or now."""
    expr = fill(target.text)
    if target.query.get("instant"):
        points = [series["value"] for series in prometheus.query(expr)]
    else:
        points = [point for series in prometheus.range(expr) for point in series["values"]]
    return [number for _, text in points if not math.isnan(number := float(text))]


def wait_for_data(
    target: Target, prometheus: Prometheus, jaeger: Jaeger, log_store: LogStore
) -> None:
    """Wait until a query finds what its panel is there for; fail if it never does."""
    if target.kind == "prometheus":
        eventually(str(target), lambda: numbers(target, prometheus), bool, SECONDS)
    elif target.kind == "jaeger":
        _traces_are_as_wanted(jaeger, target.query)
    else:
        bad = "INFO" in target.text
        query = fill(target.text)
        line = r"504 POST /predict/batch \d" if bad else r"200 POST /predict \d+(\.\d+)? ms$"
        eventually(
            query,
            lambda: log_store.ask(query.replace(NAME, TROUBLED) if bad else query),
            lambda lines: any(re.match(line, one.text) for one in lines),
            SECONDS,
        )


def _traces_are_as_wanted(jaeger: Jaeger, query: dict[str, Any]) -> None:
    """A panel finds slow traces, or failed ones, and only such."""

    def found(**wanted: str) -> list[dict[str, Any]]:
        now = int(time.time() * 1e6)
        return grafana.search(jaeger.url, {**query, **wanted}, now - 3_600_000_000, now)

    if query.get("minDuration"):
        # How slow this machine is decides whether there is one; of a millisecond there are many.
        spans = [span for trace in found(service=NAME) for span in trace["spans"]]
        assert all(span["duration"] >= 500_000 for span in spans if not span["references"])
        assert found(service=NAME, minDuration="1ms")
        return
    traces = eventually("failed traces", lambda: found(service=TROUBLED), bool, SECONDS)
    for trace in traces:
        tags = [(tag["key"], tag["value"]) for span in trace["spans"] for tag in span["tags"]]
        assert ("error", True) in tags
