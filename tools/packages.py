"""Installs the Debian packages of tools/apt.txt, or says how to where it may not.

python -m tools.packages             those of tools/apt.txt
python -m tools.packages containers  those of tools/apt-containers.txt
python -m tools.packages cluster     those of tools/apt-cluster.txt
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_name("apt.txt")
FURTHER = {name: LIST.with_name(f"apt-{name}.txt") for name in ("containers", "cluster")}


def wanted(file: Path = LIST) -> list[str]:
    """The packages listed, in order."""
    lines = file.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def missing(packages: list[str]) -> list[str]:
    """Those of `packages` that are not installed."""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}"]
    return [
        package
        for package in packages
        if subprocess.run([*query, package], capture_output=True, text=True, check=False).stdout
        != "installed"
    ]


def main() -> int:
    """Install what is missing; 0 when all is there."""
    listed = wanted(FURTHER[sys.argv[1]] if sys.argv[1:] else LIST)
    if shutil.which("dpkg-query") is None:
        print(
            f"packages: this is no Debian system: install the equivalents of {', '.join(listed)} "
            "for the tests",
            file=sys.stderr,
        )
        return 0  # each test that needs one says so by name
    packages = missing(listed)
    if not packages:
        return 0
    if os.geteuid() != 0:
        print(f"packages: run: sudo apt-get install {' '.join(packages)}", file=sys.stderr)
        return 1
    print(f"packages: installing {', '.join(packages)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "--quiet"], install):
        if subprocess.run(command, env=quiet, stdout=sys.stderr, check=False).returncode:
            print(f"packages: {' '.join(command[:2])} failed", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
