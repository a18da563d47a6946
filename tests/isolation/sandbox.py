"""Runs a command in namespaces of its own, and tells what it reached for and what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.isolation.inside import WATCHED, WORK

ROOT = Path(__file__).parents[2]

_NEEDS = (
    "this test runs the service in namespaces of its own, so that nothing can leave unseen: it "
    "needs util-linux (unshare, mount), iproute2 (ip), and root or user namespaces "
    "(sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0)"
)
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did.

    Attributes:
        status: Its exit status; below 0 the signal that ended it.
        output: All that it wrote.
        attempts: Addresses other than loopback's, and names, that it tried to reach.
        files: Files and folders that it left, in full.
    """

    status: int
    output: str
    attempts: Sequence[str]
    files: Sequence[str]


def run(
    *command: str,
    serves: bool = False,
    home: bool = True,
    inputs: Mapping[str, str] | None = None,
    seconds: float = 100.0,
    **variables: str,
) -> Outcome:
    """Run a command to its end, or if it serves, until it has answered and was told to end.

    Args:
        command: Its words. A first word `python` is this Python.
        serves: Whether it is `serve` on its default ports.
        home: Whether there is a home: HOME is set, and the user has an entry in /etc/passwd.
        inputs: Files to put into its working folder, by their names.
        seconds: How long it may take.
        variables: Its environment, beside the few that every process has.

    Raises:
        RuntimeError: There are no namespaces here.
    """
    inputs = inputs or {}
    given = {str(WORK / part) for name in inputs for part in (name, *Path(name).parents)}
    program = sys.executable if command[0] == "python" else command[0]
    order = {
        "command": [program, *command[1:]],
        "serves": serves,
        "home": home,
        "inputs": dict(inputs),
        "given": sorted(given),
        "seconds": seconds,
        "hidden": [str(folder) for folder in WATCHED if _can_be_hidden(folder)],
        "environment": {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        },
    }
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"),
            *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
            *(sys.executable, "-m", "tests.isolation.inside"),
        ],
        cwd=ROOT,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{_NEEDS}: {done.stderr.strip()[-1000:]}")
    return Outcome(**json.loads(done.stdout))


def _can_be_hidden(folder: Path) -> bool:
    """Whether neither this tree nor the interpreter lies in it."""
    needed = (ROOT, Path(sys.prefix), Path(sys.base_prefix))
    return folder.is_dir() and not any(path.resolve().is_relative_to(folder) for path in needed)
