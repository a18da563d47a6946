"""The register that a service answers from, read again when it is exchanged."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from service.errors import RegisterError
from service.retrieval import files
from service.retrieval.files import MANIFEST, StoredRegister

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class ServedRegister:
    """A register in a directory, and whichever takes its place there.

    A request goes on with the register that it has begun with: its files stay mapped.

    Args:
        directory: Where it lies.

    Raises:
        RegisterError: There is none.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._unreadable_since: float | None = None
        self._seen = _identity(directory)
        self._register = files.read(directory)
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def current(self) -> StoredRegister:
        """The register as it is now, or was a second ago."""
        # One thread looks; others go on with what there is.
        if time.monotonic() >= self._look_at and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._look_at = time.monotonic() + _LOOK_SECONDS
                self._lock.release()
        return self._register

    def unreadable_seconds(self) -> float:
        """How long what is there now cannot be read, so that the last one answers; 0 if it can."""
        self.current()
        since = self._unreadable_since
        return 0.0 if since is None else time.monotonic() - since

    def _look(self) -> None:
        seen = _identity(self._directory)
        if seen == self._seen and self._unreadable_since is None:
            return
        self._seen = seen
        try:
            register = files.read(self._directory)
        except (RegisterError, OSError) as error:
            if self._unreadable_since is None:
                self._unreadable_since = time.monotonic()
                log.error(
                    "the register cannot be read; the last one answers",
                    extra={"reason": str(error)},
                )
            return
        self._unreadable_since = None
        if register.version != self._register.version:
            log.info(
                "register exchanged",
                extra={"register_version": register.version, "entries": len(register)},
            )
        self._register = register


def _identity(directory: Path) -> tuple[int, ...]:
    try:
        found = (directory / MANIFEST).stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_ino, found.st_mtime_ns, found.st_size
