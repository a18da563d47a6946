"""The control groups that bound this process: its own, and every one above it.

A limit holds for all that is below it. systemd, Kubernetes and containers in containers each set
theirs at another level, so whoever asks for a limit takes the smallest of all levels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Controller = Literal["cpu", "memory"]

PROC = Path("/proc/self")


def levels(controller: Controller, proc: Path = PROC) -> Iterator[tuple[int, Path]]:
    """Folders with a controller's files: of this process's own group first, then of those above.

    Above what is mounted nothing is seen: in a container that is the container's own group.

    Args:
        controller: Whose files are wanted.
        proc: The process's folder in `/proc`.

    Yields:
        The version of the interface, 1 or 2, and the folder. Nothing where there are no groups.
    """
    try:
        own = dict(_own_groups(proc))
        mounts = list(_mounts(proc))
    except OSError:
        return
    for version, name, root, point in mounts:
        if version == 1 and controller not in name.split(","):
            continue
        # Where both versions are mounted a controller belongs to one of them.
        path = own.get(controller) if version == 1 else own.get("")
        if path is None:
            continue
        inside = _below(root, path)
        folder = point / inside
        yield version, folder
        for _ in range(len(Path(inside).parts)):
            folder = folder.parent
            yield version, folder


def _own_groups(proc: Path) -> Iterator[tuple[str, str]]:
    """Each controller of version 1 with this process's group; version 2's by the empty name."""
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller.removeprefix("name="), path


def _mounts(proc: Path) -> Iterator[tuple[int, str, str, Path]]:
    """Version, controllers (of version 1), group at the mount's root, and where it is mounted."""
    for line in _lines(proc / "mountinfo"):
        fields, _, of_system = line.partition(" - ")
        kind, _, options = of_system.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = fields.split(" ")[3:5]
            yield 2 if kind == "cgroup2" else 1, options, _plain(root), Path(_plain(point))


def _lines(file: Path) -> list[str]:
    return os.fsdecode(file.read_bytes()).splitlines()


def _plain(written: str) -> str:
    """A path as mountinfo writes it, with spaces and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), written)


def _below(root: str, path: str) -> str:
    """The part of a group's path below a mount's root; empty where it is not below that."""
    parts = Path(path).parts
    under = Path(root).parts
    if ".." in parts or parts[: len(under)] != under:
        return ""
    return "/".join(parts[len(under) :])
