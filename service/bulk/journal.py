"""The results of a run so far, on disk, so that an interrupted run can be resumed.

A resumed run writes its output from the beginning, with the results that stand here. So the output
has the same bytes, whatever its format and wherever the run was interrupted.

A line is a checksum and JSON. The first line is the run's identity, each further line has the
results of a chunk, and the last line says that no chunk follows. An incomplete line at the end is
dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from service.bulk.tables import Outcome
from service.errors import BulkError

R = TypeVar("R")

_MAGIC = b"mgeo-score-journal-2 "
_COMPLETE = "complete"

Identity = Mapping[str, Any]
"""What results depend on, as JSON has it: each key's value must be the same to resume."""


class Journal:
    """The journal of one output. Holds a lock: one process at a time.

    Args:
        path: Where it lies, or will.
        identity: Of the run that is to begin or go on.
        restart: Whether to drop what an earlier run has done.

    Raises:
        BulkError: Another process works on it, it is another run's, or no journal at all.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._file.close()

    def replay(self, result: Callable[..., R]) -> Iterator[list[R]]:
        """The results of each chunk that is done, in order.

        Args:
            result: Makes one of its cells, or of `error` alone.
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
        """Keep a chunk's results: on the disk when this returns."""
        self._write(_line([row.error or [*row][:-1] for row in results]))

    def complete(self) -> None:
        """Note that no chunk follows, and that the output is whole."""
        if not self.is_complete:
            self._write(_line(_COMPLETE))

    def remove(self) -> None:
        """End it: the output has its name."""
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
        # As JSON has it: tuples are lists there.
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
    """What a line holds; None if it is not whole."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text)
