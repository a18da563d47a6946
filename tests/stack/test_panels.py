"""Every query of every dashboard, run as Grafana would run it."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack import grafana, panels
from tests.stack.clients import Jaeger, Prometheus, eventually
from tests.stack.conftest import Traffic
from tests.stack.logs import LogStore
from tests.stack.models import compared, steadily_sent
from tests.stack.panels import Target
from tests.stack.senders import TROUBLED, troubles
from tests.stack.test_chain import SPANS
from tools import native
from tools.picture import fill
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

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


def _run_here() -> list[Any]:
    """Every query; those for the log store that does not run here are skipped."""
    here = native.log_store()
    why = (
        "no Loki is installed (LOKI=/path)" if here == "victorialogs" else "Loki runs here (LOKI=)"
    )
    skip = pytest.mark.skip(reason=why)
    return [
        pytest.param(
            target, id=str(target), marks=[skip] * (panels.STORES.get(target.kind, here) != here)
        )
        for target in panels.targets()
        if not re.search(panels.ELSEWHERE, target.text)
    ]


@pytest.fixture(scope="module")
def troubled(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A second service, for what an open and healthy one has none of."""
    with troubles(stack.url("otel-collector", 4317), tmp_path_factory.mktemp("keys")):
        yield


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
    troubled: None,
    versions_traffic: None,
) -> None:
    panels.wait_for_data(target, prometheus, jaeger, log_store)


@pytest.mark.parametrize("expr", MISSION)
def test_mission_query_has_data(expr: str, prometheus: Prometheus, traffic: Traffic) -> None:
    assert prometheus.query(expr)


@pytest.mark.parametrize(
    "target", [t for t in panels.targets() if t.query.get("exemplar")], ids=str
)
def test_latency_panel_leads_to_traces_and_logs(
    target: Target,
    prometheus: Prometheus,
    jaeger: Jaeger,
    log_store: LogStore,
    batches: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exemplars = prometheus.exemplars(fill(target.text))
    now = int(time.time() * 1e6)
    query = {"queryType": "search", "service": TROUBLED, "limit": 1500}
    others = grafana.search(jaeger.url, query, now - 3_600_000_000, now)
    # The Collector makes dots of the other services' spans too.
    ids = {exemplar["labels"]["trace_id"] for exemplar in exemplars}
    ids -= {trace["traceID"] for trace in others}
    assert len(ids) >= (10 if "batches" in target.panel else 20)
    stages = SPANS - {"POST /predict"}
    for trace_id in ids:
        eventually(
            f"the trace {trace_id}",
            lambda i=trace_id: {span.name for span in jaeger.trace(i)},
            lambda names: names >= stages,
            panels.SECONDS,
        )
        eventually(
            f"a line of {trace_id}",
            lambda i=trace_id: log_store.lines(panels.NAME, trace_id=i),
            bool,
            panels.SECONDS,
        )
    with capsys.disabled():
        print(f"\n{target}: {len(exemplars)} exemplars of {len(ids)} traces, all found with lines")


def test_stages_add_up_to_the_whole(prometheus: Prometheus, traffic: Traffic) -> None:
    # One query: between two of them Prometheus may scrape. Of one service: the troubled one is
    # still asked, and is read in the middle of a request.
    share = prometheus.value(
        'sum(mgeo_request_stage_duration_seconds_sum{job="mgeo-inference"})'
        ' / sum(mgeo_request_duration_seconds_sum{job="mgeo-inference"})'
    )
    assert share == pytest.approx(1, rel=1e-6)
