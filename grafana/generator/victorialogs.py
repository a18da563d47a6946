"""What Grafana is given where VictoriaLogs keeps the log lines (docker-compose.victorialogs.yml).

Written from the data sources and dashboards with Loki, so that only what speaks of Loki differs.
"""

import json
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "victorialogs"
DATA_SOURCES = FOLDER.parent / "provisioning" / "datasources" / "stack.yaml"
TYPE = "victoriametrics-logs-datasource"
UID = "victorialogs"
LOGSQL = {'{service_name="mgeo-inference"}': '{"service.name"="mgeo-inference"}'}
"""LogQL → the same in LogsQL, for each query of a panel."""

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
        KeyError: a panel's query has no LogsQL in the table.
    """
    made = {}
    for name, text in shipped.items():
        board = json.loads(text)
        panels = [p for p in board["panels"] if p.get("datasource", {}).get("type") == "loki"]
        for panel in panels:
            panel["datasource"] = {"type": TYPE, "uid": UID}
            for target in panel["targets"]:
                target |= {"datasource": panel["datasource"], "queryType": "instant"}
                target["expr"] = LOGSQL[target["expr"]]
        if panels:
            made[name] = json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return made
