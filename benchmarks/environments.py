"""The peers' environments: each its own, from its own lock file, outside the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import BenchmarkError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mgeo-bench"
PEERS = Path(__file__).parent / "peers"
NAMES = ("litserve", "modelscope", "infinity", "bentoml")


def directory(name: str) -> Path:
    """Where a peer's environment is, or will be."""
    return CACHE / "peers" / name


def program(name: str, command: str = "python") -> str:
    """A program of a peer's environment.

    Raises:
        BenchmarkError: The environment is not there.
    """
    path = directory(name) / "bin" / command
    if not path.exists():
        raise BenchmarkError(f"{name} is not installed: `make bench-peers` does that")
    return str(path)


def install(name: str) -> None:
    """Make a peer's environment as its lock file says, unless it is there already.

    It has the Python that this runs on: how that was compiled makes a third of a difference.

    Raises:
        BenchmarkError: It cannot be installed.
    """
    target, lock = directory(name), PEERS / f"{name}.txt"
    stamp = target / "installed-from.txt"
    wanted = f"Python {sys.version}\n{lock.read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise BenchmarkError("uv is not installed: `make bench` brings it")
    print(f"bench: installing {name} into {target}", flush=True)
    for arguments in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(target)],
        ["pip", "install", "--quiet", "--python", str(target / "bin" / "python"),
         "--require-hashes", "--compile-bytecode", "-r", str(lock)],
    ):  # fmt: skip
        done = subprocess.run([uv, *arguments], check=False)  # noqa: S603
        if done.returncode:
            raise BenchmarkError(f"{name} could not be installed: uv {arguments[0]} failed")
    stamp.write_text(wanted)
