"""NetworkPolicies let through every connection that the configuration makes, and not others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.kubernetes.manifests import (
    Object,
    container_ports,
    containers,
    environment,
    everything,
    named,
    of_kind,
    pod,
    selects,
    workloads,
)

OBJECTS = everything("overlays/gpu")
LABELS = {w["metadata"]["name"]: pod(w)["metadata"]["labels"] for w in workloads(OBJECTS)}
KUBE_DNS = {"k8s-app": "kube-dns"}
STRANGER = {"app": "of-somebody-else"}
INTERNET = None
"""Somewhere that no selector selects."""

Labels = dict[str, str] | None


def allowed(
    source: Labels,
    target: Labels,
    port: int,
    source_space: str = "mgeo",
    target_space: str = "mgeo",
) -> bool:
    """Whether a TCP connection gets through: out of its source's policies and into its target's."""
    return _one_way("Egress", source, source_space, target, target_space, port) and _one_way(
        "Ingress", target, target_space, source, source_space, port
    )


def _one_way(
    direction: str, own: Labels, own_space: str, other: Labels, other_space: str, port: int
) -> bool:
    policies = [
        p["spec"]
        for p in of_kind(OBJECTS, "NetworkPolicy")
        if own is not None
        and own_space == p["metadata"]["namespace"]
        and direction in p["spec"]["policyTypes"]
        and selects(p["spec"]["podSelector"], own)
    ]
    if not policies:
        return True  # a pod that no policy selects is open
    side = "to" if direction == "Egress" else "from"
    return any(
        _matches(rule, side, other, own_space, other_space, port)
        for policy in policies
        for rule in policy.get(direction.lower()) or ()
    )


def _matches(
    rule: Object, side: str, other: Labels, own_space: str, other_space: str, port: int
) -> bool:
    ports = rule.get("ports")
    if ports and port not in {p["port"] for p in ports if p.get("protocol", "TCP") == "TCP"}:
        return False
    if side not in rule:
        return True
    return any(_is_peer(peer, other, own_space, other_space) for peer in rule[side])


def _is_peer(peer: Object, other: Labels, own_space: str, other_space: str) -> bool:
    if other is None:
        return False
    spaces = peer.get("namespaceSelector")
    if spaces is None:
        in_space = own_space == other_space
    else:
        in_space = selects(spaces, {"kubernetes.io/metadata.name": other_space})
    return in_space and selects(peer.get("podSelector", {}), other)


def _named_connections() -> Iterator[tuple[str, str, int]]:
    """Source, target and port of each address in the workloads' settings and arguments."""
    for workload in workloads(OBJECTS):
        for container in containers(workload):
            given = environment(container)
            given.pop("JAEGER_UI_URL", None)  # the browser's way, not the pod's
            texts = [*given.values(), *container.get("args", ())]
            for url in re.findall(r"https?://[\w.-]+:\d+", " ".join(t for t in texts if t)):
                parts = urlsplit(url)
                name = (parts.hostname or "").split(".")[0]
                target = _behind(name, parts.port or 0)
                yield workload["metadata"]["name"], target[0], target[1]


def _behind(name: str, port: int) -> tuple[str, int]:
    """The workload and its port behind a Service's; fails where there is none."""
    spec = named(OBJECTS, "Service", name)["spec"]
    [target_port] = [p["targetPort"] for p in spec["ports"] if p["port"] == port]
    [found] = [
        w for w in workloads(OBJECTS) if selects(spec["selector"], LABELS[w["metadata"]["name"]])
    ]
    return found["metadata"]["name"], container_ports(found)[target_port]


CONNECTIONS = sorted(set(_named_connections()))


def test_the_connections_are_all_found() -> None:
    assert set(CONNECTIONS) == {
        ("mgeo", "otel-collector", 4317),
        ("otel-collector", "jaeger", 14318),
        ("otel-collector", "loki", 3100),
        ("grafana", "prometheus", 9090),
        ("grafana", "jaeger", 16686),
        ("grafana", "loki", 3100),
        ("grafana", "alertmanager", 9093),
        ("prometheus-adapter", "prometheus", 9090),
    }


@pytest.mark.parametrize(("source", "target", "port"), CONNECTIONS)
def test_configured_connections_get_through(source: str, target: str, port: int) -> None:
    assert allowed(LABELS[source], LABELS[target], port)


@pytest.mark.parametrize(
    ("target", "port"),
    [
        ("mgeo", 8000),
        ("otel-collector", 8888),
        ("otel-collector", 8889),
        ("jaeger", 8887),
        ("loki", 3100),
        ("grafana", 3000),
        ("alertmanager", 9093),
    ],
)
def test_prometheus_reaches_what_it_scrapes(target: str, port: int) -> None:
    assert allowed(LABELS["prometheus"], LABELS[target], port)
    names = container_ports(next(w for w in workloads(OBJECTS) if w["metadata"]["name"] == target))
    assert port in (names["metrics"], names.get("application"))


@pytest.mark.parametrize(
    "name",
    ["mgeo", "otel-collector", "prometheus", "grafana", "prometheus-adapter", "mgeo-model-fetch"],
)
def test_who_uses_names_reaches_the_name_server(name: str) -> None:
    assert allowed(LABELS[name], KUBE_DNS, 53, target_space="kube-system")


@pytest.mark.parametrize("name", ["prometheus", "prometheus-adapter"])
def test_who_asks_the_api_server_reaches_it(name: str) -> None:
    assert allowed(LABELS[name], INTERNET, 443)
    assert allowed(LABELS[name], INTERNET, 6443)


def test_clients_anywhere_in_the_cluster_reach_predictions_and_no_more() -> None:
    assert allowed(STRANGER, LABELS["mgeo"], 5000, source_space="shop")
    assert not allowed(STRANGER, LABELS["mgeo"], 8000, source_space="shop")
    for name in set(LABELS) - {"mgeo", "prometheus-adapter"}:
        for port in (3000, 3100, 4317, 8888, 8889, 9090, 9093, 14318, 16686):
            assert not allowed(STRANGER, LABELS[name], port, source_space="shop")
            assert not allowed(STRANGER, LABELS[name], port)


def test_pods_that_see_addresses_cannot_send_them_away() -> None:
    for name in ("mgeo", "otel-collector", "jaeger", "loki", "grafana"):
        for port in (80, 443, 4317, 5000):
            assert not allowed(LABELS[name], INTERNET, port)
            assert not allowed(LABELS[name], STRANGER, port, target_space="shop")


def test_every_pod_has_a_policy() -> None:
    policies = [p["spec"]["podSelector"] for p in of_kind(OBJECTS, "NetworkPolicy")]
    for labels in LABELS.values():
        assert any(selects(selector, labels) for selector in policies)


def test_only_the_fetching_job_reaches_the_models_source() -> None:
    assert allowed(LABELS["mgeo-model-fetch"], INTERNET, 443)
    assert not allowed(LABELS["mgeo-model-fetch"], INTERNET, 80)
    assert not allowed(LABELS["mgeo"], LABELS["mgeo"], 5000), "no pod asks another"
