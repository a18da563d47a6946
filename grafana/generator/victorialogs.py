"""What Grafana is given where VictoriaLogs keeps the log lines (docker-compose.victorialogs.yml).

Written from the data sources and dashboards with Loki, so that only what speaks of Loki differs.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from grafana.generator.queries import STAGE_LOG_LINES
from grafana.generator.service import ALL_LINES, BAD_LINES

FOLDER = Path(__file__).resolve().parent.parent / "victorialogs"
DATA_SOURCES = FOLDER.parent / "provisioning" / "datasources" / "stack.yaml"
TYPE = "victoriametrics-logs-datasource"
UID = "victorialogs"

_OURS = '{"service.name"=~"$service"} "service.instance.id":~"$instance"'
_LINE = 'format if (status:*) "<status> <method> <endpoint> <duration_ms> ms" as _msg'
LOGSQL = {
    ALL_LINES: f"{_OURS} | {_LINE}",
    BAD_LINES: f"{_OURS} severity:!INFO | {_LINE}",
}
"""LogQL → the same in LogsQL, for each query of a panel."""

_LINKS = {
    STAGE_LOG_LINES.url: STAGE_LOG_LINES.url.replace(
        json.dumps('{service_name="${service}"} | ${__field.labels.stage}_ms >= 50'),
        json.dumps('{"service.name"="${service}"} ${__field.labels.stage}_ms:>=50'),
    )
    .replace('"queryType":"range"', '"queryType":"instant"')
    .replace('"type":"loki"', f'"type":"{TYPE}"')
}
"""Address of a link of a panel → the same for VictoriaLogs."""

_LOGS_OF_A_TRACE = 'trace_id:="$${__trace.traceId}"'
_HEAD = (
    "# Written by `make dashboards` from provisioning/datasources/stack.yaml, which has comments.\n"
)


def data_sources(text: str) -> str:
    """The provisioned data sources, `text`, with VictoriaLogs in Loki's place."""
    made = yaml.safe_load(text)
    for source in made["datasources"]:
        settings = source.get("jsonData", {})
        if source["type"] == "loki":
            source |= {"name": "VictoriaLogs", "uid": UID, "type": TYPE}
            source["url"] = "${VICTORIALOGS_URL}"
        # Grafana takes VictoriaLogs for a log store from 12.2 on.
        if link := settings.get("tracesToLogsV2"):
            link |= {"datasourceUid": UID, "query": _LOGS_OF_A_TRACE}
            link.pop("tags", None)
    return _HEAD + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def dashboards(shipped: dict[str, str]) -> dict[str, str]:
    """Of the dashboards, as file name → JSON, those with log lines, and these in LogsQL.

    Raises:
        KeyError: a panel's query or link has no LogsQL in the tables.
    """
    made = {}
    for name, text in shipped.items():
        board = json.loads(text)
        variables = [v for v in board["templating"]["list"] if v.get("query") == "loki"]
        for variable in variables:
            variable |= {"query": TYPE, "current": {"text": "VictoriaLogs", "value": UID}}
        if variables:
            translated = _translated(board)
            made[name] = json.dumps(translated, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return made


def _translated(value: Any) -> Any:
    """The same with each query of Loki, and each link that has one, in LogsQL."""
    if isinstance(value, list):
        return [_translated(one) for one in value]
    if not isinstance(value, dict):
        return _LINKS[value] if isinstance(value, str) and '"type":"loki"' in value else value
    made = {key: _translated(one) for key, one in value.items()}
    if made.get("datasource", {}).get("type") == "loki":
        made["datasource"] = {"type": TYPE, "uid": made["datasource"]["uid"]}
        if "expr" in made:
            made |= {"expr": LOGSQL[made["expr"]], "queryType": "instant"}
    return made
