"""What the tests of containers stand on, and what they say where it is absent. Starts none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import containers, packages


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
    assert set(containers.PROGRAMS) <= listed


def test_pips_settings_reach_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "77")
    containers._pip_settings.cache_clear()
    try:
        assert "default-timeout = 77" in containers._pip_configuration().splitlines()
    finally:
        containers._pip_settings.cache_clear()
