"""docker-compose.yml brought up by Docker's own Compose: every service in a container of its own.

Not here: Grafana, Loki and cAdvisor, whose programs are built nowhere in this repository.
VictoriaLogs keeps the log lines.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from grafana.generator import victorialogs
from service.retrieval import files
from service.retrieval.register import Entry
from tests.containers.composed import LEFT_OUT, RUN, Composed
from tests.models import declare, variant
from tests.stack import grafana, panels
from tests.stack.clients import Jaeger, Prometheus, eventually, exposed, get
from tests.stack.logs import VictoriaLogs
from tests.stack.models import TWIN_NOISE
from tests.stack.senders import steadily, troubles
from tests.stack.test_chain import SPANS
from tools import native
from tools.compose import COMPOSE_FILE
from tools.load import pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SECONDS = 240
"""A bound for what comes by itself; most of it is there after 15."""

DOTS = 'mgeo_request_duration_seconds_bucket{job="mgeo-inference",endpoint="/predict"}'
ABSENT = re.compile(rf"{panels.ELSEWHERE}|nvidia_|\bhw_|mgeo_gpu_|mgeo_shadow_|node_filesystem_")
"""What these containers have none of, or not on every machine: a GPU, a shadow, a disk."""


@pytest.fixture(scope="module")
def composed(front_end: None, image: str) -> Iterator[Composed]:
    """The stack, healthy."""
    with Composed([COMPOSE_FILE, native.VICTORIALOGS_FILE], RUN) as stack:
        print(f"up to all healthy: {stack.seconds:.1f} s")
        yield stack


@pytest.fixture(scope="module")
def prometheus(composed: Composed) -> Prometheus:
    return Prometheus(composed.url("prometheus", 9090))


@pytest.fixture(scope="module")
def jaeger(composed: Composed) -> Jaeger:
    return Jaeger(composed.url("jaeger", 16686))


@pytest.fixture(scope="module")
def log_store(composed: Composed) -> VictoriaLogs:
    return VictoriaLogs(composed.url("victorialogs", 9428))


def predict(composed: Composed) -> str:
    """Ask for a prediction from outside, of a pair of its own; returns the trace's id."""
    url = composed.url("mgeo", 5000) + "/predict"
    answer = requests.post(url, json=pair(random.SystemRandom()), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.headers["traceparent"].split("-")[1]


def wait_for_count(prometheus: Prometheus, expected: int) -> None:
    """Wait until Prometheus has counted just so many requests."""
    eventually(
        f"{expected} requests in Prometheus",
        lambda: prometheus.value("mgeo_request_total"),
        lambda count: count == expected,
        SECONDS,
    )


def wait_for_trace_and_line(trace_id: str, jaeger: Jaeger, log_store: VictoriaLogs) -> None:
    """Wait for a request's whole trace and its one log line."""
    eventually(
        f"the trace {trace_id}",
        lambda: {span.name for span in jaeger.trace(trace_id)},
        lambda names: names >= SPANS,
        SECONDS,
    )
    lines = eventually(
        f"the line of {trace_id}",
        lambda: log_store.lines("mgeo-inference", trace_id=trace_id, scope="mgeo.request"),
        bool,
        SECONDS,
    )
    assert len(lines) == 1


def lines_in_memory(log_store: VictoriaLogs) -> Callable[[], float]:
    """Asks how many lines the store has that a kill would take."""
    rows = r'vl_storage_rows\{type="storage/inmemory"\}'
    return lambda: exposed(f"{log_store.url}/metrics", rows)


def test_every_service_has_the_rights_that_the_file_gives_it(composed: Composed) -> None:
    found = composed.inspect(*RUN)
    assert len(found) == len(RUN)
    for one in found:
        host = one["HostConfig"]
        assert host["ReadonlyRootfs"], one["Name"]
        assert not one["EffectiveCaps"], one["Name"]
        assert "no-new-privileges" in " ".join(host["SecurityOpt"]), one["Name"]
        assert host["Memory"] > 0, one["Name"]
        published = [binding for bindings in host["PortBindings"].values() for binding in bindings]
        assert {binding["HostIp"] for binding in published} <= {"127.0.0.1"}, one["Name"]


def test_none_runs_as_root(composed: Composed) -> None:
    for one in composed.inspect(*RUN):
        status = Path(f"/proc/{one['State']['Pid']}/status").read_text("utf-8")
        [uids] = [line for line in status.splitlines() if line.startswith("Uid:")]
        assert "0" not in uids.split()[1:], one["Name"]


def test_a_request_is_counted_traced_and_logged(
    composed: Composed, prometheus: Prometheus, jaeger: Jaeger, log_store: VictoriaLogs
) -> None:
    before = int(prometheus.value("mgeo_request_total"))
    trace_ids = [predict(composed) for _ in range(5)]
    wait_for_count(prometheus, before + len(trace_ids))
    exemplars = eventually(
        "an exemplar",
        lambda: prometheus.exemplars("mgeo_request_duration_seconds_bucket"),
        bool,
        SECONDS,
    )
    assert {one["labels"]["trace_id"] for one in exemplars} <= set(trace_ids)
    for trace_id in trace_ids:
        wait_for_trace_and_line(trace_id, jaeger, log_store)


def test_all_that_is_scraped_is_up(prometheus: Prometheus) -> None:
    eventually(
        "all targets up",
        lambda: {s["metric"]["job"] for s in prometheus.query("up == 0")},
        lambda down: down == LEFT_OUT,
        SECONDS,
    )


def test_what_is_killed_comes_back_and_nothing_promised_is_lost(
    composed: Composed, prometheus: Prometheus, jaeger: Jaeger, log_store: VictoriaLogs
) -> None:
    """As docs/observability.md has it: requests, counts, traces and lines, whatever goes away.

    The service itself comes last: what it counted until then is asked for first, since its
    counters begin anew.
    """
    counted = int(prometheus.value("mgeo_request_total"))
    trace_ids = []
    for name in sorted(RUN, key="mgeo".__eq__):
        if name == "mgeo":
            wait_for_count(prometheus, counted + len(trace_ids))
            for trace_id in trace_ids:
                wait_for_trace_and_line(trace_id, jaeger, log_store)
        if name == "victorialogs":
            # It answers before it writes; that is done every second.
            for trace_id in trace_ids:
                wait_for_trace_and_line(trace_id, jaeger, log_store)
            eventually("all lines on disk", lines_in_memory(log_store), lambda n: n == 0, SECONDS)
        before = composed.pid(name)
        killed = time.monotonic()
        os.kill(before, signal.SIGKILL)
        if name != "mgeo":
            trace_ids.append(predict(composed))
        composed.wait_until_it_runs_again(name, before)
        print(f"{name}: back in {time.monotonic() - killed:.1f} s")
    last = predict(composed)
    wait_for_count(prometheus, 1)
    wait_for_trace_and_line(last, jaeger, log_store)


@pytest.fixture(scope="module")
def versions(composed: Composed, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file that shares the traffic among two models, and a register, mounted as a user would.

    Only the service is made anew, beside the stores that run.
    """
    folder = tmp_path_factory.mktemp("mounted")
    variant(folder / "other/tiny", TWIN_NOISE)
    declare(
        folder / "models.json",
        {"name": "current", "source": "bundled", "weight": 1},
        {"name": "other", "source": "/run/mgeo/other/tiny", "weight": 1},
    )
    (folder / "register").mkdir()
    files.write(folder / "register", [Entry("R1", "文三路478号华星时代广场")])
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # its user is another one
    composed.override(
        "services:\n  mgeo:\n"
        f'    volumes: ["{folder}:/run/mgeo:ro"]\n'
        "    environment:\n"
        "      MGEO_MODELS_FILE: /run/mgeo/models.json\n"
        "      MGEO_REGISTER: /run/mgeo/register\n"
    )
    composed.up("--no-deps", names=["mgeo"])


@pytest.fixture(scope="class")
def traffic(
    composed: Composed, versions: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Single pairs and batches every second, and a service beside them that has troubles."""
    url, source = composed.url("mgeo", 5000) + "/predict", random.SystemRandom()

    def send(session: requests.Session) -> None:
        for _ in range(5):
            session.post(url, json=pair(source), timeout=60)
            several = {"pairs": [pair(source) for _ in range(5)]}
            session.post(f"{url}/batch", json=several, timeout=60)

    collector = composed.url("otel-collector", 4317)
    with troubles(collector, tmp_path_factory.mktemp("keys")), steadily(send):
        yield


class TestWithTraffic:
    """What a user looks at while requests come, and goes through from one store to the next."""

    def test_two_versions_share_the_requests(
        self, composed: Composed, traffic: None, prometheus: Prometheus
    ) -> None:
        listed = get(composed.url("mgeo", 8000, "/models"))["models"]
        versions = {one["name"]: one["version"] for one in listed}
        assert versions.keys() == {"current", "other"}
        url = composed.url("mgeo", 5000) + "/predict"
        for name, version in versions.items():
            headers = {"X-Mgeo-Version": name}
            answer = requests.post(url, json=pair(random.Random(0)), headers=headers, timeout=60)
            assert answer.json()["model"]["version"] == version
        for metric, label, shown in (
            ("mgeo_model_share_ratio == 0.5", "variant", versions.keys()),
            ("mgeo_prediction_total > 0", "model_version", set(versions.values())),
        ):
            eventually(
                metric,
                lambda metric=metric, label=label: {
                    series["metric"][label] for series in prometheus.query(metric)
                },
                lambda found, shown=shown: found >= shown,
                SECONDS,
            )

    @pytest.mark.parametrize("target", [t for t in panels.targets() if t.kind != "loki"], ids=str)
    def test_panel_has_data(
        self,
        target: panels.Target,
        traffic: None,
        prometheus: Prometheus,
        jaeger: Jaeger,
        log_store: VictoriaLogs,
    ) -> None:
        if ABSENT.search(target.text):
            panels.numbers(target, prometheus)  # without an error
        else:
            panels.wait_for_data(target, prometheus, jaeger, log_store)

    def test_every_dot_leads_to_its_trace_its_lines_and_back(
        self, traffic: None, prometheus: Prometheus, jaeger: Jaeger, log_store: VictoriaLogs
    ) -> None:
        sources = grafana.data_sources(
            victorialogs.FOLDER / "stack.yaml",
            {"JAEGER_URL": jaeger.url, "JAEGER_UI_URL": jaeger.url},
        )
        dots = eventually(
            "dots",
            lambda: prometheus.exemplars(DOTS),
            lambda found: len(found) >= 10,
            SECONDS,
        )
        for dot in dots:
            grafana.round_trip(sources, dot["labels"], log_store, SPANS)


def test_what_is_kept_is_there_after_down_and_up_and_all_heed_sigterm(
    composed: Composed, jaeger: Jaeger, log_store: VictoriaLogs, prometheus: Prometheus
) -> None:
    """`docker compose down` and `up`: new containers, the same volumes. Comes last."""
    kept = predict(composed)
    wait_for_trace_and_line(kept, jaeger, log_store)
    eventually(
        "its exemplar in Prometheus",
        lambda: prometheus.exemplars("mgeo_request_duration_seconds_bucket"),
        lambda found: kept in {one["labels"]["trace_id"] for one in found},
        SECONDS,
    )
    composed.compose("down")
    composed.up()
    wait_for_trace_and_line(
        kept,
        Jaeger(composed.url("jaeger", 16686)),
        VictoriaLogs(composed.url("victorialogs", 9428)),
    )
    again = Prometheus(composed.url("prometheus", 9090))
    assert again.value('max_over_time(mgeo_request_total{status="200"}[1h])') >= 5
    composed.compose("stop")
    ended = {one["Name"]: one["State"]["ExitCode"] for one in composed.inspect()}
    # Whoever does not heed SIGTERM is killed (137) after the grace.
    assert set(ended.values()) <= {0, 143}, ended
