"""What the figures were measured on: processor, its matrix instructions, memory, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import timeit
from pathlib import Path
from typing import Any

import psutil

from benchmarks import environments
from service import __version__
from service.scoring.cpus import available_cpus

MATRIX_FLAGS = ("amx_tile", "amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni")
"""Instructions that decide which precision is fast."""

_CALLS = 100_000

_OURS = ("openvino", "onnxruntime", "torch", "transformers", "tokenizers", "numpy", "flask",
         "waitress", "opentelemetry-sdk")  # fmt: skip
_THEIRS = {
    "litserve": ("litserve", "torch", "transformers", "openvino"),
    "modelscope": ("modelscope", "torch", "transformers"),
    "infinity": ("infinity-emb", "torch", "transformers"),
    "bentoml": ("bentoml", "torch", "transformers"),
}


def describe() -> dict[str, Any]:
    """The machine and the versions, for the report."""
    flags = re.search(r"flags\s*: (.*)", Path("/proc/cpuinfo").read_text())
    present = set(flags[1].split()) if flags else set()
    return {
        "cpu": cpu(),
        "processors": os.cpu_count(),
        "granted": available_cpus(),
        "matrix_instructions": [flag for flag in MATRIX_FLAGS if flag in present],
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_object_ns": round(_object_nanoseconds()),
        "service": __version__,
        "commit": _commit(),
        "versions": {name: importlib.metadata.version(name) for name in _OURS},
        "peers": {name: _versions(name, packages) for name, packages in _THEIRS.items()},
    }


def cpu() -> str:
    """The processor's name."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return " ".join(found[1].split()) if found else platform.machine()


def in_a_line() -> str:
    """Processor, load and Python, for what a command prints first."""
    return (
        f"machine: {cpu()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}"
    )


def has_amx(machine: dict[str, Any]) -> bool:
    """Whether the processor has tile instructions for bf16."""
    return "amx_bf16" in machine["matrix_instructions"]


def _object_nanoseconds() -> float:
    """Time to make an object and call its method: builds of the same Python differ by half."""
    made = "class Made:\n def __init__(self, x): self.x = x\n def read(self): return {'x': self.x}"
    return min(timeit.repeat("Made(1).read()", made, number=_CALLS, repeat=9)) / _CALLS * 1e9


def _versions(name: str, packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for site in (environments.directory(name) / "lib").glob("python*/site-packages"):
        for distribution in importlib.metadata.distributions(path=[str(site)]):
            found[distribution.name.lower().replace("_", "-")] = distribution.version
    return {package: found[package] for package in packages if package in found}


def _commit() -> str:
    """The commit that is checked out, with a plus if files differ from it."""
    root = Path(__file__).parents[1]
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],  # noqa: S607
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
