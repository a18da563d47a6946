"""The processors granted by a container's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.scoring.cpus import available_cpus

MACHINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", MACHINE), ("50000 100000", 1), ("100000 100000", 1), ("no", MACHINE)],
)
def test_cgroup_v2(tmp_path: Path, quota: str, expected: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota + "\n")
    assert available_cpus(file, tmp_path / "absent") == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", MACHINE), ("20000", 1)])
def test_cgroup_v1(tmp_path: Path, quota: str, expected: int) -> None:
    file = tmp_path / "cpu.cfs_quota_us"
    file.write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus(tmp_path / "absent", file) == expected


def test_no_cgroup(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "a", tmp_path / "b") == MACHINE
