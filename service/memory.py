"""How much memory this process may use before the kernel ends it, and giving some back."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from service import cgroup

_FILES = {1: "memory.limit_in_bytes", 2: "memory.max"}


def limit(proc: Path = cgroup.PROC) -> int:
    """Bytes granted by every cgroup, or the machine's if they grant more than there are."""
    least = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for version, folder in cgroup.levels("memory", proc):
        # `max` where there is no limit; version 1 writes a number beyond any machine's.
        with contextlib.suppress(OSError, ValueError):
            least = min(least, int((folder / _FILES[version]).read_text()))
    return least


def give_back() -> None:
    """Return what was freed to the system, where the C library is one that keeps it (glibc).

    A model is read in fp32 and computed in a smaller format. Without this, 300 to 400 MB of
    BERT-base would stay with the process, unused.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
