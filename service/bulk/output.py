"""Where results go: beside the output until all are there, and then under its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from service.bulk.journal import Identity, Journal
from service.errors import BulkError


class Output:
    """An output file, its working copy and its journal.

    Args:
        path: The file.
        is_replaced: Whether one that is there may be replaced.
        is_restarted: Whether to drop what an interrupted run has done.

    Raises:
        BulkError: It is there already, or cannot be made there.
    """

    def __init__(self, path: Path, *, is_replaced: bool, is_restarted: bool) -> None:
        self._name = str(path)
        self._path = path.resolve()  # a link stays, and the file behind it is written
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._journal = self._path.with_name(self._path.name + ".journal")
        self._is_replaced = is_replaced
        self._is_restarted = is_restarted
        if not self._path.parent.is_dir():
            raise BulkError(f"there is no directory {path.parent}")
        if self._path.exists() and not self._path.is_file():
            raise BulkError(f"{path} is not a regular file; -o - writes to standard output")
        if is_restarted or not self._journal.exists():
            self._refuse_existing()

    def is_at(self, path: Path) -> bool:
        """Whether writing this output would overwrite a file."""
        return path.resolve() in (self._path, self._partial, self._journal)

    def journal(self, identity: Identity) -> Journal:
        """The run's journal, begun or gone on with.

        Raises:
            BulkError: It is another run's.
            OSError: It cannot be written.
        """
        return Journal(self._journal, identity, restart=self._is_restarted)

    def is_done(self, journal: Journal) -> bool:
        """Whether an earlier run did everything but remove its journal, which is done now.

        Raises:
            BulkError: The output is there, and not of this run.
        """
        if journal.is_complete and self._path.exists() and not self._partial.exists():
            journal.remove()
            return True
        self._refuse_existing()
        return False

    def open(self) -> BinaryIO:
        """The working copy, from its beginning.

        Raises:
            OSError: It cannot be written.
        """
        return self._partial.open("wb")

    def finish(self, file: BinaryIO, journal: Journal | None) -> None:
        """Give the working copy its name, once all of it is on the disk."""
        file.flush()
        os.fsync(file.fileno())
        if journal:
            journal.complete()
        self._partial.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        if journal:
            journal.remove()

    def _refuse_existing(self) -> None:
        if self._path.exists() and not self._is_replaced:
            raise BulkError(f"{self._name} exists; --force replaces it")
