"""A model that runs at the lowest priority the system has: it gets what nobody else wants.

A thread inherits the priority of the one that starts it, and may not raise it again. So a backend
whose threads are to be of no account is built on a thread of its own that has lowered its priority
before. Only what computes is lowered: a thread that runs Python holds the interpreter's lock, and
whoever waits for that would wait for a thread that hardly runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

Built = TypeVar("Built")


def built(build: Callable[[], Built]) -> Built:
    """What `build` returns, the threads that it starts being of the lowest priority.

    Raises:
        Exception: What `build` raised.
    """
    made: list[Built] = []
    failed: list[BaseException] = []

    def run() -> None:
        _lower()
        try:
            made.append(build())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="background", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _lower() -> None:
    """Have the calling thread, and those that it starts, run only where a processor is idle."""
    if hasattr(os, "SCHED_IDLE"):  # Linux
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
