"""The compose files: valid, careful, and pinned to what the tests run."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from service import settings
from tools import native
from tools.binaries import BINARIES, COMPOSE, Binary, find
from tools.build import source_version
from tools.compose import COMPOSE_FILE, REPOSITORY, ComposeService, load_model, load_services

SERVICES = load_services()
GPU = REPOSITORY / "docker-compose.gpu.yml"
REPLICAS = REPOSITORY / "docker-compose.replicas.yml"
ALL_FILES = {
    "base": [COMPOSE_FILE],
    "victorialogs": [COMPOSE_FILE, native.VICTORIALOGS_FILE],
    "gpu": [COMPOSE_FILE, GPU],
    "replicas": [COMPOSE_FILE, REPLICAS],
}

EVERY = {
    name: service for files in ALL_FILES.values() for name, service in load_services(files).items()
} | SERVICES
"""The services of all the files; where several describe one, as docker-compose.yml does."""

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")

NEEDS_ROOT = {
    "cadvisor": "reads the container engine's own state",
    "volume-permissions": "changes the owner of new volumes, then ends",
}
NO_HEALTH_CHECK = {
    "otel-collector": "its image holds one program and no shell; Prometheus asks from outside",
    "haproxy": "its image has no HTTP client; Prometheus asks from outside",
    "volume-permissions": "ends",
    "load": "ends",
}
ENDS = {"volume-permissions", "load"}


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_the_compose_project_itself_accepts_the_files(files: list[Path]) -> None:
    # Interpolation, merging, the compose specification's schema, and consistency.
    assert load_model(files)["services"]


def test_what_was_asked_for_is_there() -> None:
    assert set(SERVICES) >= {
        "mgeo", "otel-collector", "prometheus", "jaeger", "loki", "grafana",
        "node-exporter", "cadvisor", "alertmanager", "load",
    }  # fmt: skip
    assert SERVICES["load"].profiles == ("load",)


@pytest.mark.parametrize("service", EVERY.values(), ids=EVERY)
def test_service_is_pinned_bounded_and_restarted(service: ComposeService) -> None:
    raw = service.raw
    assert re.fullmatch(r"v?\d+\.\d+\.\d+|local", service.tag), "an exact tag is needed"
    assert raw.get("mem_limit"), "a memory limit is needed"
    assert raw["restart"] == ("unless-stopped" if service.name not in ENDS else raw["restart"])
    test = raw.get("healthcheck", {})
    assert service.name in NO_HEALTH_CHECK or (test.get("test") and not test.get("disable"))


@pytest.mark.parametrize("service", EVERY.values(), ids=EVERY)
def test_service_has_no_more_rights_than_it_needs(service: ComposeService) -> None:
    raw = service.raw
    if service.name == "cadvisor":
        return  # privileged, as NEEDS_ROOT says
    assert raw["cap_drop"] == ["ALL"]
    assert raw["security_opt"] == ["no-new-privileges:true"]
    assert raw["read_only"] is True
    assert (raw.get("user") == "root") == (service.name in NEEDS_ROOT)
    assert not raw.get("privileged")


@pytest.mark.parametrize("service", EVERY.values(), ids=EVERY)
def test_what_stays_has_a_bounded_log_and_time_to_end(service: ComposeService) -> None:
    """Docker keeps all of a log; podman's Docker API kills at once where no time is named."""
    if service.name != "volume-permissions":
        assert service.raw["logging"]["driver"] == "json-file"
        assert service.raw["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service.raw["stop_grace_period"] == "30s"


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_only_loopback_is_published(files: list[Path]) -> None:
    for service in load_services(files).values():
        for port in service.raw.get("ports", ()):
            assert ipaddress.ip_address(port["host_ip"]).is_loopback, service.name


@pytest.mark.parametrize("service", EVERY.values(), ids=EVERY)
def test_no_health_command_has_a_blank_in_an_argument(service: ComposeService) -> None:
    """Podman's Docker API splits there: the command would arrive in pieces, and fail."""
    assert not [word for word in service.raw.get("healthcheck", {}).get("test", ()) if " " in word]


def test_image_and_compose_ask_for_health_alike() -> None:
    [words] = re.findall(r"HEALTHCHECK (?:--\S+ )*\\\n +CMD (\[.*\])", DOCKERFILE)
    assert SERVICES["mgeo"].raw["healthcheck"]["test"] == ["CMD", *json.loads(words)]
    assert SERVICES["mgeo"].health_url == "http://127.0.0.1:8000/readyz", "what `make stack` asks"


def test_the_image_alone_can_write_what_it_keeps() -> None:
    """Also `docker run --read-only`, without a volume that anybody has named."""
    [kept] = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"MODELSCOPE_CACHE={kept}" in DOCKERFILE
    assert f"--home-dir {kept} " in DOCKERFILE
    assert SERVICES["mgeo"].environment["MODELSCOPE_CACHE"] == kept


def test_the_service_writes_to_its_volume_and_to_memory_alone() -> None:
    raw = SERVICES["mgeo"].raw
    assert raw["tmpfs"] == ["/tmp"]
    [volume] = raw["volumes"]
    assert (volume["type"], volume["target"]) == ("volume", raw["environment"]["MODELSCOPE_CACHE"])
    # Docker gives a new volume the owner that the image's folder has.
    image = (REPOSITORY / "Dockerfile").read_text("utf-8")
    assert f"install --directory --owner mgeo --group mgeo {volume['target']}" in image
    assert "\nUSER 10001\n" in image


@pytest.mark.parametrize("files", ["base", "victorialogs"])
def test_no_two_services_listen_on_the_same_port(files: str) -> None:
    ports = native.ports_of(load_services(ALL_FILES[files]).values())
    shared = {port: names for port, names in ports.items() if len(names) > 1}
    assert shared == {}, "without containers they share one loopback address"


def test_published_ports_are_ports_that_the_service_listens_on() -> None:
    listens = native.ports_of(EVERY.values())
    for service in EVERY.values():
        for port in service.raw.get("ports", ()):
            assert service.name in listens[port["target"]]


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_every_mounted_file_is_in_the_repository(files: list[Path]) -> None:
    for service in load_services(files).values():
        for mount in service.mounts:
            if mount.kind == "bind" and Path(mount.source).is_relative_to(REPOSITORY):
                assert Path(mount.source).exists(), mount.source


def test_every_service_runs_without_containers_or_says_why_not() -> None:
    for service in EVERY.values():
        known = (
            service.image in (*native.BUILT, native.LOKI_IMAGE)
            or service.image in native.PACKAGED
            or service.image == native.OWN_IMAGE
        )
        assert known != (service.name in native.LEFT_OUT)


@pytest.mark.parametrize("image", list(native.BUILT))
def test_image_is_the_release_that_is_built(image: str) -> None:
    tags = {s.tag.removeprefix("v") for s in EVERY.values() if s.image == image}
    assert tags == {find(native.BUILT[image]).release}


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_nothing_waits_for_what_is_not_started(files: list[Path]) -> None:
    services = load_services(files)
    for service in services.values():
        for name in service.depends_on:
            assert set(services[name].profiles) <= set(service.profiles), f"{service.name}: {name}"


@pytest.mark.parametrize(
    ("files", "store"), [("base", "loki"), ("victorialogs", "victorialogs"), ("replicas", "loki")]
)
def test_the_log_store_that_runs_is_filled_scraped_and_shown(files: str, store: str) -> None:
    services = load_services(ALL_FILES[files])
    stores = {"loki", "victorialogs"} & set(services)
    assert {name for name in stores if not services[name].profiles} == {store}
    url = services["otel-collector"].environment["LOGS_OTLP_URL"]
    assert urlsplit(url).hostname == store
    targets = _targets(ALL_FILES[files])
    scraped = [t.split(":")[0] for name in stores for t in targets[f"{name}.yml"]]
    assert scraped == [store]
    assert store in services["grafana"].depends_on
    place = "/etc/grafana/provisioning/datasources/stack.yaml"
    [file] = [m.source for m in services["grafana"].mounts if place.startswith(m.target)][-1:]
    path = Path(file) / "datasources" / "stack.yaml" if Path(file).is_dir() else Path(file)
    sources = {s["uid"]: s for s in yaml.safe_load(path.read_text("utf-8"))["datasources"]}
    assert stores - {store} == stores - set(sources)
    variable = sources[store]["url"].strip("${}")
    assert urlsplit(services["grafana"].environment[variable]).hostname == store
    assert sources["jaeger"]["jsonData"]["tracesToLogsV2"]["datasourceUid"] == store


def test_alertmanagers_image_is_the_release_whose_amtool_checks_its_file() -> None:
    assert SERVICES["alertmanager"].tag == f"v{find('amtool').release}"


@pytest.mark.parametrize("binary", [*BINARIES, *COMPOSE], ids=lambda b: b.name)
def test_release_is_the_source_that_go_mod_pins(binary: Binary) -> None:
    source = source_version(binary).removeprefix("v")
    if binary.module == "prometheus":
        # Prometheus 3.y.z is published as Go module v0.3yy.z.
        _, minor, patch = source.split(".")
        source = f"{minor[0]}.{int(minor[1:])}.{patch}"
    if binary.name == "jaeger":
        assert (source, binary.release) == ("1.76.0", "2.13.0")  # as the release notes pair them
        return
    if binary.name == "otelcol-mgeo":
        source = re.sub(r"^1\..*", binary.release, source)
    assert source == binary.release


@pytest.mark.parametrize(
    ("folder", "module"),
    [("otel-collector", "otelcol"), ("otel-collector/router", "otelcol-router")],
)
def test_collector_source_is_made_of_what_the_manifest_lists(folder: str, module: str) -> None:
    manifest = yaml.safe_load((REPOSITORY / folder / "builder.yaml").read_text("utf-8"))
    listed = {
        entry["gomod"]
        for kind in (
            "extensions",
            "receivers",
            "processors",
            "exporters",
            "connectors",
            "providers",
        )
        for entry in manifest.get(kind, ())
    }
    required = (REPOSITORY / "tools" / "go" / module / "go.mod").read_text("utf-8")
    components = (REPOSITORY / "tools" / "go" / module / "components.go").read_text("utf-8")
    for source in listed:
        assert f"\t{source}\n" in required
        assert f'"{source.split()[0]}"' in components or "/provider/" in source
    [program] = [binary for binary in BINARIES if binary.module == module]
    assert manifest["dist"]["version"] == program.release


def _collector_types(config: Mapping[str, Any]) -> set[str]:
    return {
        name.split("/")[0]
        for kind in ("extensions", "receivers", "processors", "exporters", "connectors")
        for name in config.get(kind, ())
    }


@pytest.mark.parametrize("folder", ["otel-collector", "otel-collector/router"])
def test_collector_uses_no_component_that_is_not_built(folder: str) -> None:
    config = yaml.safe_load((REPOSITORY / folder / "config.yaml").read_text("utf-8"))
    builder = (REPOSITORY / folder / "builder.yaml").read_text("utf-8").replace("_", "")
    for name in _collector_types(config):
        # `otlp_http` is the type of otlphttpexporter, `span_metrics` of spanmetricsconnector.
        assert name.replace("_", "") in builder


def test_service_is_given_only_settings_that_it_has() -> None:
    known = {row.variable for row in settings.rows()}
    for files in ALL_FILES.values():
        for service in load_services(files).values():
            if service.image == native.OWN_IMAGE:
                given = {key for key in service.environment if key.startswith("MGEO_")}
                assert given <= known


def test_every_setting_of_a_configuration_file_has_a_default_or_is_given() -> None:
    for name, file in {
        "otel-collector": "otel-collector/config.yaml",
        "jaeger": "jaeger/config.yaml",
        "loki": "loki/config.yaml",
    }.items():
        text = (REPOSITORY / file).read_text("utf-8")
        read = dict(re.findall(r"\$\{(?:env:)?([A-Z_]+)(?::-([^}]*))?\}", text))
        assert all(read.values()), "every variable has a loopback default"
        assert set(SERVICES[name].environment) <= set(read), "a variable that nothing reads"


def test_grafana_is_given_every_variable_that_provisioning_reads() -> None:
    folders = [REPOSITORY / "grafana" / name for name in ("provisioning", "victorialogs")]
    read, with_victorialogs = (
        {
            name
            for file in folder.rglob("*.yaml")
            for name in re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", file.read_text("utf-8"))
        }
        for folder in folders
    )
    given = load_services(ALL_FILES["victorialogs"])["grafana"].environment
    assert with_victorialogs <= set(given)
    assert read <= set(SERVICES["grafana"].environment)
    assert read == {
        "PROMETHEUS_URL",
        "JAEGER_URL",
        "JAEGER_UI_URL",
        "LOKI_URL",
        "ALERTMANAGER_URL",
        "DASHBOARDS_DIR",
    }


def test_image_is_made_of_files_that_are_there_and_let_in() -> None:
    lines = DOCKERFILE.splitlines()
    let_in = [
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    ]
    copied = [
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert source in let_in, f".dockerignore keeps {source} out"


def test_image_is_pinned_not_root_and_runs_what_compose_runs() -> None:
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert re.search(r":\d+\.\d+\.\d+-", base), "an exact tag is needed"
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    command = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command
    assert tuple(json.loads(command.group(1))) == SERVICES["mgeo"].command
    assert "--require-hashes" in DOCKERFILE


def test_gpu_override_asks_for_a_gpu_and_its_packages() -> None:
    raw = load_services(ALL_FILES["gpu"])["mgeo"].raw
    (device,) = raw["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    lock = raw["build"]["args"]["REQUIREMENTS"]
    assert "\ntorch==" in (REPOSITORY / lock).read_text("utf-8")


def _targets(files: list[Path]) -> dict[str, list[str]]:
    """Target file → its addresses, as Prometheus sees them with these compose files."""
    found: dict[str, list[str]] = {}
    mounts = load_services(files)["prometheus"].mounts
    for mount in sorted(mounts, key=lambda m: len(m.target)):
        if "/targets" in mount.target:
            source = Path(mount.source)
            for file in source.glob("*.yml") if source.is_dir() else [source]:
                groups = yaml.safe_load(file.read_text("utf-8"))
                found[file.name] = [t for group in groups for t in group["targets"]]
    return found


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_no_instance_is_both_probed_and_scraped(files: list[Path]) -> None:
    targets = _targets(files)
    assert targets["service-probe.yml"]
    assert not set(targets["service-probe.yml"]) & set(targets["service-direct.yml"])


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_every_scrape_target_is_a_service_that_listens_there(files: list[Path]) -> None:
    services = load_services(files)
    listens = native.ports_of(services.values())
    for file, addresses in _targets(files).items():
        for address in addresses:
            host, port = address.split(":")
            name = "prometheus" if host == "127.0.0.1" else host
            assert name in listens.get(int(port), set()), f"{file}: {address}"
            assert not services[name].profiles, f"{file}: {name} is not started"


@pytest.mark.parametrize("files", ALL_FILES.values(), ids=ALL_FILES)
def test_every_target_file_is_read_and_every_file_read_is_there(files: list[Path]) -> None:
    text = (REPOSITORY / "prometheus" / "prometheus.yml").read_text("utf-8")
    assert set(re.findall(r"targets/([\w-]+\.yml)", text)) == set(_targets(files))


def test_instances_are_probed_under_the_name_they_give_themselves() -> None:
    for files in (ALL_FILES["base"], ALL_FILES["replicas"]):
        services = load_services(files)
        for mount in services["prometheus"].mounts:
            source = Path(mount.source)
            file = source / "service-probe.yml" if source.is_dir() else source
            if file.name != "service-probe.yml" or not file.exists():
                continue
            for group in yaml.safe_load(file.read_text("utf-8")):
                name = group["targets"][0].split(":")[0]
                if name in services:
                    given = services[name].environment["OTEL_RESOURCE_ATTRIBUTES"]
                    assert given == f"service.instance.id={group['labels']['instance']}"
