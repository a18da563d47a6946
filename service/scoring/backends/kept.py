"""The measured choice of a backend, kept on disk: measured once for each model and machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from service.errors import FetchError
from service.scoring import copies
from service.scoring.backends.gate import LARGEST_DIFFERENCE, LEAST_AGREEMENT, Candidate
from service.scoring.checkpoint import Checkpoint

log = logging.getLogger(__name__)

_RULES = 2
"""Raised when what is measured, or how, changes: what was kept before then counts no longer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which backend runs the model, and why.

    Attributes:
        backend: As in `MGEO_BACKEND`.
        reason: In a few words.
        candidates: What was measured of each, if the choice was by measuring.
    """

    backend: str
    reason: str
    candidates: tuple[Candidate, ...] = ()


def path(checkpoint: Checkpoint, names: tuple[str, ...], threads: int) -> Path | None:
    """Where the choice for this model on this machine is kept; None where there is no place."""
    facts = [
        _RULES,
        checkpoint.version,
        names,
        threads,
        _processor(),
        [_version(package) for package in ("openvino", "onnxruntime", "torch")],
        [LEAST_AGREEMENT, LARGEST_DIFFERENCE],
    ]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    try:
        return copies.own_root() / "backends" / f"{checkpoint.version}-{key}.json"
    except FetchError:  # no home directory
        return None


def read(where: Path | None) -> Choice | None:
    """The kept choice, or None if there is none that can be read."""
    if where is None:
        return None
    try:
        found = json.loads(where.read_text("utf-8"))
        candidates = tuple(Candidate(**row) for row in found.pop("candidates"))
        return Choice(**found, candidates=candidates)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning(
            "the kept choice of a backend is not readable; measuring again",
            extra={"file": str(where), "error": type(error).__name__},
        )
        return None


def write(where: Path | None, choice: Choice) -> None:
    """Keep a choice; where there is no place for it, it is measured at each start."""
    if where is None:
        _not_kept("no home directory", None)
        return
    partial = where.with_name(f"{where.name}.{os.getpid()}")
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(choice), indent=2), "utf-8")
        partial.replace(where)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _not_kept(error.strerror, where)


def _not_kept(reason: str | None, where: Path | None) -> None:
    log.warning(
        "the choice of a backend is not kept, so each start measures again; "
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
