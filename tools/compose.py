"""Reads docker-compose.yml with the Compose project's own parser.

What comes out is a plain model: interpolated, merged, and checked against the compose
specification's schema by the parser itself.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.build import require

REPOSITORY = Path(__file__).resolve().parent.parent
COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
_URL = re.compile(r"https?://[^\s'\"]+")


class ComposeError(Exception):
    """The compose file is not valid; the message is the parser's."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A file, folder or named volume that a service sees at `target`."""

    kind: str
    """`bind` for a path of the host, `volume` for a named volume."""
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service as the compose file describes it."""

    name: str
    image: str
    """Image without its tag."""
    tag: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    depends_on: tuple[str, ...]
    profiles: tuple[str, ...]
    health_url: str | None
    """What answers 200 once the service is ready, as seen from inside its container."""
    raw: Mapping[str, Any]
    """The whole entry, for checks that need more."""


def load_model(files: Sequence[Path] = (COMPOSE_FILE,)) -> dict[str, Any]:
    """The merged compose model of `files`, as the Compose parser prints it.

    Raises:
        BuildError: the parser has not been built.
        ComposeError: the parser refuses a file.
    """
    done = subprocess.run(
        [str(require("compose-go")), "-format", "json", *map(str, files)],
        cwd=REPOSITORY,
        env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise ComposeError(done.stderr.strip() or f"exit status {done.returncode}")
    model: dict[str, Any] = json.loads(done.stdout)
    return model


def load_services(files: Sequence[Path] = (COMPOSE_FILE,)) -> dict[str, ComposeService]:
    """The services of `files` by name. Raises what `load_model` raises."""
    return {name: _service(name, raw) for name, raw in load_model(files)["services"].items()}


def _service(name: str, raw: Mapping[str, Any]) -> ComposeService:
    image, _, tag = str(raw.get("image", "")).rpartition(":")
    test = " ".join(raw.get("healthcheck", {}).get("test") or [])
    found = _URL.search(str(raw.get("x-health", "")) or test)
    return ComposeService(
        name=name,
        image=image,
        tag=tag,
        command=tuple(raw.get("command") or ()),
        environment=_environment(raw.get("environment") or {}),
        mounts=tuple(
            Mount(kind=entry["type"], source=str(entry.get("source", "")), target=entry["target"])
            for entry in raw.get("volumes") or ()
        ),
        depends_on=tuple(raw.get("depends_on") or ()),
        profiles=tuple(raw.get("profiles") or ()),
        health_url=found.group(0).rstrip(")") if found else None,
        raw=raw,
    )


def _environment(given: Mapping[str, Any] | Sequence[str]) -> dict[str, str]:
    """Settings by name; the parser leaves them a list of `NAME=VALUE` where it merged files."""
    if isinstance(given, Mapping):
        return {key: str(value) for key, value in given.items()}
    return dict(entry.split("=", 1) for entry in given)
