"""Asks the store of log lines: Loki in LogQL, or VictoriaLogs in LogsQL.

Which of the two runs is `tools.native.log_store`'s to say; tests ask for a `LogStore`.
"""

import json
import time
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.stack.clients import get
from tools.stack import Stack

SECONDS = 3600
"""How far back a query looks."""

PORTS = {"loki": 3100, "victorialogs": 9428}


@dataclass(frozen=True)
class Line:
    """One log line.

    Attributes:
        text: What the log record's body says.
        seconds: When it was written, in seconds since the epoch.
        fields: The record's other attributes, by names with `_` for each dot, as Loki has them.
    """

    text: str
    seconds: float
    fields: Mapping[str, str]


class LogStore(ABC):
    """The store at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def lines(self, service: str = "", *, trace_id: str = "", scope: str = "") -> list[Line]:
        """The last hour's lines, 5,000 at most: of one service, trace or scope if one is named."""
        return self.ask(self.query(service, {"trace_id": trace_id, "scope.name": scope}))

    @abstractmethod
    def query(self, service: str, wanted: Mapping[str, str]) -> str:
        """The query for a service's lines, or all, whose fields are as `wanted`; "" is any."""

    @abstractmethod
    def ask(self, query: str) -> list[Line]:
        """The lines that a query in the store's own language finds in the last hour."""


class Loki(LogStore):
    """Loki at `url`, asked in LogQL."""

    def query(self, service: str, wanted: Mapping[str, str]) -> str:
        selector = f'{{service_name="{service}"}}' if service else '{service_name=~".+"}'
        return selector + "".join(
            f' | {name.replace(".", "_")}="{value}"' for name, value in wanted.items() if value
        )

    def ask(self, query: str) -> list[Line]:
        now = time.time()
        streams = get(
            f"{self.url}/loki/api/v1/query_range",
            query=query,
            start=str(int((now - SECONDS) * 1e9)),
            end=str(int((now + 60) * 1e9)),
            limit="5000",
        )["data"]["result"]
        return [
            Line(text, int(nanoseconds) / 1e9, stream["stream"])
            for stream in streams
            for nanoseconds, text in stream["values"]
        ]


class VictoriaLogs(LogStore):
    """VictoriaLogs at `url`, asked in LogsQL."""

    def query(self, service: str, wanted: Mapping[str, str]) -> str:
        selector = f'{{"service.name"="{service}"}}' if service else "*"
        return selector + "".join(
            f' "{name}":="{value}"' for name, value in wanted.items() if value
        )

    def ask(self, query: str) -> list[Line]:
        asked = urllib.parse.urlencode({"query": query, "start": f"{SECONDS}s", "limit": "5000"})
        url = f"{self.url}/select/logsql/query?{asked}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            rows = [json.loads(row) for row in answer]
        return [
            Line(
                row.get("_msg", ""),
                datetime.fromisoformat(row["_time"]).timestamp(),
                {name.replace(".", "_"): value for name, value in row.items()},
            )
            for row in rows
        ]


def of(stack: Stack) -> LogStore:
    """The store of log lines that `stack` runs."""
    [name] = [name for name in PORTS if name in stack.names]
    made: type[LogStore] = Loki if name == "loki" else VictoriaLogs
    return made(stack.url(name, PORTS[name]))
