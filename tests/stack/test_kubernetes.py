"""What deploy/kubernetes adds to the stack, on the real programs: discovery, metrics, routing."""

from __future__ import annotations

import collections
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from benchmarks import capacity
from tests.kubernetes.manifests import container_ports, everything, named, pod
from tests.kubernetes.test_autoscaling import QUEUE, REQUESTS, query
from tests.stack import names
from tests.stack.clients import Prometheus, eventually, get
from tests.stack.conftest import Traffic
from tests.telemetry.collector import Collector, attributes_of
from tests.waiting import RunningClock
from tools import native
from tools.build import BuildError, require
from tools.compose import REPOSITORY
from tools.load import run
from tools.processes import Managed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


def _program(name: str) -> str:
    try:
        return str(require(name))
    except BuildError as error:
        pytest.fail(str(error))


# ---- what the autoscaler asks, while there is load -------------------------------------------


def test_the_autoscalers_queries_follow_the_load(
    prometheus: Prometheus, predict_url: str, traffic: Traffic
) -> None:
    """Ten requests a second: both metrics are one number each, and the right one.

    The service's exports and Prometheus's scrapes are both 15 s apart, and drift. Where one passes
    the other, a scrape finds no new count, and for a minute the rate is a third off. So eight
    seconds in a row must be right in one of several tries.
    """
    done, right = threading.Event(), pytest.approx([10.0] * 8, rel=0.05)
    load = {"requests": 10_000, "concurrency": 6, "rate": 10, "stop": done}
    sending = threading.Thread(target=run, args=(predict_url,), kwargs=load)
    sending.start()
    try:
        # A minute of it has gone through export, scrape and the rate's minute.
        RunningClock().sleep(92)
        for _ in range(10):
            seen = [_asked_by_the_autoscaler(prometheus) for _ in range(8)]
            rates, ages = zip(*seen, strict=True)
            # rate() extrapolates from samples: a request sent between two counts for either.
            if list(rates) == right and max(ages) < 1:
                break
    finally:
        done.set()
        sending.join()
    assert list(rates) == right
    assert 0 <= min(ages) <= max(ages) < 1


def _asked_by_the_autoscaler(prometheus: Prometheus) -> tuple[float, float]:
    """What it reads of requests and of the queue; a second passes."""
    time.sleep(1)
    found = []
    for metric in (REQUESTS, QUEUE):
        [series] = prometheus.query(query(metric))
        assert series["metric"] == {}
        found.append(float(series["value"][1]))
    return found[0], found[1]


def test_series_of_a_replica_in_prometheus(
    prometheus: Prometheus, traffic: Traffic, capsys: pytest.CaptureFixture[str]
) -> None:
    """What docs/capacity.md reckons with, without the metrics of this replica's stub GPU."""
    mine = 'instance="mgeo-1", __name__!~"nvidia_.*|hw_.*|mgeo_gpu_.*|up|scrape_.*"'
    count = prometheus.value(f"count({{{mine}}})")
    with capsys.disabled():
        print(f"\n{count:.0f} series of a replica in Prometheus")
    assert count == pytest.approx(capacity.SERIES_IN_PROMETHEUS, rel=0.05)


# ---- Prometheus finds pods -------------------------------------------------------------------


def _pod_object(
    workload: Any, name: str, address: str, phase: str = "Running", ready: bool = True
) -> dict[str, Any]:
    """A pod as the API server shows it, made of a workload's template."""
    template = pod(workload)
    return {
        "metadata": {
            "name": name,
            "namespace": "mgeo",
            "uid": name,
            "labels": template["metadata"]["labels"],
        },
        "spec": {"nodeName": "node-1", "containers": template["spec"]["containers"]},
        "status": {
            "phase": phase,
            "podIP": address,
            "hostIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


@contextmanager
def _api_server(pods: list[dict[str, Any]]) -> Iterator[str]:
    """As much of Kubernetes' API as discovery asks: pods by label, listed and then watched."""
    ending = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            if not self.path.startswith(("/api/v1/namespaces/mgeo/pods", "/api/v1/pods")):
                self.send_error(404)
                return
            if asked.get("watch") and asked.get("sendInitialEvents"):
                # A server without streaming lists; clients then list and watch.
                self._answer(
                    422, {"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid"}
                )
                return
            if asked.get("watch"):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                ending.wait(30)
                return
            key, _, value = asked.get("labelSelector", [""])[0].partition("=")
            chosen = [p for p in pods if p["metadata"]["labels"].get(key) == value]
            meta = {"resourceVersion": "1"}
            self._answer(
                200, {"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": chosen}
            )

        def _answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ending.set()
        server.shutdown()
        server.server_close()


def test_prometheus_finds_the_pods_of_the_manifests(tmp_path: Path) -> None:
    """The real discovery, against the pods that the manifests' templates make."""
    objects = everything()
    service = named(objects, "Deployment", "mgeo")
    collector = named(objects, "StatefulSet", "otel-collector")
    jaeger = named(objects, "StatefulSet", "jaeger")
    pods = [
        _pod_object(service, "mgeo-7d9c-aaaaa", "127.0.0.11"),
        # Not ready for long: an alert can tell only of what is scraped.
        _pod_object(service, "mgeo-7d9c-bbbbb", "127.0.0.12", ready=False),
        _pod_object(service, "mgeo-7d9c-ended", "127.0.0.13", phase="Succeeded"),
        # Has an address, and its image is on its way.
        _pod_object(service, "mgeo-7d9c-pulls", "127.0.0.16", phase="Pending", ready=False),
        _pod_object(collector, "otel-collector-0", "127.0.0.14"),
        _pod_object(jaeger, "jaeger-0", "127.0.0.15"),
    ]
    text = (REPOSITORY / "prometheus" / "kubernetes.yml").read_text("utf-8")
    config = yaml.safe_load(text.replace("own_namespace: true", "names: [mgeo]"))
    metrics, application = (container_ports(collector)[name] for name in ("metrics", "application"))
    pushed = f"127.0.0.14:{application}"
    assert _discovered(tmp_path / "gateway", config, pods, 6) == {
        ("mgeo-inference", "mgeo-7d9c-aaaaa", "", "127.0.0.11:8000"),
        ("mgeo-inference", "mgeo-7d9c-bbbbb", "", "127.0.0.12:8000"),
        ("mgeo-inference-otlp", pushed, "otel-collector-0", pushed),
        ("otel-collector", "otel-collector-0", "", f"127.0.0.14:{metrics}"),
        ("jaeger", "jaeger-0", "", "127.0.0.15:8887"),
        ("prometheus", "127.0.0.1:9090", "", "127.0.0.1:9090"),
    }  # fmt: skip
    direct = (REPOSITORY / "prometheus" / "discovery" / "kubernetes.yml").read_text("utf-8")
    assert _discovered(tmp_path / "direct", yaml.safe_load(direct), pods, 2) == {
        ("mgeo-inference", "mgeo-7d9c-aaaaa", "", "127.0.0.11:8000"),
        ("mgeo-inference", "mgeo-7d9c-bbbbb", "", "127.0.0.12:8000"),
    }


def _discovered(
    folder: Path, config: dict[str, Any], pods: list[dict[str, Any]], least: int
) -> set[tuple[str, str, str, str]]:
    """The targets that Prometheus finds, once they are `least`."""
    folder.mkdir()
    port = native.free_ports([9090])[9090]
    alerting = config.get("alerting", {}).get("alertmanagers", ())
    with _api_server(pods) as url:
        for job in [*config["scrape_configs"], *alerting]:
            for discovery in job.get("kubernetes_sd_configs", ()):
                discovery["api_server"] = url
        config["rule_files"] = []
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config), "utf-8")
        command = [
            _program("prometheus"), f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        health = f"http://127.0.0.1:{port}/-/ready"
        prometheus = Managed("prometheus", command, {}, folder, folder / "log", health)
        with ExitStack() as running:
            running.callback(prometheus.stop)
            prometheus.start()
            prometheus.wait_healthy(60)
            return eventually(
                "targets",
                lambda: _targets(f"http://127.0.0.1:{port}"),
                lambda found: len(found) >= least,
                seconds=60,
            )


def _targets(url: str) -> set[tuple[str, str, str, str]]:
    """Job, instance, collector and address of each target."""
    found = get(f"{url}/api/v1/targets", state="active")["data"]["activeTargets"]
    return {
        (
            target["labels"]["job"],
            target["labels"]["instance"],
            target["labels"].get("collector", ""),
            urlsplit(target["scrapeUrl"]).netloc,
        )
        for target in found
    }


# ---- two tiers of Collectors -----------------------------------------------------------------

TRACES = 120
INSTANCES = 12


@pytest.fixture(scope="module")
def shards(
    name_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Collector]]:
    """Three receivers under one name, and the real router in front of them."""
    folder = tmp_path_factory.mktemp("router")
    ports = native.free_ports([4317, 4318, 8888, 13133])
    shard_port = native.free_ports([0])[0]
    config = REPOSITORY / "otel-collector" / "router" / "config.yaml"
    command = names.asking_only_it(folder, [_program("otelcol-router"), f"--config={config}"])
    environment = {
        "COLLECTOR_OTLP_GRPC_ENDPOINT": f"127.0.0.1:{ports[4317]}",
        "COLLECTOR_OTLP_HTTP_ENDPOINT": f"127.0.0.1:{ports[4318]}",
        "COLLECTOR_METRICS_PORT": str(ports[8888]),
        "COLLECTOR_HEALTH_ENDPOINT": f"127.0.0.1:{ports[13133]}",
        "COLLECTOR_SHARDS_HOST": names.NAME,
        "COLLECTOR_SHARDS_PORT": str(shard_port),
    }
    health = f"http://127.0.0.1:{ports[13133]}/"
    router = Managed("otel-router", command, environment, folder, folder / "log", health)
    with ExitStack() as running:
        found = [
            running.enter_context(Collector(address=f"{host}:{shard_port}")) for host in names.HOSTS
        ]
        running.callback(router.stop)
        router.start()
        router.wait_healthy(60)
        _send(f"127.0.0.1:{ports[4317]}")
        eventually(
            "everything routed",
            lambda: (
                sum(len(shard.spans) for shard in found),
                sum(len(_instances(shard)) for shard in found),
            ),
            lambda seen: seen[0] >= 2 * TRACES and seen[1] >= 2 * INSTANCES,
            seconds=60,
        )
        yield found


def _send(address: str) -> None:
    """Each trace's two spans from two instances, minutes of metrics of many: the router's input."""
    with grpc.insecure_channel(address) as channel:
        traces = trace_service_pb2_grpc.TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        metrics = metrics_service_pb2_grpc.MetricsServiceStub(channel)  # type: ignore[no-untyped-call]
        for part in (1, 2):
            request = trace_service_pb2.ExportTraceServiceRequest()
            resource = request.resource_spans.add()
            _name(resource.resource, f"mgeo-{part}")
            spans = resource.scope_spans.add().spans
            for number in range(TRACES):
                # Ids as random as real ones are.
                spans.add(
                    trace_id=hashlib.md5(str(number).encode(), usedforsecurity=False).digest(),
                    span_id=bytes([part]) + number.to_bytes(7, "big"),
                    name="request",
                )
            traces.Export(request, timeout=60)
            for number in range(INSTANCES):
                pushed = metrics_service_pb2.ExportMetricsServiceRequest()
                entry = pushed.resource_metrics.add()
                _name(entry.resource, f"mgeo-{number}")
                metric = entry.scope_metrics.add().metrics.add(name="mgeo.ready")
                metric.gauge.data_points.add(as_double=1.0, time_unix_nano=part)
                metrics.Export(pushed, timeout=60)


def _name(resource: Any, instance: str) -> None:
    resource.attributes.add(key="service.name").value.string_value = "mgeo-inference"
    resource.attributes.add(key="service.instance.id").value.string_value = instance


def _instances(shard: Collector) -> list[str]:
    """The instance of each arrival of metrics."""
    return [
        str(attributes_of(entry.resource)["service.instance.id"])
        for request in list(shard.requests)
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest)
        for entry in request.resource_metrics
    ]


def test_a_trace_stays_whole(shards: list[Collector]) -> None:
    by_shard = [collections.Counter(span.trace_id for span in shard.spans) for shard in shards]
    assert sum(by_shard, collections.Counter()) == dict.fromkeys(
        {trace for counted in by_shard for trace in counted}, 2
    )
    assert sum(len(counted) for counted in by_shard) == TRACES, "no trace is on two of them"
    assert min(len(counted) for counted in by_shard) > TRACES / 3 / 4, "all of them have some"


def test_an_instances_series_stay_in_one_place(shards: list[Collector]) -> None:
    by_shard = [collections.Counter(_instances(shard)) for shard in shards]
    assert sum(len(counted) for counted in by_shard) == INSTANCES
    assert all(set(counted.values()) <= {2} for counted in by_shard)
