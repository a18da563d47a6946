"""The processors granted by the quotas of every control group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import cgroup
from service.scoring.cpus import available_cpus, processor_flags
from tests.cgroups import Groups
from tests.serving import ROOT

MACHINE = 8


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("max 100000", MACHINE),
        ("50000 100000", 1),
        ("250000 100000", 3),
        ("9900000 100000", MACHINE),
        ("no", MACHINE),
        ("100000 0", MACHINE),
        ("", MACHINE),
    ],
)
def test_version_2(tmp_path: Path, written: str, expected: int) -> None:
    groups = Groups(tmp_path)
    point = groups.mount(2, "", "/")
    groups.write(point, cpu__max=written)
    assert available_cpus(groups.proc) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", MACHINE), ("20000", 1), ("350000", 4)])
def test_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    groups = Groups(tmp_path)
    point = groups.mount(1, "cpu,cpuacct", "/")
    groups.write(point, cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert available_cpus(groups.proc) == expected


@pytest.mark.parametrize(
    ("own", "above", "top", "expected"),
    [
        ("200000 100000", "max 100000", "max 100000", 2),  # a unit of systemd with CPUQuota=200%
        ("max 100000", "300000 100000", "max 100000", 3),  # its slice has the quota
        ("max 100000", "max 100000", "400000 100000", 4),  # the container has
        ("600000 100000", "150000 50000", "500000 100000", 3),  # the smallest counts
        (None, "200000 100000", None, 2),  # a group without the controller's files
    ],
)
def test_the_smallest_quota_of_all_levels_counts(
    tmp_path: Path, own: str | None, above: str | None, top: str | None, expected: int
) -> None:
    groups = Groups(tmp_path)
    point = groups.mount(2, "", "/system.slice/mgeo.service")
    folders = (point / "system.slice/mgeo.service", point / "system.slice", point)
    for folder, written in zip(folders, (own, above, top), strict=True):
        if written is not None:
            groups.write(folder, cpu__max=written)
    assert available_cpus(groups.proc) == expected


def test_a_container_without_a_namespace_sees_its_own_group_at_the_mounts_root(
    tmp_path: Path,
) -> None:
    groups = Groups(tmp_path)
    point = groups.mount(1, "cpu,cpuacct", "/docker/a1/nested", root="/docker/a1")
    groups.write(point, cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    groups.write(point / "nested", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert available_cpus(groups.proc) == 2


@pytest.mark.parametrize(
    ("own", "root"), [("/../../b2", "/"), ("/", "/../.."), ("/elsewhere", "/docker/a1")]
)
def test_a_group_outside_of_what_is_mounted_takes_the_mounts_root(
    tmp_path: Path, own: str, root: str
) -> None:
    groups = Groups(tmp_path)
    point = groups.mount(2, "", own, root=root)
    groups.write(point, cpu__max="200000 100000")
    assert available_cpus(groups.proc) == 2


def test_a_system_with_both_versions_uses_the_one_that_has_the_controller(tmp_path: Path) -> None:
    groups = Groups(tmp_path)
    groups.mount(2, "", "/user.slice")
    groups.mount(1, "name=systemd", "/user.slice")
    point = groups.mount(1, "cpu", "/batch")
    groups.write(point / "batch", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    assert available_cpus(groups.proc) == 3


def test_no_cgroup(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "absent") == MACHINE


_IN_A_GROUP = """
import os, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
from service import cgroup
from service.scoring.cpus import available_cpus
print(available_cpus())
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor is what any quota leaves")
def test_a_real_group_below_the_own_one() -> None:
    version, folder = next(iter(cgroup.levels("cpu")), (0, Path("/absent")))
    group = folder / f"mgeo-test-{os.getpid()}"
    files = {1: "cpu.cfs_quota_us", 2: "cpu.max"}
    try:
        group.mkdir()
        (group / files[version]).write_text("50000")
    except (OSError, KeyError) as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no group with a quota can be made here: {error!r}")
    try:
        told = subprocess.run(
            [sys.executable, "-c", _IN_A_GROUP, str(group)], cwd=ROOT,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        group.rmdir()
    assert told.stdout == "1\n"


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t: x\n", {"fpu", "avx2"}),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", set()),
        (None, set()),
    ],
    ids=["x86", "another architecture", "another system"],
)
def test_an_x86_says_what_it_can_compute(
    tmp_path: Path, content: str | None, flags: set[str]
) -> None:
    file = tmp_path / "cpuinfo"
    if content is not None:
        file.write_text(content)
    assert processor_flags(file) == flags
