"""What the accuracy check found, on disk: checked once for each model and kind of processor."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from service.errors import FetchError
from service.scoring import copies
from service.scoring.backends.accuracy_check import (
    LARGEST_DIFFERENCE,
    LEAST_AGREEMENT,
    BackendCandidate,
)
from service.scoring.checkpoint import Checkpoint

log = logging.getLogger(__name__)

_RULES = 3
"""Raised when what is compared, or how, changes: what was kept before then counts no longer."""


def path(checkpoint: Checkpoint) -> Path | None:
    """Where the checks of this model on this kind of processor are kept; None where nowhere."""
    facts = [
        _RULES,
        checkpoint.version,
        _processor(),
        [_version(package) for package in ("openvino", "onnxruntime", "torch")],
        [LEAST_AGREEMENT, LARGEST_DIFFERENCE],
    ]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    try:
        return copies.own_root() / "backends" / f"{checkpoint.version}-{key}.json"
    except FetchError:  # no home directory
        return None


def read(where: Path | None) -> tuple[BackendCandidate, ...]:
    """The kept checks; none where there is no file that can be read."""
    if where is None:
        return ()
    try:
        return tuple(BackendCandidate(**row) for row in json.loads(where.read_text("utf-8")))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        log.warning(
            "the kept accuracy check is not readable; comparing again",
            extra={"file": str(where), "error": type(error).__name__},
        )
        return ()


def write(where: Path | None, checks: Sequence[BackendCandidate]) -> None:
    """Keep checks; where there is no place for them each start compares again."""
    if where is None:
        _not_kept("no home directory", None)
        return
    partial = where.with_name(f"{where.name}.{os.getpid()}")
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps([asdict(check) for check in checks], indent=2), "utf-8")
        partial.replace(where)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _not_kept(error.strerror, where)


def _not_kept(reason: str | None, where: Path | None) -> None:
    log.warning(
        "the accuracy check is not kept, so each start compares again; "
        "MODELSCOPE_CACHE names a folder that can be written to",
        extra={"file": str(where), "error": reason},
    )


def _processor() -> str:
    """The processor's model and what it can compute: images move between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n", 1)[0].splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "CPU part", "Features")
    return "\n".join(line for line in lines if line.startswith(wanted))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
