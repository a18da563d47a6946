"""How much memory this process may use before the kernel ends it, and giving some back."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/memory.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")


def limit(cgroup_v2: Path = _CGROUP_V2, cgroup_v1: Path = _CGROUP_V1) -> int:
    """Bytes granted by the container, or the machine's if it grants more than there are."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in (cgroup_v2, cgroup_v1):
        try:
            # `max` where there is no limit; version 1 writes a number beyond any machine's.
            return min(int(file.read_text()), machine)
        except (OSError, ValueError):
            continue
    return machine


def give_back() -> None:
    """Return what was freed to the system, where the C library is one that keeps it (glibc).

    A model is read in fp32 and computed in less: with BERT-base 300 to 400 MB would stay with the
    process that it never uses again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
