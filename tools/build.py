"""Compiles the stack's programs from their pinned Go modules, once.

    python -m tools.build              all that `make stack` and the tests run
    python -m tools.build amtool jaeger  only these
    python -m tools.build --check      says what would be built; compiles nothing

Programs go to the folder named by `STACK_CACHE_DIR` (default: `mgeo-stack` in the user's cache
folder), each under a key made of everything that decides what is compiled, so a program that is
there is the right one and is not built again. Only the standard library is used: this runs before
anything is installed.
"""

import argparse
import collections
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.binaries import BINARIES, COMPOSE, CONTROL_PLANE, Binary, find

PROGRESS_SECONDS = 10.0
_LOG_LINES_SHOWN = 8


class BuildError(Exception):
    """A program could not be built; the message is one line that says why."""


def cache_dir() -> Path:
    """Where built programs are kept: `STACK_CACHE_DIR`, or a folder in the user's cache."""
    chosen = os.environ.get("STACK_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mgeo-stack"


def path_of(binary: Binary) -> Path:
    """Where the program lies once it is built (it need not be there yet)."""
    return cache_dir() / "bin" / f"{binary.name}-{binary.release}-{_key(binary)}" / binary.name


def require(name: str) -> Path:
    """The built program called `name`.

    Raises:
        BuildError: it has not been built; the message says how to.
        KeyError: there is no such program.
    """
    binary = find(name)
    path = path_of(binary)
    if not path.is_file():
        raise BuildError(
            f"{name} is not built: run `make {_target(binary)}` (Go, up to 20 minutes once)"
        )
    return path


def _target(binary: Binary) -> str:
    if binary in COMPOSE:
        return "containers-build"
    return "cluster-build" if binary in CONTROL_PLANE else "stack-build"


def build(binary: Binary) -> Path:
    """Compiles one program unless it is there already, and says what it does.

    Returns:
        The program's path.

    Raises:
        BuildError: Go is missing or too old, a module cannot be had, or compiling failed.
    """
    path = path_of(binary)
    if path.is_file():
        _say(f"{binary.name} {binary.release}: there already")
        return path
    if shutil.which("go") is None:
        raise BuildError("go is not on the PATH: install Go 1.26.5 or newer")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(path.parent / "lock"):
        if not path.is_file():  # another build may have made it while this one waited
            _compile(binary, path)
    return path


def _compile(binary: Binary, path: Path) -> None:
    """Runs `go build`, counting packages; the program appears at `path` all at once."""
    started = time.monotonic()
    _say(f"{binary.name} {binary.release}: compiling")
    partial = path.with_suffix(".partial")
    log = path.parent / "build.log"
    command = ["go", "build", "-v", "-o", str(partial), *_flags(binary), binary.package]
    tail: collections.deque[str] = collections.deque(maxlen=_LOG_LINES_SHOWN)
    packages = 0
    next_report = started + PROGRESS_SECONDS
    with (
        log.open("w") as log_file,
        subprocess.Popen(
            command,
            cwd=binary.folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout or ():
            log_file.write(line)
            tail.append(line.strip())
            packages += not line.startswith(("#", "go: ", "\t"))
            if time.monotonic() >= next_report:
                seconds = time.monotonic() - started
                _say(f"{binary.name}: {packages} packages, {seconds:.0f} s")
                next_report += PROGRESS_SECONDS
        code = process.wait()
    if code != 0:
        partial.unlink(missing_ok=True)
        reason = next((line for line in reversed(tail) if line), f"exit status {code}")
        raise BuildError(f"{binary.name}: go build failed: {reason} (all of it: {log})")
    partial.replace(path)
    size = path.stat().st_size / 1e6
    seconds = time.monotonic() - started
    _say(f"{binary.name} {binary.release}: built in {seconds:.0f} s, {size:.0f} MB")


def _flags(binary: Binary) -> list[str]:
    link = ["-s", "-w"]
    if binary.version_variable:
        link.append(f"-X {binary.version_variable}={binary.release}")
    flags = ["-trimpath", "-mod=readonly", "-buildvcs=false", f"-ldflags={' '.join(link)}"]
    if binary.tags:
        flags.append(f"-tags={','.join(binary.tags)}")
    return flags


def _environment() -> dict[str, str]:
    # Static programs: they run the same in any image, and need no C compiler here.
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def _key(binary: Binary) -> str:
    """A digest of all that decides the result: source versions, own sources and flags."""
    digest = hashlib.sha256()
    for file in sorted(binary.folder.iterdir()):
        if file.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"{file.name}\n".encode() + file.read_bytes())
    digest.update("\n".join([binary.package, *_flags(binary)]).encode())
    return digest.hexdigest()[:12]


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Keeps two builds of the same program from doing the work twice."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(f"stack-build: {line}", flush=True)


def source_version(binary: Binary) -> str:
    """The version of the program's source module that its go.mod pins, such as `v0.314.0`.

    Raises:
        BuildError: the go.mod does not name the module.
    """
    text = (binary.folder / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(binary.source)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise BuildError(f"{binary.folder / 'go.mod'} does not require {binary.source}")
    return found.group(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what the command line asks for; 0 when all is there, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.build", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="PROGRAM", help="default: all")
    parser.add_argument("--check", action="store_true", help="say what is missing, build nothing")
    options = parser.parse_args(arguments)
    try:
        chosen = [find(name) for name in options.names] or list(BINARIES)
        if options.check:
            missing = [b for b in chosen if not path_of(b).is_file()]
            for binary in chosen:
                state = "missing" if binary in missing else "there"
                _say(f"{binary.name} {binary.release}: {state}: {path_of(binary)}")
            return 1 if missing else 0
        for binary in chosen:
            build(binary)
    except (BuildError, KeyError) as error:
        _say(str(error.args[0]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
