"""Keeps the results of a run on disk, so that an interrupted run can be resumed.

A resumed run writes its output from the beginning, with the results from the journal. So the output
has the same bytes, whatever its format and wherever the run was interrupted.

A line is a checksum and JSON. The first line is the run's identity. Each further line has the
results of a chunk. The last line says that no chunk follows. An incomplete line at the end is
dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from service.bulk.tables import Outcome
from service.errors import BulkError

R = TypeVar("R")

_MAGIC = b"mgeo-score-journal-2 "
_COMPLETE = "complete"

Identity = Mapping[str, Any]
"""What the results depend on, as JSON. A run is resumed only if every value is the same."""


class Journal:
    """The journal of one output. It holds a lock, so that only one process writes it.

    Args:
        path: File of the journal; created if it does not exist.
        identity: What the results of this run depend on.
        restart: Whether to drop the results of an earlier run.

    Attributes:
        is_resumed: Whether it has results of an earlier run.
        is_complete: Whether an earlier run noted that no chunk follows.

    Raises:
        BulkError: Another process has the lock, the file belongs to a run with another identity,
            or it is not a journal.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, identity: Identity, *, restart: bool) -> None:
        self._path = path
        self._file = path.open("a+b")
        self.is_complete = False
        self.is_resumed = False
        try:
            self._lock()
            self._begin(identity, restart=restart)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def replay(self, result: Callable[..., R]) -> Iterator[list[R]]:
        """Yield the results of each finished chunk, in order.

        Args:
            result: Builds a result from its cells, or from `error` alone.
        """
        with self._path.open("rb") as file:
            next(file, None)
            for line in file:
                stored = _read(line)
                if not isinstance(stored, list):
                    return
                yield [
                    result(error=row) if isinstance(row, str) else result(*row) for row in stored
                ]

    def append(self, results: Sequence[Outcome]) -> None:
        """Add a chunk's results. They are synced to disk when this returns."""
        self._write(_line([row.error or [*row][:-1] for row in results]))

    def complete(self) -> None:
        """Note that no chunk follows and that the output is complete."""
        if not self.is_complete:
            self._write(_line(_COMPLETE))

    def remove(self) -> None:
        """Remove the journal, once the output has its final name."""
        self._path.unlink()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BulkError(f"another process is at work on {self._path}") from None

    def _begin(self, identity: Identity, *, restart: bool) -> None:
        self._file.seek(0)
        head = self._file.readline()
        if not (head.startswith(_MAGIC) or _MAGIC.startswith(head)):
            raise BulkError(f"{self._path} is no journal of a run; move it, or name another -o")
        stored = _read(head.removeprefix(_MAGIC))
        if stored is None or restart:
            self._file.truncate(0)
            self._write(_MAGIC + _line(identity))
            return
        # Through JSON, which makes tuples lists.
        wanted = json.loads(json.dumps(identity))
        other = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
        if other:
            raise BulkError(
                f"{self._path} was begun with another {' and another '.join(other)}: "
                "run the command as it was begun, or drop what is done by --restart"
            )
        self._drop_torn_line(len(head))

    def _drop_torn_line(self, end: int) -> None:
        for line in self._file:
            stored = _read(line)
            if stored is None:
                break
            end += len(line)
            self.is_resumed = True
            self.is_complete = stored == _COMPLETE
        self._file.truncate(end)

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())


def _line(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(line: bytes) -> Any:
    """The value of a line; None if the line is incomplete or damaged."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text)
