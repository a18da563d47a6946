"""No AGPL source is fetched or compiled: who builds it takes on its terms.

Loki and Grafana, which are AGPL, are images that users pull.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
AGPL = frozenset(
    f"github.com/{name}"
    for name in (
        "canonical/lxd",
        "coder/coder",
        "element-hq/dendrite",
        "grafana/grafana",
        "grafana/k6",
        "grafana/loki",
        "grafana/mimir",
        "grafana/oncall",
        "grafana/phlare",
        "grafana/pyroscope",
        "grafana/tempo",
        "gravitational/teleport",
        "juju/juju",
        "loadimpact/k6",
        "mattermost/mattermost",
        "mattermost/mattermost-server",
        "minio/console",
        "minio/kes",
        "minio/madmin-go",
        "minio/mc",
        "minio/minio",
        "minio/operator",
        "minio/pkg",
        "minio/warp",
        "pydio/cells",
        "trufflesecurity/trufflehog",
        "uptrace/uptrace",
        "zitadel/zitadel",
    )
) | {"go.k6.io/k6", "borb", "boxmot", "pymupdf", "pymupdfb", "ultralytics", "yolov5"}
"""Go modules, with all that is published under them, and Python packages."""

_NOT_OURS = {"build", "node_modules", "__pycache__"}
_APACHE = "3b83ef96387f14655fc854ddc3c6bd57"
"""MD5 of Apache-2.0's text, as Debian has it."""

_TITLE = "GNU AFFERO GENERAL PUBLIC LICENSE"


def _locks() -> list[Path]:
    """Every file that pins what is fetched."""
    named = re.compile(r"go\.(mod|sum)|.*\.lock|.*-lock\.(json|yaml)|peers/\w+\.txt")
    found = []
    for folder, inner, files in os.walk(ROOT):
        inner[:] = [name for name in inner if name[0] != "." and name not in _NOT_OURS]
        found += [
            Path(folder, name)
            for name in sorted(files)
            if named.fullmatch(name) or named.fullmatch(f"{Path(folder).name}/{name}")
        ]
    return found


def _agpl(text: str) -> set[str]:
    """The names in `text` that are known to be AGPL."""
    names = {name.lower() for name in re.findall(r"[A-Za-z0-9][\w.~/-]*", text)}
    return {n for n in names if any(n == a or n.startswith(f"{a}/") for a in AGPL)}


@pytest.mark.parametrize("file", _locks(), ids=lambda f: str(f.relative_to(ROOT)))
def test_no_lock_file_names_what_is_agpl(file: Path) -> None:
    text = file.read_text("utf-8")
    assert _agpl(text) == set()
    if file.suffix == ".json":
        packages = json.loads(text)["packages"]
        licences = {name: package.get("license") for name, package in packages.items() if name}
        assert None not in licences.values()
        assert not [name for name, licence in licences.items() if "AGPL" in licence]


def test_all_kinds_of_lock_files_are_read() -> None:
    read = {str(file.relative_to(ROOT)) for file in _locks()}
    assert read >= {
        *(f"tools/go/{m}/go.{k}" for m in ("otelcol", "victorialogs") for k in ("mod", "sum")),
        *("requirements.lock", "requirements-dev.lock", "tools/uv.lock"),
        "benchmarks/peers/litserve.txt",
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("\tgithub.com/grafana/loki/v3 v3.7.8 // indirect", "github.com/grafana/loki/v3"),
        ("github.com/grafana/loki/pkg/push v0.1.0/go.mod h1:x", "github.com/grafana/loki/pkg/push"),
        ("replace x => github.com/Grafana/Tempo v1.0.0", "github.com/grafana/tempo"),
        ("github.com/minio/pkg/v3 v3.0.1 h1:x", "github.com/minio/pkg/v3"),
        ("tool github.com/minio/minio", "github.com/minio/minio"),
        ("go.k6.io/k6 v1.0.0 h1:x", "go.k6.io/k6"),
        ("pymupdf==1.26.0 \\", "pymupdf"),
        ("PyMuPDF[fonts]==1.26.0 \\", "pymupdf"),
        ("github.com/minio/minio-go/v7 v7.0.1 h1:x", None),
        ("github.com/grafana/regexp v0.0.0 h1:x", None),
        ("github.com/grafana/grafana-plugin-sdk-go v0.1.0 h1:x", None),
    ],
)
def test_what_is_agpl_would_be_found(line: str, found: str | None) -> None:
    assert _agpl(line) == ({found} if found else set())


def _go_licences() -> Iterator[tuple[str, str]]:
    """Each Go module that is pinned and was fetched to this machine, and a licence of its."""
    if shutil.which("go") is None:
        return
    done = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True)
    cache = Path(done.stdout.strip())
    pinned = {
        (name, version)
        for file in _locks()
        if file.name == "go.sum"
        for name, version in re.findall(r"^(\S+) (v\S+) h1:", file.read_text("utf-8"), re.M)
        if not version.endswith("/go.mod")
    }
    for name, version in sorted(pinned):
        # The cache writes a capital letter as `!` and a small one.
        place = cache / re.sub(r"[A-Z]", lambda c: f"!{c[0].lower()}", f"{name}@{version}")
        for file in [*place.glob("LICEN[SC]E*"), *place.glob("COPYING*")]:
            if file.is_file():
                yield f"{name}@{version}", file.read_text("utf-8", errors="replace")


def test_no_go_module_on_this_machine_is_agpl_by_its_own_licence() -> None:
    """The list above may be incomplete; a licence's own title is not."""
    licences = list(_go_licences())
    if not licences:
        pytest.skip("no Go, or its module cache is empty: no program was built on this machine")
    assert [name for name, text in licences if _TITLE in text[:500].upper()] == []


def _licences(*flags: str) -> subprocess.CompletedProcess[str]:
    """`pip-licenses` with the list in pyproject.toml, as `make sbom` runs it."""
    command = [str(Path(sys.executable).parent / "pip-licenses"), "--format", "json", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_python_package_that_is_installed_has_a_licence_on_the_list() -> None:
    done = _licences()
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        "License-Expression: AGPL-3.0-only",
        "License-Expression: MIT AND GPL-2.0-only",
        "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
        "License: SSPL",
        "Summary: says nothing of a licence",
    ],
)
def test_a_licence_that_is_not_on_the_list_stops_the_report(tmp_path: Path, said: str) -> None:
    """A package with it, installed where a Python of its own finds nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    (site,) = tmp_path.glob("lib/*/site-packages")
    info = site / "unwanted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: unwanted\nVersion: 1.0\n{said}\n")
    done = _licences("--python", str(tmp_path / "bin" / "python"))
    assert done.returncode == 1
    assert "unwanted:1.0" in done.stderr


@pytest.mark.slow
def test_the_service_needs_no_package_of_nvidias_without_a_gpu() -> None:
    """Their licence is on the list for what torch brings, in requirements-gpu.lock alone."""
    names = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
    done = _licences("--packages", *names)
    said = {package["Name"]: package["License"] for package in json.loads(done.stdout)}
    assert said["openvino"]
    assert not [name for name, licence in said.items() if "NVIDIA" in licence]


def test_the_terms_are_in_full() -> None:
    assert hashlib.md5((ROOT / "LICENSE").read_bytes()).hexdigest() == _APACHE
    notice = (ROOT / "NOTICE").read_text("utf-8")
    named = re.findall(r"(?:service|tests|tools)/[\w./]+\w", notice)
    assert {"service/models/default/NOTICE", "tests/kubernetes/schemas"} <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []
