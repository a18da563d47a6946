"""The register that a running service uses. It is reloaded when its files are replaced."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from service.errors import RegisterError
from service.retrieval import files
from service.retrieval.files import MANIFEST, StoredRegister
from service.watch import Watch, identity

log = logging.getLogger(__name__)


class ServedRegister:
    """The register in a directory, reloaded when a build replaces it.

    A request keeps the register that it began with, because its files stay mapped.

    Args:
        directory: The directory that holds `register.json`.

    Raises:
        RegisterError: There is no register, or it is incomplete.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unreadable_since: float | None = None
        self._seen = identity(directory / MANIFEST)
        self._register = files.read(directory)
        self._watch = Watch(self._look)

    def current(self) -> StoredRegister:
        """The current register; a replaced one is noticed within a second."""
        self._watch.look()
        return self._register

    def unreadable_seconds(self) -> float:
        """Seconds since the files became unreadable; 0 while they can be read.

        Meanwhile the last register that could be read stays in use.
        """
        self.current()
        since = self._unreadable_since
        return 0.0 if since is None else time.monotonic() - since

    def _look(self) -> None:
        seen = identity(self._directory / MANIFEST)
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
