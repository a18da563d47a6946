"""Which programs the stack is made of, at which release, and how each is compiled.

The version of the source is pinned by `tools/go/<module>/go.mod` and verified by its `go.sum`;
`release` is the name the project itself gives to that source, which is also the tag of its
container image. Contract tests hold the two and `docker-compose.yml` together.
"""

from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).resolve().parent / "go"

_PROMETHEUS_TAGS = (
    "netgo",
    # Every cloud's service discovery would be linked in otherwise, for minutes of compiling.
    "remove_all_sd",
    "enable_dns_sd",
    "enable_consul_sd",
    "enable_kubernetes_sd",
)
_COMMON_VERSION = "github.com/prometheus/common/version.Version"


@dataclass(frozen=True, slots=True)
class Binary:
    """One program, compiled from its Go module."""

    name: str
    """File name of the program."""
    module: str
    """Folder under `tools/go` whose go.mod and go.sum pin the source."""
    package: str
    """Import path of the main package; `.` for a main package in the folder itself."""
    release: str
    """The project's release, as its container image is tagged (without a leading `v`)."""
    source: str
    """Path of the Go module the release is taken from, as named in go.mod."""
    tags: tuple[str, ...] = ()
    """Go build tags."""
    version_variable: str | None = None
    """Go variable that holds the release, for programs that take it at link time."""

    @property
    def folder(self) -> Path:
        """The folder with the go.mod."""
        return MODULES / self.module


BINARIES: tuple[Binary, ...] = (
    Binary(
        name="otelcol-mgeo",
        module="otelcol",
        package=".",
        release="0.155.0",
        source="go.opentelemetry.io/collector/otelcol",
    ),
    Binary(
        # In front of several Collectors; the last release of its exporter that is a Go module.
        name="otelcol-router",
        module="otelcol-router",
        package=".",
        release="0.152.0",
        source="github.com/open-telemetry/opentelemetry-collector-contrib/exporter/loadbalancingexporter",
    ),
    Binary(
        name="node_exporter",
        module="node_exporter",
        package="github.com/prometheus/node_exporter",
        release="1.12.1",
        source="github.com/prometheus/node_exporter",
        tags=("netgo",),
        version_variable=_COMMON_VERSION,
    ),
    Binary(
        name="amtool",
        module="amtool",
        package="github.com/prometheus/alertmanager/cmd/amtool",
        release="0.34.2",
        source="github.com/prometheus/alertmanager",
        tags=("netgo",),
        version_variable=_COMMON_VERSION,
    ),
    Binary(
        # Reads compose files: the Compose project's own parser and schema.
        name="compose-go",
        module="compose-go",
        package="github.com/compose-spec/compose-go/v2/cmd",
        release="2.16.2",
        source="github.com/compose-spec/compose-go/v2",
    ),
    Binary(
        name="kustomize",
        module="kustomize",
        package="sigs.k8s.io/kustomize/kustomize/v5",
        release="5.8.2",
        source="sigs.k8s.io/kustomize/kustomize/v5",
    ),
    Binary(
        # Holds manifests to the schemas of tests/kubernetes/schemas.
        name="kubeconform",
        module="kubeconform",
        package="github.com/yannh/kubeconform/cmd/kubeconform",
        release="0.8.0",
        source="github.com/yannh/kubeconform",
    ),
    Binary(
        # What the Prometheus adapter makes of its rules, by its own code.
        name="adapter-queries",
        module="prometheus-adapter",
        package=".",
        release="0.12.0",
        source="sigs.k8s.io/prometheus-adapter",
    ),
    Binary(
        name="promtool",
        module="prometheus",
        package="github.com/prometheus/prometheus/cmd/promtool",
        release="3.14.0",
        source="github.com/prometheus/prometheus",
        tags=_PROMETHEUS_TAGS,
        version_variable=_COMMON_VERSION,
    ),
    Binary(
        name="prometheus",
        module="prometheus",
        package="github.com/prometheus/prometheus/cmd/prometheus",
        release="3.14.0",
        source="github.com/prometheus/prometheus",
        tags=_PROMETHEUS_TAGS,
        version_variable=_COMMON_VERSION,
    ),
    Binary(
        name="jaeger",
        module="jaeger",
        package="github.com/jaegertracing/jaeger/cmd/jaeger",
        # Jaeger v2's source is published as module v1.76.0; the release made of it is 2.13.0.
        release="2.13.0",
        source="github.com/jaegertracing/jaeger",
        tags=("netgo",),
        version_variable="github.com/jaegertracing/jaeger/internal/version.latestVersion",
    ),
    Binary(
        # Keeps the logs where no Loki is installed: Loki is AGPL, and no AGPL source is built here.
        name="victoria-logs",
        module="victorialogs",
        package="github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs",
        release="1.52.1",
        source="github.com/VictoriaMetrics/VictoriaLogs",
        version_variable="github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version",
    ),
)

CONTROL_PLANE: tuple[Binary, ...] = (
    *(
        Binary(
            name=name,
            module="kubernetes",
            package=f"k8s.io/kubernetes/cmd/{name}",
            release="1.36.3",
            source="k8s.io/kubernetes",
            tags=("netgo",),
        )
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    ),
    Binary(
        # Answers the autoscaler's questions: the program that deploy/kubernetes/adapter runs.
        name="prometheus-adapter",
        module="prometheus-adapter",
        package="sigs.k8s.io/prometheus-adapter/cmd/adapter",
        release="0.12.0",
        source="sigs.k8s.io/prometheus-adapter",
        tags=("netgo",),
    ),
)
"""Kubernetes without its nodes, for the tests of tests/cluster: `make cluster-build`."""

COMPOSE: tuple[Binary, ...] = (
    Binary(
        name="docker-compose",
        module="docker-compose",
        package="github.com/docker/compose/v2/cmd",
        release="2.40.3",
        source="github.com/docker/compose/v2",
        version_variable="github.com/docker/compose/v2/internal.Version",
    ),
)
"""`docker compose` itself, for the tests of tests/containers: `make containers-build`."""

EVERY = BINARIES + CONTROL_PLANE + COMPOSE


def find(name: str) -> Binary:
    """The program called `name`.

    Raises:
        KeyError: there is no such program in the table.
    """
    for binary in EVERY:
        if binary.name == name:
            return binary
    raise KeyError(f"no program {name!r}; there are: {', '.join(b.name for b in EVERY)}")
