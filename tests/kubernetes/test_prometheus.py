"""Prometheus in Kubernetes scrapes what it does elsewhere, and finds it by what the pods carry."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.manifests import (
    FOLDER,
    ROOT,
    container_ports,
    everything,
    named,
    objects_of,
    of_kind,
    pod,
    workloads,
)
from tools.build import require

NOT_IN_A_CLUSTER = {
    "mgeo-inference": "instances that push nothing: prometheus/discovery/kubernetes.yml",
    "haproxy": "the Service spreads the requests",
    "node": "clusters have their own node exporters",
    "cadvisor": "the kubelet has it, for whoever runs the cluster",
}
ONLY_IN_A_CLUSTER = {"otel-router"}


def _config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "prometheus" / name).read_text("utf-8"))
    return loaded


KUBERNETES, PLAIN = _config("kubernetes.yml"), _config("prometheus.yml")
JOBS = {job["job_name"]: job for job in KUBERNETES["scrape_configs"]}


def test_prometheus_takes_its_configuration() -> None:
    done = subprocess.run(
        [require("promtool"), "check", "config", ROOT / "prometheus" / "kubernetes.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_the_other_configuration_but_for_how_targets_are_found() -> None:
    for part in ("global", "storage", "rule_files"):
        assert KUBERNETES[part] == PLAIN[part]
    plain = {job["job_name"]: job for job in PLAIN["scrape_configs"]}
    assert set(JOBS) - ONLY_IN_A_CLUSTER == set(plain) - set(NOT_IN_A_CLUSTER)
    for name in set(JOBS) - ONLY_IN_A_CLUSTER:
        for part in ("honor_labels", "metric_relabel_configs", "scrape_interval", "metrics_path"):
            assert JOBS[name].get(part) == plain[name].get(part)


def test_each_job_finds_pods_that_are_there_on_a_port_that_they_have() -> None:
    component = FOLDER / "components" / "victorialogs" / "victorialogs.yaml"
    others = list(yaml.safe_load_all(component.read_text("utf-8")))
    found = {
        pod(w)["metadata"]["labels"]["app.kubernetes.io/name"]: container_ports(w)
        for w in workloads(everything() + others)
    }
    found["otel-router"] = found["otel-collector"]  # of the component; has the same ports
    for name, job in JOBS.items():
        for discovery in job.get("kubernetes_sd_configs", ()):
            assert discovery["namespaces"] == {"own_namespace": True}
            [selector] = discovery["selectors"]
            key, value = selector["label"].split("=")
            assert key == "app.kubernetes.io/name"
            rules = job["relabel_configs"]
            [port] = [
                r["regex"] for r in rules if r.get("source_labels", [""])[0].endswith("port_name")
            ]
            assert port in found[value], name


def test_it_may_look_for_pods_in_its_namespace_and_do_nothing_else() -> None:
    objects = everything()
    account = pod(named(objects, "StatefulSet", "prometheus"))["spec"]["serviceAccountName"]
    assert named(objects, "Role", account)["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]
    bindings = of_kind(objects, "RoleBinding", "ClusterRoleBinding")
    bound = [b for b in bindings if account in {s["name"] for s in b["subjects"]}]
    assert [b["roleRef"]["name"] for b in bound] == [account]


def test_the_operators_monitors_scrape_the_same() -> None:
    found = of_kind(objects_of("prometheus-operator"), "PodMonitor")
    monitors = {o["metadata"]["name"]: o["spec"] for o in found}
    own = {
        job["kubernetes_sd_configs"][0]["selectors"][0]["label"].split("=")[1]
        for name, job in JOBS.items()
        if name.startswith(("mgeo-", "otel-"))
    }
    assert own == {
        m["selector"]["matchLabels"]["app.kubernetes.io/name"] for m in monitors.values()
    }
    [not_running] = [
        rule
        for rule in JOBS["mgeo-inference-probe"]["relabel_configs"]
        if rule.get("source_labels") == ["__meta_kubernetes_pod_phase"]
    ]
    for monitor in monitors.values():
        for endpoint in monitor["podMetricsEndpoints"]:
            same = {"sourceLabels": not_running["source_labels"]}
            same |= {key: not_running[key] for key in ("regex", "action")}
            assert same in endpoint["relabelings"]
    pushed = monitors["mgeo-inference-otlp"]["podMetricsEndpoints"][0]
    assert pushed["port"] == "application"
    assert pushed["honorLabels"] is JOBS["mgeo-inference-otlp"]["honor_labels"]
    [probed] = monitors["mgeo-inference-probe"]["podMetricsEndpoints"]
    [drop] = JOBS["mgeo-inference-probe"]["metric_relabel_configs"]
    [same] = probed["metricRelabelings"]
    assert same["sourceLabels"] == drop["source_labels"]
    assert (same["regex"], same["action"]) == (drop["regex"], drop["action"])


def test_the_operator_gets_the_rules_that_are_not_about_this_stack(tmp_path: Path) -> None:
    found = of_kind(objects_of("prometheus-operator"), "PrometheusRule")
    given = {o["metadata"]["name"].removeprefix("mgeo-"): o["spec"] for o in found}
    folder = ROOT / "prometheus" / "rules"
    assert set(given) == {file.stem for file in folder.glob("*.yml")} - {"stack"}
    for name, spec in given.items():
        file = tmp_path / f"{name}.yml"
        file.write_text(yaml.safe_dump(spec), "utf-8")
        done = subprocess.run(
            [require("promtool"), "check", "rules", str(file)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert spec == yaml.safe_load((folder / f"{name}.yml").read_text("utf-8"))


def test_the_operator_s_rules_speak_of_nobody_else_s_programs() -> None:
    """In a Prometheus that watches a whole cluster: only our metrics, or those of our jobs."""
    for manifest in of_kind(objects_of("prometheus-operator"), "PrometheusRule"):
        for group in manifest["spec"]["groups"]:
            for rule in group["rules"]:
                for name, labels in _selectors(rule["expr"]):
                    assert name.startswith(("mgeo_", "nvidia_", "hw_")) or "job=" in labels, rule


def _selectors(expr: str) -> list[tuple[str, str]]:
    """Metrics that an expression reads, each with its labels, but for those compared `on` ours."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    named = re.findall(r"(?<![:\w$])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w:(])({[^}]*})?", bare)
    functions = {"group_left", "label_replace"}
    labels = {"model_version", "gpu_id", "otel_component_type", "error_type", "status_class"}
    by_name = "__name__" in bare
    return [
        (name, matchers)
        for name, matchers in named
        if name not in functions | labels and not by_name
    ]


def test_the_operator_s_grafana_gets_every_dashboard() -> None:
    found = of_kind(objects_of("prometheus-operator"), "ConfigMap")
    assert all(o["metadata"]["labels"]["grafana_dashboard"] == "1" for o in found)
    texts = {name: text for o in found for name, text in o["data"].items()}
    files = (ROOT / "grafana" / "dashboards").glob("*.json")
    assert texts == {file.name: file.read_text("utf-8") for file in files}
    # What kubectl writes down of an object that it applies has 256 KiB.
    assert all(len(json.dumps(o).encode()) < 256 * 1024 for o in found)
