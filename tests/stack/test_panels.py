"""Every query of every dashboard, run as Grafana would run it."""

import json
import math
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from grafana.generator import victorialogs
from service.http import keys, request_context
from tests.serving import Service
from tests.stack import grafana
from tests.stack.clients import Jaeger, Prometheus, eventually
from tests.stack.conftest import Traffic
from tests.stack.logs import LogStore
from tests.stack.models import compared, steadily_sent
from tests.stack.test_chain import SPANS
from tools import native
from tools.compose import REPOSITORY
from tools.load import pair
from tools.picture import fill
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SHIPPED = REPOSITORY / "grafana" / "dashboards"
DASHBOARDS = sorted([*SHIPPED.glob("*.json"), *victorialogs.FOLDER.glob("*.json")])
STORES = {"loki": "loki", victorialogs.TYPE: "victorialogs"}
"""Type of a data source of log lines → the service behind it."""

NAME, TROUBLED = "mgeo-inference", "troubled"

ELSEWHERE = re.compile(r"kube_horizontalpodautoscaler_|haproxy_|ALERTS|ratio_rate[13]d{[^}]*}\)")
"""What this stack has none of: a cluster, a load balancer, days, and an alert that fires while all
is well. tests/contract/test_queries.py runs these queries on made-up series."""

MISSION = (
    "rate(mgeo_request_total[1m])",
    "histogram_quantile(0.95, sum(rate(mgeo_request_duration_seconds_bucket[1m])) by (le))",
    "sum by(job)(rate(mgeo_request_total[1m]))",
    "nvidia_gpu_memory_used_bytes/1024/1024/1024",
    '100 - (avg by(instance)(rate(node_cpu_seconds_total{mode="idle"}[1m]))*100)',
    "avg(sum by(instance)(rate(mgeo_request_total[1m])))",
    "max(histogram_quantile(0.95, "
    "sum(rate(mgeo_request_duration_seconds_bucket[1m])) by (le,instance)))",
    '100 * (1 - sum(rate(mgeo_request_total{status=~"5..|429"}[1m])) '
    "/ sum(rate(mgeo_request_total[1m])))",
)
"""The queries that the original's users have on their own panels."""


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: str
    kind: str
    query: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.kind}: {self.query.get('refId')}"


def _targets() -> list[Target]:
    return [
        Target(file.stem, panel["title"], target["datasource"]["type"], target)
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
        # With VictoriaLogs all but the panels of log lines are the same.
        if file.parent == SHIPPED or target["datasource"]["type"] == victorialogs.TYPE
    ]


def _run_here() -> list[Any]:
    """Every query; those for the log store that does not run here are skipped."""
    here = native.log_store()
    why = (
        "no Loki is installed (LOKI=/path)" if here == "victorialogs" else "Loki runs here (LOKI=)"
    )
    skip = pytest.mark.skip(reason=why)
    return [
        pytest.param(target, id=str(target), marks=[skip] * (STORES.get(target.kind, here) != here))
        for target in _targets()
        if not ELSEWHERE.search(target.query.get("expr", ""))
    ]


@pytest.fixture(scope="module")
def troubles(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A second service, for what an open and healthy one has none of.

    It requires API keys and has little patience. Every second it is sent a request with a key, one
    without, one that never ends, and one whose client waits a millisecond for 200 pairs. It makes
    no exemplars, so those that there are are the first one's.
    """
    key, line = keys.make("panels")
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"{line}\n", "utf-8")
    done = threading.Event()
    with Service(
        *("--api-keys-file", str(file), "--receive-timeout", "0.5"),
        OTEL_EXPORTER_OTLP_ENDPOINT=stack.url("otel-collector", 4317),
        OTEL_METRIC_EXPORT_INTERVAL="5000",
        OTEL_METRICS_EXEMPLAR_FILTER="always_off",
        OTEL_SERVICE_NAME=TROUBLED,
    ) as service:
        sender = threading.Thread(target=_trouble, args=(service, key, done))
        sender.start()
        yield
        done.set()
        sender.join(30)


def _trouble(service: Service, key: str, done: threading.Event) -> None:
    host, port = service.predictions
    url = f"http://{host}:{port}/predict"
    body = pair(random.Random())
    many = {"pairs": [pair(random.Random(number)) for number in range(200)]}
    admitted = {"Authorization": f"Bearer {key}"}
    with ExitStack() as open_ones, requests.Session() as session:
        # pytest changes the environment meanwhile, and reading it for proxies would then fail.
        session.trust_env = False
        while not done.wait(1):
            # One that fails is one sample fewer; the panels' tests tell when there are none.
            with suppress(requests.RequestException):
                session.post(url, json=body, timeout=5, headers=admitted)
                session.post(url, json=body, timeout=5)
                hurried = admitted | {request_context.HEADER: "1"}
                session.post(f"{url}/batch", json=many, timeout=5, headers=hurried)
            with suppress(OSError):
                slow = open_ones.enter_context(socket.create_connection((host, port), timeout=5))
                slow.sendall(b"POST /predict HTTP/1.1\r\n")


@pytest.fixture(scope="module")
def versions_traffic(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A third service, with two models that share the traffic and a shadow. It samples no trace."""
    models = ({"name": "a", "weight": 1}, {"name": "twin", "weight": 1})
    shadow = {"name": "worse", "role": "shadow"}
    folder = tmp_path_factory.mktemp("versions")
    with compared(stack, folder, *models, shadow) as service, steadily_sent(service):
        yield


@pytest.mark.parametrize("target", _run_here())
def test_panel_has_data(
    target: Target,
    prometheus: Prometheus,
    jaeger: Jaeger,
    log_store: LogStore,
    batches: None,
    troubles: None,
    versions_traffic: None,
) -> None:
    if target.kind == "prometheus":
        expr = fill(target.query["expr"])

        def numbers() -> list[float]:
            if target.query.get("instant"):
                points = [series["value"] for series in prometheus.query(expr)]
            else:
                points = [point for series in prometheus.range(expr) for point in series["values"]]
            return [number for _, text in points if not math.isnan(number := float(text))]

        eventually(expr, numbers, bool, seconds=45)
    elif target.kind == "jaeger":
        _traces_are_as_wanted(jaeger, target.query)
    else:
        assert STORES[target.kind] == native.log_store()
        bad = "INFO" in target.query["expr"]
        query = fill(target.query["expr"])
        line = r"504 POST /predict/batch \d" if bad else r"200 POST /predict \d+(\.\d+)? ms$"
        eventually(
            query,
            lambda: log_store.ask(query.replace("mgeo-inference", TROUBLED) if bad else query),
            lambda lines: any(re.match(line, one.text) for one in lines),
            seconds=45,
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
    traces = eventually("failed traces", lambda: found(service=TROUBLED), bool, seconds=45)
    for trace in traces:
        tags = [(tag["key"], tag["value"]) for span in trace["spans"] for tag in span["tags"]]
        assert ("error", True) in tags


@pytest.mark.parametrize("expr", MISSION)
def test_mission_query_has_data(expr: str, prometheus: Prometheus, traffic: Traffic) -> None:
    assert prometheus.query(expr)


@pytest.mark.parametrize("target", [t for t in _targets() if t.query.get("exemplar")], ids=str)
def test_latency_panel_leads_to_traces_and_logs(
    target: Target,
    prometheus: Prometheus,
    jaeger: Jaeger,
    log_store: LogStore,
    batches: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exemplars = prometheus.exemplars(fill(target.query["expr"]))
    now = int(time.time() * 1e6)
    query = {"queryType": "search", "service": TROUBLED, "limit": 1500}
    others = grafana.search(jaeger.url, query, now - 3_600_000_000, now)
    # The Collector makes dots of the other services' spans too.
    ids = {exemplar["labels"]["trace_id"] for exemplar in exemplars}
    ids -= {trace["traceID"] for trace in others}
    stages = SPANS - {"POST /predict"}
    with_trace = {i for i in ids if {span.name for span in jaeger.trace(i)} >= stages}
    with_line = {i for i in ids if log_store.lines("mgeo-inference", trace_id=i)}
    with capsys.disabled():
        print(
            f"\n{target}: {len(exemplars)} exemplars of {len(ids)} traces, "
            f"{len(with_trace)} complete in Jaeger, {len(with_line)} with log lines"
        )
    assert len(ids) >= (10 if "batches" in target.panel else 20)
    assert ids == with_trace == with_line


def test_stages_add_up_to_the_whole(prometheus: Prometheus, traffic: Traffic) -> None:
    stages = prometheus.value("sum(mgeo_request_stage_duration_seconds_sum)")
    whole = prometheus.value("sum(mgeo_request_duration_seconds_sum)")
    assert stages == pytest.approx(whole, rel=1e-6)
