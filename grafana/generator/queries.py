"""What the panels ask: selectors, shared parts of PromQL, and links with a query of their own."""

import json
from dataclasses import dataclass

from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import dashboard as model

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
JAEGER = model.DataSourceRef(type_val="jaeger", uid="${traces}")
LOKI = model.DataSourceRef(type_val="loki", uid="${logs}")

SELECTOR = 'job=~"$job", instance=~"$instance"'
"""Matchers that follow the dashboard's variables."""

SCORING = 'endpoint=~"/predict.*|.*/rerank|/match|/v2/models/.+/infer"'
"""Requests that score, as prometheus/rules has them: pages would hide what fails."""

FAILED = 'status=~"500|502|503|504|429"'
"""The server's fault, or refused for load: as prometheus/rules has it."""

ANSWERED = 'status_class="2xx"'
"""Of durations: an error that is answered at once would make the service look fast."""


@dataclass(frozen=True)
class Query:
    """One PromQL query of a panel.

    Attributes:
        expr: PromQL, with Grafana's variables.
        legend: Name of its lines.
        exemplars: Whether Grafana asks for exemplars too: only on raw histogram buckets, which
            carry them; recording rules do not.
    """

    expr: str
    legend: str
    exemplars: bool = False


class JaegerSearch(variants.Dataquery):
    """Jaeger's search as a panel's query. The SDK has no type for it; Grafana's own is this."""

    def __init__(self, limit: int, **wanted: str) -> None:
        """Finds the `limit` most recent traces of the chosen service that are as `wanted`."""
        self.limit = limit
        self.wanted = wanted

    def to_json(self) -> dict[str, object]:
        """The query as Grafana stores it."""
        return {
            "refId": "A",
            "datasource": JAEGER,
            "queryType": "search",
            "service": "$service",
            "limit": self.limit,
            **self.wanted,
        }


def matching(*more: str) -> str:
    """A selector of the dashboard's variables and `more` matchers."""
    return "{" + ", ".join([SELECTOR, *more]) + "}"


def rate(metric: str, *more: str) -> str:
    """Its rate, over an interval that fits the panel's step."""
    return f"rate({metric}{matching(*more)}[$__rate_interval])"


def highest(metric: str, *more: str, by: str = "job, instance") -> str:
    """The highest value of a gauge, also one between two points of a panel."""
    return f"max by ({by}) (max_over_time({metric}{matching(*more)}[$__rate_interval]))"


def ratio(part: str, whole: str) -> str:
    """A share that is 0, not absent, while the part has no series yet."""
    return f"(({part}) or 0 * ({whole})) / ({whole})"


def quantile(share: str, metric: str, *more: str, by: str = "le") -> str:
    """A quantile of a histogram's recent observations."""
    return f"histogram_quantile({share}, sum by ({by}) ({rate(metric + '_bucket', *more)}))"


def seen(expr: str, metric: str, by: str, *more: str) -> str:
    """Those series of `expr` that had anything in the time range: whole lines, with their zeros."""
    return f"{expr} and on ({by}) sum by ({by}) (increase({metric}{matching(*more)}[$__range])) > 0"


def explore(source: model.DataSourceRef, **query: object) -> str:
    """The address of Explore with a query, over the dashboard's time range; Grafana 10 and later.

    Written out, because Grafana fills variables in before the browser encodes it.
    """
    told = {"type": source.type_val, "uid": source.uid}
    pane = {
        "datasource": source.uid,
        "queries": [{"refId": "A", "datasource": told, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    text = json.dumps({"mge": pane}, separators=(",", ":"))
    return f"/explore?schemaVersion=1&panes={text}"


@dataclass(frozen=True)
class Link:
    """Where a click on a value leads."""

    title: str
    url: str


SLOW_TRACES = Link(
    "Traces at least this slow",
    explore(
        JAEGER,
        queryType="search",
        service="${service}",
        minDuration="${__value.raw}s",
        limit=20,
    ),
)
"""From a latency to the traces that took as long."""

STAGE_LOG_LINES = Link(
    "Log lines with 50 ms or more of this stage",
    explore(
        LOKI,
        expr='{service_name="${service}"} | ${__field.labels.stage}_ms >= 50',
        queryType="range",
    ),
)
"""From a stage to the log lines of requests that spent time in it."""

HOST = Link(
    "GPU and host",
    "/d/mgeo-gpu-host?var-job=${__field.labels.job}&var-instance=${__field.labels.instance}"
    "&${datasource:queryparam}&${__url_time_range}",
)
"""From an instance to its process, host and GPU."""

RULE = Link("Rule and runbook", "/alerting/${datasource:text}/${__value.raw}/find")
"""From an alert's name to its rule, whose page has the runbook."""
