"""The manifests: valid, careful, and in step with the code and the compose file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import service
from tests.kubernetes.manifests import (
    FOLDERS,
    OVERLAYS,
    ROOT,
    SCHEMAS,
    Object,
    container_ports,
    containers,
    environment,
    everything,
    kustomize,
    named,
    objects_of,
    of_kind,
    pod,
    selects,
    text_of,
    workloads,
)
from tools.binaries import find
from tools.build import require
from tools.compose import COMPOSE_FILE, load_services
from tools.native import VICTORIALOGS_FILE

COMPOSE = load_services()
NAMESPACE = "mgeo"
CONFIGURATIONS = ("otel-collector", "prometheus", "jaeger", "loki", "alertmanager", "grafana")
OWN_IMAGE = "registry.example/mgeo-inference"


def _kubeconform(text: str) -> subprocess.CompletedProcess[str]:
    location = f"{SCHEMAS}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return subprocess.run(
        [require("kubeconform"), "-strict", "-summary", "-schema-location", location, "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_kubernetes_schemas_accept_every_object(folder: str) -> None:
    done = _kubeconform(text_of(folder))
    assert done.returncode == 0, done.stdout
    count = len(objects_of(folder))
    assert f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("terminationGracePeriodSeconds: 40", "terminationGracePeriod: 40"),
        ("terminationGracePeriodSeconds: 40", 'terminationGracePeriodSeconds: "40"'),
        ("maxReplicas: 20", "maximumReplicas: 20"),
        ("maxReplicas: 20", ""),
        ("kind: PodDisruptionBudget", "kind: PodDisruptionBudgets"),
    ],
)
def test_the_schemas_refuse_what_is_wrong(right: str, wrong: str) -> None:
    text = text_of("overlays/cpu")
    assert right in text
    assert _kubeconform(text.replace(right, wrong)).returncode != 0


def _own_overlay(component: str, folder: Path) -> list[Object]:
    """What the overlay that docs/kubernetes.md shows for a component makes, held to the schemas."""
    text = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    uses = f"- ../../components/{component}\n"
    [shown] = [b.split("\n", 1)[1] for b in text.split("```")[1::2] if uses in b]
    for name in ("deploy", *CONFIGURATIONS):
        shutil.copytree(ROOT / name, folder / name)
    overlay = folder / "deploy" / "kubernetes" / "overlays" / "own"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(shown, "utf-8")
    built = kustomize(overlay)
    done = _kubeconform(built)
    assert done.returncode == 0, done.stdout
    return list(yaml.safe_load_all(built))


def test_victorialogs_takes_the_place_of_loki(tmp_path: Path) -> None:
    objects = _own_overlay("victorialogs", tmp_path)
    for built in objects:
        # Policies of the others may still name pods that are not there.
        assert built["kind"] in {"ConfigMap", "NetworkPolicy"} or "loki" not in str(built).lower()
        assert built["metadata"]["name"] != "loki"
    compose = load_services([COMPOSE_FILE, VICTORIALOGS_FILE])
    [store] = containers(named(objects, "StatefulSet", "victorialogs"))
    assert tuple(store["args"]) == compose["victorialogs"].command
    assert store["image"] == f"{compose['victorialogs'].image}:{compose['victorialogs'].tag}"
    for name in ("otel-collector", "grafana"):
        [container] = containers(named(objects, "StatefulSet", name))
        given = environment(container)
        for key, value in compose[name].environment.items():
            if "victorialogs" in value or key.startswith("GF_PLUGINS_"):
                assert given[key] == value
        policy = named(objects, "NetworkPolicy", name)["spec"]["egress"]
        to = {"matchLabels": {"app.kubernetes.io/name": "victorialogs"}}
        assert {"to": [{"podSelector": to}], "ports": [{"port": 9428}]} in policy
    maps = {o["metadata"]["name"].rpartition("-")[0]: o for o in of_kind(objects, "ConfigMap")}
    own = ROOT / "grafana" / "victorialogs"
    shown = maps["grafana-datasources"]["data"] | maps["grafana-dashboard-service"]["data"]
    for file in ("stack.yaml", "service.json"):
        assert shown[file] == (own / file).read_text("utf-8")
    assert "service.json" not in maps["grafana-dashboards"]["data"]
    assert "loki-config" not in maps


def test_the_ways_to_combine_the_parts_are_valid_too(tmp_path: Path) -> None:
    objects = _own_overlay("collector-shards", tmp_path)
    assert named(objects, "StatefulSet", "otel-collector")["spec"]["replicas"] == 3
    router = pod(named(objects, "Deployment", "otel-router"))["metadata"]["labels"]
    entrance = named(objects, "Service", "otel-collector")["spec"]
    assert selects(entrance["selector"], router)
    [container] = containers(named(objects, "Deployment", "otel-router"))
    assert container["image"] == f"{_image('otel-collector')}:{find('otelcol-router').release}"
    [host] = [e["value"] for e in container["env"] if e["name"] == "COLLECTOR_SHARDS_HOST"]
    behind = named(objects, "Service", host)["spec"]
    collectors = pod(named(objects, "StatefulSet", "otel-collector"))["metadata"]["labels"]
    assert behind["clusterIP"] == "None"
    assert selects(behind["selector"], collectors)
    assert not selects(entrance["selector"], collectors)


def _image(service_name: str) -> str:
    return COMPOSE[service_name].image


def test_configuration_is_the_repositorys_own_files() -> None:
    maps = {
        o["metadata"]["name"].rpartition("-")[0]: o["data"]
        for o in of_kind(objects_of("overlays/cpu"), "ConfigMap")
    }
    boards = set((ROOT / "grafana/dashboards").glob("*.json"))
    service_board = ROOT / "grafana/dashboards/service.json"
    files = {
        "otel-collector-config": [ROOT / "otel-collector/config.yaml"],
        "prometheus-rules": sorted((ROOT / "prometheus/rules").glob("*.yml")),
        "prometheus-runbooks": sorted((ROOT / "prometheus/consoles").iterdir()),
        "jaeger-config": [ROOT / "jaeger/config.yaml"],
        "loki-config": [ROOT / "loki/config.yaml"],
        "alertmanager-config": [ROOT / "alertmanager/alertmanager.yml"],
        "grafana-datasources": sorted((ROOT / "grafana/provisioning/datasources").iterdir()),
        "grafana-dashboard-provider": sorted((ROOT / "grafana/provisioning/dashboards").iterdir()),
        "grafana-dashboards": sorted(boards - {service_board}),
        "grafana-dashboard-service": [service_board],
    }
    assert set(maps) == {*files, "prometheus-config"}
    for name, paths in files.items():
        assert maps[name] == {path.name: path.read_text("utf-8") for path in paths}
    own = (ROOT / "prometheus" / "kubernetes.yml").read_text("utf-8")
    assert maps["prometheus-config"] == {"prometheus.yml": own}
    # What kubectl writes down of an object that it applies has 256 KiB.
    for name, data in maps.items():
        assert len(json.dumps(data).encode()) < 250 * 1024, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_the_compose_files_and_the_service_is_this_version(overlay: str) -> None:
    pinned = {f"{s.image}:{s.tag}" for s in COMPOSE.values()}
    own = {
        "overlays/cpu": f"{OWN_IMAGE}:{service.__version__}",
        "overlays/gpu": f"{OWN_IMAGE}:{service.__version__}-gpu",
    }[overlay]
    for workload in workloads(objects_of(overlay)):
        for container in containers(workload):
            ours = workload["metadata"]["name"].startswith("mgeo")
            assert container["image"] == own if ours else container["image"] in pinned


def test_the_adapters_image_is_the_release_whose_code_reads_its_rules() -> None:
    [container] = containers(named(objects_of("adapter"), "Deployment", "prometheus-adapter"))
    assert container["image"].endswith(f":v{find('adapter-queries').release}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_to_the_restricted_standard(overlay: str) -> None:
    objects = everything(overlay)
    labels = named(objects, "Namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(objects):
        spec = pod(workload)["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec.get("volumes", ()))
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]["cpu"]
            assert container["resources"]["limits"]["memory"]


def test_only_who_asks_the_api_server_has_a_token() -> None:
    for workload in workloads(everything("overlays/gpu")):
        asks = workload["metadata"]["name"] in {"prometheus", "prometheus-adapter"}
        assert pod(workload)["spec"].get("automountServiceAccountToken", True) is asks


def test_no_pod_is_given_variables_made_of_services_names() -> None:
    for workload in workloads(everything("overlays/gpu")):
        assert pod(workload)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_pods_and_ports(overlay: str) -> None:
    objects = everything(overlay)
    pods = {w["metadata"]["name"]: (pod(w)["metadata"]["labels"], w) for w in workloads(objects)}
    for entry in of_kind(objects, "Service"):
        found = [w for labels, w in pods.values() if selects(entry["spec"]["selector"], labels)]
        assert len(found) == 1, entry["metadata"]["name"]
        for port in entry["spec"]["ports"]:
            assert port["targetPort"] in container_ports(found[0])
    for entry in of_kind(objects, "PodDisruptionBudget", "NetworkPolicy"):
        selector = entry["spec"].get("selector") or entry["spec"]["podSelector"]
        assert any(selects(selector, labels) for labels, _ in pods.values())
    for workload in workloads(objects):
        if workload["kind"] != "Job":
            assert selects(workload["spec"]["selector"], pod(workload)["metadata"]["labels"])
        names = container_ports(workload)
        for container in containers(workload):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe in container:
                    assert container[probe]["httpGet"]["port"] in names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_mounted_volumes_exist(overlay: str) -> None:
    objects = everything(overlay)
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    for workload in workloads(objects):
        spec = pod(workload)["spec"]
        claimed = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", ())}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
        for container in containers(workload):
            for mount in container.get("volumeMounts", ()):
                assert mount["name"] in claimed | set(volumes)
        for volume in volumes.values():
            for source in (volume, *volume.get("projected", {}).get("sources", ())):
                if "configMap" in source:
                    assert ("ConfigMap", source["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in names


@pytest.mark.parametrize("name", ["otel-collector", "jaeger", "loki", "grafana"])
def test_other_programs_get_the_settings_that_compose_gives_them(name: str) -> None:
    [container] = containers(named(objects_of("overlays/cpu"), "StatefulSet", name))
    given, compose = environment(container), dict(COMPOSE[name].environment)
    # Containers that share nothing may open what compose's, on one network, keep to loopback.
    differ = {
        "otel-collector": {"COLLECTOR_ZPAGES_ENDPOINT", "DEPLOYMENT_ENVIRONMENT"},
        "jaeger": {"JAEGER_HEALTH_ENDPOINT"},
        # Compose's Grafana is on loopback and asks nobody for a password.
        "grafana": {key for key in compose if key.startswith("GF_AUTH_")},
        "loki": set[str](),
    }[name]
    for key in set(compose) - differ:
        assert given[key] == compose[key]
    assert "GF_AUTH_ANONYMOUS_ENABLED" not in given
    if name != "grafana":
        assert tuple(container["args"]) == COMPOSE[name].command


def test_the_collector_refuses_before_its_container_is_killed() -> None:
    [container] = containers(named(objects_of("overlays/cpu"), "StatefulSet", "otel-collector"))
    given = environment(container)
    limit = int(given["COLLECTOR_MEMORY_LIMIT_MIB"] or 0)
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert limit <= 0.8 * 1024
    assert int(given["COLLECTOR_MEMORY_SPIKE_MIB"] or 0) <= limit / 2


@pytest.mark.parametrize("folder", ["overlays/cpu", "overlays/gpu", "adapter"])
def test_everything_is_in_one_namespace(folder: str) -> None:
    cluster_wide = {"Namespace", "ClusterRole", "ClusterRoleBinding", "APIService"}
    for entry in objects_of(folder):
        metadata: dict[str, Any] = entry["metadata"]
        if entry["kind"] in cluster_wide:
            assert "namespace" not in metadata
        elif metadata["name"] != "mgeo-prometheus-adapter:auth-reader":
            assert metadata["namespace"] == NAMESPACE
        for subject in entry.get("subjects", ()):
            assert subject["namespace"] in (NAMESPACE, "kube-system")


def test_commands_of_the_page_name_what_is_there() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    commands = [
        line
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    applied = {match[1] for c in commands if (match := re.search(r"kubectl apply -k (\S+)", c))}
    assert applied == {f"deploy/kubernetes/{f}" for f in (*OVERLAYS, "adapter")}
    objects = objects_of("overlays/gpu")
    known = {(o["kind"].lower(), o["metadata"]["name"]) for o in objects}
    pattern = r"\b(deployment|service|job|horizontalpodautoscaler)[/ ]([\w-]+)"
    for command in commands:
        if "kubectl -n mgeo" in command:
            for kind, name in re.findall(pattern, command):
                assert (kind, name) in known, command
    assert f":{service.__version__}" in page
    secret = re.search(r"create secret generic ([\w-]+) --from-literal=(\w+)=", page)
    assert secret
    [grafana] = containers(named(objects, "StatefulSet", "grafana"))
    [password] = [
        e["valueFrom"] for e in grafana["env"] if e["name"] == "GF_SECURITY_ADMIN_PASSWORD"
    ]
    assert password["secretKeyRef"] == {"name": secret[1], "key": secret[2]}


def test_addresses_in_the_cluster_are_those_of_services() -> None:
    [adapter] = containers(named(objects_of("adapter"), "Deployment", "prometheus-adapter"))
    assert f"--prometheus-url=http://prometheus.{NAMESPACE}.svc:9090/" in adapter["args"]
    assert named(objects_of("overlays/cpu"), "Service", "prometheus")
