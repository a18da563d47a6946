"""Notices an engine that has work and makes no progress: stuck in the model, or in a loop.

`/livez` then fails, so that whoever runs the process restarts it, and the log says in which line of
code each thread is.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 1.0


class Watchdog:
    """Watches the age of the engine's last progress.

    Args:
        progress_age: Seconds since the engine last took or finished a batch while it had work.
        limit: Age in seconds from which it counts as stuck.
    """

    def __init__(self, progress_age: Callable[[], float], limit: float) -> None:
        self._progress_age = progress_age
        self._limit = limit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._stop.set()

    def stuck(self) -> bool:
        """Whether the engine is stuck now."""
        return self._progress_age() >= self._limit

    def _run(self) -> None:
        reported = False
        while not self._stop.wait(_PERIOD_SECONDS):
            stuck = self.stuck()
            if stuck and not reported:
                age = round(self._progress_age(), 1)
                log.error("engine makes no progress", extra={"seconds": age, "stacks": _stacks()})
            elif reported and not stuck:
                log.info("engine makes progress again")
            reported = stuck


def _stacks() -> list[dict[str, object]]:
    """Where the threads are, those in the same place together.

    Places in the code only: a variable could hold an address.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    at: dict[tuple[str, ...], list[str]] = {}
    for ident, frame in sys._current_frames().items():
        stack = traceback.extract_stack(frame)
        places = tuple(f"{entry.filename}:{entry.lineno} {entry.name}" for entry in stack)
        at.setdefault(places, []).append(names.get(ident, str(ident)))
    return [{"threads": sorted(threads), "stack": places} for places, threads in at.items()]
