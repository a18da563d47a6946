"""What the tests of containers stand on, and what they say where it is absent. Starts none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.containers import memory
from tests.containers.programs import PUBLISHED
from tools import build, containers, native, packages
from tools.compose import COMPOSE_FILE, REPOSITORY, load_services

GPU = REPOSITORY / "docker-compose.gpu.yml"
REPLICAS = REPOSITORY / "docker-compose.replicas.yml"
NOT_RUN = {"grafana/grafana", "grafana/loki", "ghcr.io/google/cadvisor"}
"""docs/containers.md says so."""


def test_the_base_image_is_the_dockerfiles() -> None:
    assert containers.base_image().startswith("docker.io/library/python:3.11.")


def test_a_dockerfile_with_two_bases_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python:3.11 AS build\nFROM debian:12\n")
    monkeypatch.setattr(containers, "DOCKERFILE", file)
    with pytest.raises(containers.ContainersError, match="one base image"):
        containers.base_image()


def test_without_its_programs_one_line_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    reason = containers.unavailable()
    assert reason is not None
    assert "podman" in reason
    assert "make containers-build" in reason
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert containers.unavailable() == "containers: the tests run them as root"


def test_every_program_that_is_needed_is_in_a_package_that_is_listed() -> None:
    listed = set(packages.wanted(packages.FURTHER["containers"]))
    assert set(containers.PROGRAMS.values()) <= listed


@pytest.mark.parametrize("further", [[], [native.VICTORIALOGS_FILE], [REPLICAS]])
def test_every_image_is_made_or_is_said_not_to_be_run(further: list[Path]) -> None:
    images = {service.image for service in load_services([COMPOSE_FILE, *further]).values()}
    assert images - set(PUBLISHED) - {native.OWN_IMAGE} <= NOT_RUN


@pytest.mark.parametrize(
    "further",
    [[], [native.VICTORIALOGS_FILE], [REPLICAS], [GPU], [native.VICTORIALOGS_FILE, REPLICAS]],
)
def test_dockers_own_compose_takes_the_files_without_a_word(
    front_end: None, further: list[Path]
) -> None:
    files = [word for file in (COMPOSE_FILE, *further) for word in ("--file", str(file))]
    done = subprocess.run(
        [str(build.require("docker-compose")), *files, "--profile", "load", "config"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    services = yaml.safe_load(done.stdout)["services"]
    assert "load" in services
    if GPU in further:
        [device] = services["mgeo"]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["count"]) == ("nvidia", 1)


def test_pips_settings_reach_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "77")
    containers._pip_settings.cache_clear()
    try:
        assert "default-timeout = 77" in containers._pip_configuration().splitlines()
    finally:
        containers._pip_settings.cache_clear()


@pytest.mark.parametrize(
    ("group", "folder", "total", "stat"),
    [
        ("0::/x", "x", "memory.current", "anon 300\nfile 650\ninactive_file 600\n"),
        (
            "9:name=systemd:/\n4:memory:/x",
            "memory/x",
            "memory.usage_in_bytes",
            "rss 1\ntotal_rss 300\ninactive_file 1\ntotal_inactive_file 600\n",
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_memory_is_read_of_either_version_of_control_groups(
    tmp_path: Path, group: str, folder: str, total: str, stat: str
) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(group + "\n")
    place = tmp_path / "mounted" / folder
    place.mkdir(parents=True)
    (place / total).write_text("1000\n")
    (place / "memory.stat").write_text(stat)
    found = memory.used(7, tmp_path / "proc", tmp_path / "mounted")
    assert found == memory.Used(working=400, anonymous=300)
    other = memory.Used(working=500, anonymous=200)
    assert found.highest(other) == memory.Used(working=500, anonymous=300)
    lines = memory.table({"a": found, "b": other}, {"a": 2**20, "b": 1000}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| b", "| a"]
    assert lines[2].endswith("| 50% |")
