"""How many processors this process may really use, and what they can multiply."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CPUINFO = Path("/proc/cpuinfo")

_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def available_cpus(cgroup_v2: Path = _CGROUP_V2, cgroup_v1: Path = _CGROUP_V1) -> int:
    """Processors granted by affinity and by the container's quota, at least 1.

    torch counts the machine's processors; in a container with a quota that many threads are
    throttled against each other.
    """
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(cgroup_v2, cgroup_v1)
    return max(1, min(granted or 1, math.ceil(quota) if quota else granted or 1))


def lacks_vnni(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether this is an x86 without instructions for products of 8-bit numbers.

    False also where that is not known: on another system, or another architecture.
    """
    try:
        lines = cpuinfo.read_text("utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return bool(flags) and _VNNI.isdisjoint(flags.split())


def _quota(cgroup_v2: Path, cgroup_v1: Path) -> float | None:
    try:
        if cgroup_v2.exists():
            quota, period = cgroup_v2.read_text().split()
        else:
            quota = cgroup_v1.read_text().strip()
            period = cgroup_v1.with_name("cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):
        return None  # no cgroup, or none that limits this process
