"""The service's Deployment: its settings, probes, times and identity, with and without a GPU."""

from __future__ import annotations

import pytest

from service import app, settings
from tests.conftest import Running
from tests.kubernetes.manifests import (
    OVERLAYS,
    Object,
    containers,
    environment,
    named,
    objects_of,
    pod,
)


def test_what_kubernetes_sets_for_the_service_does_not_stop_the_start() -> None:
    """A cluster that does not honour `enableServiceLinks: false`, or a pod of one's own."""
    service = named(objects_of("overlays/cpu"), "Service", "mgeo")
    links = {"MGEO_SERVICE_HOST": "10.0.0.1"}
    for port in service["spec"]["ports"]:
        number, address = str(port["port"]), f"tcp://10.0.0.1:{port['port']}"
        links |= {f"MGEO_SERVICE_PORT_{port['name'].upper()}": number, "MGEO_PORT": address}
        links |= {"MGEO_SERVICE_PORT": number, f"MGEO_PORT_{number}_TCP": address}
    assert settings.load(environment=links) == settings.Settings()


def _mgeo(overlay: str = "overlays/cpu") -> tuple[Object, Object]:
    """The service's Deployment and its container."""
    deployment = named(objects_of(overlay), "Deployment", "mgeo")
    [container] = containers(deployment)
    return deployment, container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_takes_its_settings(overlay: str) -> None:
    _, container = _mgeo(overlay)
    given = environment(container)
    given["MGEO_CPU_THREADS"] = container["resources"]["requests"]["cpu"]
    ours = {key: value or "" for key, value in given.items() if key.startswith("MGEO_")}
    loaded = settings.load(environment=ours)
    defaults = settings.Settings()
    assert (loaded.port, loaded.metrics_port) == (defaults.port, defaults.metrics_port)
    assert loaded.cpu_threads == int(container["resources"]["requests"]["cpu"])
    assert "cpu" not in container["resources"]["limits"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": defaults.port, "metrics": defaults.metrics_port}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pod_is_given_the_time_that_its_stop_takes(overlay: str) -> None:
    deployment, container = _mgeo(overlay)
    given = environment(container)
    needed = (
        float(given["MGEO_SHUTDOWN_DELAY"] or 0)
        + float(given["MGEO_SHUTDOWN_GRACE"] or 0)
        + app._TELEMETRY_FLUSH_SECONDS
    )
    allowed = pod(deployment)["spec"]["terminationGracePeriodSeconds"]
    assert needed + 5 <= allowed <= needed + 15


def test_probes_ask_routes_that_exist_on_the_operations_port(running: Running) -> None:
    routes = {rule.rule for rule in running.service.operations.app.url_map.iter_rules()}
    _, container = _mgeo()
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
    asked["readiness"] = container["readinessProbe"]["httpGet"]
    assert {a["port"] for a in asked.values()} == {"metrics"}
    assert {a["path"] for a in asked.values()} <= routes
    paths = (asked[name]["path"] for name in ("startup", "liveness", "readiness"))
    assert tuple(paths) == ("/livez", "/livez", "/readyz")


def test_the_pods_name_is_its_instance_id() -> None:
    _, container = _mgeo()
    variables = container["env"]
    names = [entry["name"] for entry in variables]
    given = environment(container)["OTEL_RESOURCE_ATTRIBUTES"] or ""
    assert given.startswith("service.instance.id=$(POD_NAME),")
    assert " " not in given
    [source] = [e for e in variables if e["name"] == "POD_NAME"]
    assert source["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    deployment, container = _mgeo()
    attributes = dict(item.split("=") for item in given.split(","))
    assert attributes["k8s.deployment.name"] == deployment["metadata"]["name"]
    assert attributes["k8s.container.name"] == container["name"]
    assert set(attributes) == {
        "service.instance.id",
        *(f"k8s.{what}.name" for what in ("pod", "namespace", "deployment", "container", "node")),
        "k8s.pod.uid",
    }
    for used in ("POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME"):
        # Kubernetes replaces only what stands before.
        assert names.index(used) < names.index("OTEL_RESOURCE_ATTRIBUTES")


def test_the_gpu_overlay_asks_for_a_gpu_where_there_is_one() -> None:
    deployment, container = _mgeo("overlays/gpu")
    spec = pod(deployment)["spec"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert environment(container)["MGEO_DEVICE"] == "cuda"
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["key"] == "nvidia.com/gpu.present"
    update = deployment["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxSurge": 0, "maxUnavailable": 1}
    plain = pod(_mgeo()[0])["spec"]
    assert "tolerations" not in plain


def test_pods_read_the_folder_that_the_job_fetches() -> None:
    objects = objects_of("overlays/gpu")
    [fetch] = containers(named(objects, "Job", "mgeo-model-fetch"))
    [target] = [a.removeprefix("--to=") for a in fetch["args"] if a.startswith("--to=")]
    _, container = _mgeo("overlays/gpu")
    assert environment(container)["MGEO_MODEL"] == target
    [mount] = [m for m in container["volumeMounts"] if m["name"] == "models"]
    assert mount["readOnly"] is True
    assert target.startswith(mount["mountPath"] + "/")
    written = [m["mountPath"] for m in fetch["volumeMounts"] if m["name"] == "models"]
    assert written == [mount["mountPath"]]
