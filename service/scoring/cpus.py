"""How many processors this process may really use, and what they can multiply."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from service import cgroup

_CPUINFO = Path("/proc/cpuinfo")


def available_cpus(proc: Path = cgroup.PROC) -> int:
    """Processors granted by affinity and by the quota of every cgroup, at least 1.

    torch counts the machine's processors; in a container with a quota that many threads are
    throttled against each other.
    """
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([granted or 1, *(math.ceil(quota) for quota in _quotas(proc))]))


def processor_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """What an x86 says that it can compute; empty on another system, or another architecture."""
    try:
        lines = cpuinfo.read_text("utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def _quotas(proc: Path) -> Iterator[float]:
    """Processors that each cgroup grants which has a limit."""
    for version, folder in cgroup.levels("cpu", proc):
        try:
            if version == 2:
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text().strip()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # the root of all groups has no such file
