"""What Grafana asks the stores when somebody follows a link, made of the provisioned settings.

Written from the source of the versions in `PLUGINS`. docs/observability.md names the same ones.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import yaml

from tests.stack.clients import eventually, get
from tests.stack.logs import LogStore

PLUGINS = {
    "prometheus": "13.1.7",
    "jaeger": "13.0.1",
    "loki": "13.2.0",
    "victoriametrics-logs-datasource": "0.34.0",
}
"""Data source → the version of its plugin whose source was read."""


@dataclass(frozen=True)
class Explore:
    """A query that Explore opens with."""

    source: str
    query: Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """A page that the browser opens."""

    url: str


Link = Explore | Page

SECONDS = 120
"""A bound: who has a dot need not have its trace and lines already."""


def data_sources(file: Path, environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Provisioned data sources by uid, as Grafana expands them: `$$` is `$`, `${NAME}` a value."""
    found = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    return {source["uid"]: _expanded(source, environment) for source in found}


def _expanded(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(v, environment) for key, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, environment) for v in value]
    if not isinstance(value, str):
        return value
    parts = (
        re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda m: environment.get(m[1] or m[2], ""), part)
        for part in value.split("$$")
    )
    return "$".join(parts)


def exemplar_links(prometheus: Mapping[str, Any], labels: Mapping[str, str]) -> list[Link]:
    """Links of a dot (`getDataLinks` of the Prometheus plugin)."""
    links: list[Link] = []
    for destination in prometheus["jsonData"]["exemplarTraceIdDestinations"]:
        value = labels.get(destination["name"])
        if value is None:
            continue
        if uid := destination.get("datasourceUid"):
            links.append(Explore(uid, {"query": value, "queryType": "traceql"}))
        if url := destination.get("url"):
            links.append(opened(_raw(url, value)))
    return links


def line_links(logs: Mapping[str, Any], labels: Mapping[str, str]) -> list[Link]:
    """Links of a log line (`getDerivedFields` of both plugins), by labels alone."""
    links: list[Link] = []
    for field in logs["jsonData"]["derivedFields"]:
        assert field["matcherType"] == "label"
        value = labels.get(field["matcherRegex"])
        if value is None:
            continue
        url = _raw(field["url"], value)
        uid = field.get("datasourceUid")
        links.append(Explore(uid, {"query": url}) if uid else opened(url))
    return links


def opened(url: str) -> Link:
    """What a link's URL opens: Explore of Grafana 10 and later (`v1.ts`), or a page."""
    parts = urlsplit(url)
    if parts.scheme or parts.path != "/explore":
        return Page(url)
    given = parse_qs(parts.query)
    if given.get("schemaVersion") != ["1"]:
        raise AssertionError(f"Grafana 10 and later open an empty Explore: {url}")
    [pane] = json.loads(given["panes"][0]).values()
    [query] = pane["queries"]
    assert query["datasource"]["uid"] == pane["datasource"]
    assert pane["range"].keys() == {"from", "to"}
    return Explore(pane["datasource"], query)


def opened_in_grafana_9(url: str) -> Link:
    """The same of Grafana 9, which reads `left`."""
    [pane] = parse_qs(urlsplit(url).query)["left"]
    state = json.loads(pane)
    [query] = state["queries"]
    return Explore(state["datasource"], query)


def follow(link: Link, jaeger_url: str) -> dict[str, Any]:
    """The trace behind a link, by the requests of Grafana's data source or of Jaeger's page."""
    if isinstance(link, Explore):
        assert link.source == "jaeger"
        return trace(jaeger_url, link.query)
    assert link.url.startswith(f"{jaeger_url}/trace/")
    with urllib.request.urlopen(link.url, timeout=30) as page:
        assert page.headers["Content-Type"].startswith("text/html")
    return trace(jaeger_url, {"query": link.url.rpartition("/")[2]})


def root(found: Mapping[str, Any]) -> dict[str, Any]:
    """The span of the request itself."""
    [one] = [span for span in found["spans"] if span["operationName"] == "POST /predict"]
    return dict(one)


def trace(jaeger_url: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """The trace that Jaeger's data source finds (`querydata.go`).

    Empty for what the data source ignores, and for what Jaeger does not have.
    """
    if query.get("queryType"):
        return {}
    try:
        found = get(f"{jaeger_url}/api/traces/{quote(query['query'])}")["data"]
    except AssertionError as error:
        if ": 404: " in str(error):
            return {}
        raise
    return found[0] if found else {}


def search(jaeger_url: str, query: Mapping[str, Any], start: int, end: int) -> list[dict[str, Any]]:
    """The traces that a search of Jaeger's data source finds (`Search` in `client.go`).

    Args:
        jaeger_url: Jaeger's address.
        query: The panel's query.
        start: Begin of the time range, in microseconds since the epoch.
        end: Its end.
    """
    assert query["queryType"] == "search"
    given = {"limit": str(query["limit"]), "start": str(start), "end": str(end)}
    if tags := query.get("tags"):
        given["tags"] = json.dumps(dict(pair.split("=", 1) for pair in tags.split()))
    for name in ("service", "operation", "minDuration", "maxDuration"):
        if query.get(name):
            given[name] = query[name]
    found: list[dict[str, Any]] = get(f"{jaeger_url}/api/traces", **given)["data"]
    return found


def tags(found: Mapping[str, Any], span: Mapping[str, Any], wanted: Iterable[Any]) -> str:
    """What `${__tags}` and `$__tags` become for a span (`getFormattedTags`)."""
    names = {tag["key"]: tag.get("value") or tag["key"] for tag in wanted}
    given = [
        *found["processes"][span["processID"]]["tags"],
        *span["tags"],
        {"key": "spanId", "value": span["spanID"]},
        {"key": "traceId", "value": span["traceID"]},
        {"key": "name", "value": span["operationName"]},
        {"key": "duration", "value": span["duration"]},
    ]
    return ", ".join(f'{names[t["key"]]}="{t["value"]}"' for t in given if t["key"] in names)


def logs_query(
    jaeger: Mapping[str, Any], found: Mapping[str, Any], span: Mapping[str, Any]
) -> tuple[str, str]:
    """The data source and query of *Related logs* of a span."""
    settings = jaeger["jsonData"]["tracesToLogsV2"]
    assert settings["customQuery"]
    filled = settings["query"].replace("${__tags}", tags(found, span, settings.get("tags", ())))
    filled = filled.replace("${__trace.traceId}", found["traceID"])
    assert "$" not in filled, "a variable that Grafana knows and this test does not"
    return settings["datasourceUid"], filled


def metrics_queries(
    jaeger: Mapping[str, Any], found: Mapping[str, Any], span: Mapping[str, Any]
) -> dict[str, str]:
    """Name → query of each link from a span to metrics."""
    settings = jaeger["jsonData"]["tracesToMetrics"]
    assert settings["datasourceUid"] == "prometheus"
    filled = tags(found, span, settings["tags"])
    return {q["name"]: q["query"].replace("$__tags", filled) for q in settings["queries"]}


def round_trip(
    sources: Mapping[str, Mapping[str, Any]],
    dot: Mapping[str, str],
    log_store: LogStore,
    names: set[str],
) -> None:
    """From a dot to its trace by each link, from there to its log lines, and back.

    Args:
        sources: The provisioned data sources.
        dot: The exemplar's labels.
        log_store: Where the lines are.
        names: Spans that the trace must have.
    """
    jaeger, trace_id = sources["jaeger"], dot["trace_id"]
    url = jaeger["url"]
    links = exemplar_links(sources["prometheus"], dot)
    assert len(links) == 2
    for link in links:
        found = eventually(
            f"the trace of {link}",
            lambda link=link: follow(link, url),
            lambda found: {span["operationName"] for span in found.get("spans", ())} >= names,
            SECONDS,
        )
        assert found["traceID"] == trace_id

    source, query = logs_query(jaeger, found, root(found))
    lines = eventually(query, lambda: log_store.ask(query), bool, SECONDS)
    assert {line.fields["trace_id"] for line in lines} == {trace_id}

    back = line_links(sources[source], lines[0].fields)
    assert len(back) == 2
    assert all(follow(link, url)["traceID"] == trace_id for link in back)


def _raw(text: str, value: str) -> str:
    return text.replace("${__value.raw}", value)
