"""The memory granted by a container's limit."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from service import memory
from tests.cgroups import Groups

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize(
    ("own", "above", "expected"),
    [
        ("67108864", "max", 67_108_864),
        ("max", "67108864", 67_108_864),
        ("134217728", "67108864", 67_108_864),
        ("67108864", "134217728", 67_108_864),
        ("max", "max", MACHINE),
        ("9223372036854771712", "9223372036854771712", MACHINE),
        ("", "67108864", 67_108_864),
    ],
)
def test_the_smallest_limit_of_all_levels_counts(
    tmp_path: Path, version: int, own: str, above: str, expected: int
) -> None:
    groups = Groups(tmp_path)
    point = groups.mount(version, "memory" if version == 1 else "", "/system.slice/mgeo.service")
    name = "memory__max" if version == 2 else "memory__limit_in_bytes"
    groups.write(point / "system.slice/mgeo.service", **{name: own})
    groups.write(point / "system.slice", **{name: above})
    assert memory.limit(groups.proc) == expected


def test_no_cgroup(tmp_path: Path) -> None:
    assert memory.limit(tmp_path / "absent") == MACHINE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep nothing back")
def test_what_was_freed_goes_back_to_the_system() -> None:
    # Blocks below the size that glibc maps each by itself; the last one keeps the heap's end.
    blocks = [bytes(100_000) for _ in range(1000)]
    held = psutil.Process().memory_info().rss
    del blocks[:-1]
    memory.give_back()
    assert held - psutil.Process().memory_info().rss > 50_000_000
