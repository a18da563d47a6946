"""The processors granted by a container's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.scoring.cpus import available_cpus, lacks_vnni

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


@pytest.mark.parametrize(
    ("content", "lacks"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n\nprocessor\t: 1\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", False),
        (None, False),
    ],
    ids=["AVX2", "AVX-512 VNNI", "AVX VNNI", "another architecture", "another system"],
)
def test_only_an_x86_that_says_so_lacks_vnni(
    tmp_path: Path, content: str | None, lacks: bool
) -> None:
    file = tmp_path / "cpuinfo"
    if content is not None:
        file.write_text(content)
    assert lacks_vnni(file) is lacks
