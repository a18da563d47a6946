"""Where the process stands: starting → ready → draining → stopped, or failed. One state machine."""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class State(enum.Enum):
    """A state of the process, by the word that `/readyz` answers with."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


_NEXT = {
    State.STARTING: {State.READY, State.DRAINING, State.FAILED},
    State.READY: {State.DRAINING, State.FAILED},
    State.DRAINING: {State.STOPPED, State.FAILED},
    State.STOPPED: set(),
    State.FAILED: set(),
}


class LoadingCancelledError(Exception):
    """The model is no longer wanted: the process ends."""


def _log(old: State, new: State) -> None:
    log.info("state", extra={"from": old.value, "to": new.value})


class Lifecycle:
    """The state, and the stage of loading while it is STARTING. Safe to use from any thread.

    Args:
        changed: Told of each change: the state before and after it.
    """

    def __init__(self, changed: Callable[[State, State], None] = _log) -> None:
        self._changed = changed
        self._condition = threading.Condition()
        self._state = State.STARTING
        self._stage, self._progress = "waiting to load", 0.0
        self._error: BaseException | None = None

    @property
    def state(self) -> State:
        """The state now."""
        return self._state

    @property
    def error(self) -> BaseException | None:
        """What made the process fail."""
        return self._error

    def report(self) -> dict[str, object]:
        """The state as `/readyz` shows it, with loading stage and progress (0 to 1) until ready."""
        with self._condition:
            if self._state is State.STARTING:
                return {
                    "status": self._state.value,
                    "stage": self._stage,
                    "progress": round(self._progress, 2),
                }
            return {"status": self._state.value}

    def loading(self, stage: str, progress: float) -> None:
        """Note a stage of loading and how much of all loading is done (0 to 1).

        Raises:
            LoadingCancelledError: The process is to end; a download, say, must not hold it up.
        """
        with self._condition:
            if self._state is not State.STARTING:
                raise LoadingCancelledError
            self._stage, self._progress = stage, progress

    def to(self, state: State, error: BaseException | None = None) -> bool:
        """Move to `state`, if that follows from where the process stands.

        Returns:
            Whether it moved. A move that does not follow, such as ready after draining, is ignored:
            another thread has moved the state first.
        """
        with self._condition:
            if state not in _NEXT[self._state]:
                return False
            before = self._state
            self._state, self._error = state, error
            self._condition.notify_all()
        # Without the lock: whoever is told may look at it.
        self._changed(before, state)
        return True

    def wait_while(self, *states: State, timeout: float | None = None) -> State:
        """Wait until the state is none of `states`, or `timeout` seconds; returns the state."""
        with self._condition:
            self._condition.wait_for(lambda: self._state not in states, timeout)
            return self._state
