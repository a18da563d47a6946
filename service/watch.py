"""Notices that a file has changed, by whichever thread comes along."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 1.0
"""Time between two looks."""


class Watch:
    """Looks at most once in `LOOK_SECONDS`. Safe to use from any thread.

    Args:
        look: What a look is. One thread at a time is in it.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._due = time.monotonic() + LOOK_SECONDS

    def look(self) -> None:
        """Look, if it is time to."""
        late = time.monotonic() - self._due
        # Usually one thread looks, and others go on with what they have. After a silence what they
        # have may be hours old: then they wait for the look.
        if late < 0 or not self._lock.acquire(blocking=late >= LOOK_SECONDS):
            return
        try:
            if time.monotonic() >= self._due:
                self._look()
        finally:
            self._due = time.monotonic() + LOOK_SECONDS
            self._lock.release()


def identity(path: Path) -> tuple[int, ...]:
    """Changes when the file does, also when another is put in its place or its rights change."""
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_ctime_ns, found.st_mtime_ns, found.st_size
