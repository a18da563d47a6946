"""The output file: written as a `.partial` file, and renamed when it is complete."""

from __future__ import annotations

import filecmp
import os
from pathlib import Path
from typing import BinaryIO

from service.bulk.journal import Identity, Journal
from service.errors import BulkError


class Output:
    """An output file with its `.partial` file and its journal.

    Args:
        path: The output file.
        is_replaced: Whether to replace an existing file.
        is_restarted: Whether to drop the results of an interrupted run.

    Raises:
        BulkError: The file exists already, or its directory does not.
    """

    def __init__(self, path: Path, *, is_replaced: bool, is_restarted: bool) -> None:
        self._name = str(path)
        self._path = path.resolve()  # through a link, so that renaming replaces the file behind it
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
        """Open the journal, or create it.

        Raises:
            BulkError: The journal belongs to another run.
            OSError: It cannot be written.
        """
        return Journal(self._journal, identity, restart=self._is_restarted)

    def is_done(self, journal: Journal) -> bool:
        """Whether an earlier run finished the output. If so, its journal is removed.

        Raises:
            BulkError: The output exists and belongs to another run.
        """
        if journal.is_complete and self._path.exists() and not self._partial.exists():
            journal.remove()
            return True
        self._refuse_existing()
        return False

    def open(self) -> BinaryIO:
        """Create the `.partial` file, empty.

        Raises:
            OSError: It cannot be written.
        """
        return self._partial.open("wb")

    def finish(self, file: BinaryIO, journal: Journal | None) -> None:
        """Sync the `.partial` file to disk and give it the output's name.

        Raises:
            OSError: It cannot be written.
        """
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

    def refuse_another(self, file: BinaryIO) -> None:
        """Refuse to replace a file that is not what an interrupted run finished: the same bytes.

        Raises:
            BulkError: It is another one.
        """
        file.flush()
        if self._path.exists() and not filecmp.cmp(self._path, self._partial, shallow=False):
            raise BulkError(f"{self._name} exists and is not of this run; --force replaces it")

    def _refuse_existing(self) -> None:
        if self._path.exists() and not self._is_replaced:
            raise BulkError(f"{self._name} exists; --force replaces it")
