"""Moves the wall clock of a process that a test starts, while it runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The wall clock of every process started with `variables`.

    Attributes:
        variables: What to start them with.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("cc") is None:
            pytest.skip("no C compiler (cc) to build the moving clock with")
        library, self._offset = folder / "clock.so", folder / "offset"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE)], check=True
        )
        self._offset.write_bytes(bytes(8))
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self._offset)}

    def set(self, seconds: int) -> None:
        """Have the clock run `seconds` ahead of the machine's, or behind it."""
        # In place: the processes have mapped this very file.
        with self._offset.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
