"""The memory granted by a container's limit."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from service import memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("name", ["v2", "v1"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [("67108864\n", 67_108_864), ("max\n", MACHINE), ("9223372036854771712", MACHINE)],
)
def test_limit_of_a_cgroup(tmp_path: Path, name: str, written: str, expected: int) -> None:
    (tmp_path / name).write_text(written)
    assert memory.limit(tmp_path / "v2", tmp_path / "v1") == expected


def test_no_cgroup(tmp_path: Path) -> None:
    assert memory.limit(tmp_path / "v2", tmp_path / "v1") == MACHINE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep nothing back")
def test_what_was_freed_goes_back_to_the_system() -> None:
    # Blocks below the size that glibc maps each by itself; the last one keeps the heap's end.
    blocks = [bytes(100_000) for _ in range(1000)]
    held = psutil.Process().memory_info().rss
    del blocks[:-1]
    memory.give_back()
    assert held - psutil.Process().memory_info().rss > 50_000_000
