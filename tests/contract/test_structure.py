"""Arrows between packages point one way."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from service.version import __version__

ROOT = Path(__file__).parent.parent.parent

LAYERS = (
    *("telemetry", "service/scoring", "service/retrieval", "service/comparison"),
    *("service/http", "service/transport"),
)
"""Each may import those before it, and none behind it."""

APART = {
    # It says what happens, in plain values; service/recorder.py makes telemetry of that.
    "service/scoring": ("telemetry", "opentelemetry", "service/recorder", "service/bulk"),
    "service/comparison": ("telemetry", "opentelemetry", "service/retrieval", "service/bulk"),
    "service/http": ("service/bulk",),
    "service/bulk": ("service/transport", "telemetry", "opentelemetry"),
    "service/transport": ("service/bulk", "service/scoring", "telemetry"),
}
"""Rooms that do not know each other, whatever their layers."""

LIBRARIES = {
    "flask": ("service/http", "service/transport", "service/app.py", "telemetry/setup.py"),
    "waitress": ("service/transport",),
    "numpy": (
        *("service/scoring", "service/retrieval"),
        *("service/bulk", "service/evaluation", "service/matching"),
    ),
    "scipy": ("service/retrieval", "service/matching"),
    "sklearn": ("service/retrieval",),
    "sparse_dot_topn": ("service/retrieval",),
    "pyspark": ("service/matching/spark.py", "service/matching/spark_worker.py"),
    "tokenizers": ("service/scoring",),
    "openvino": ("service/scoring/backends",),
    "onnxruntime": ("service/scoring/backends",),
}
"""Where a library may be imported."""

OUTSIDE = ("training", "tools", "tests", "benchmarks")
"""What neither the service nor its telemetry may import."""


@cache
def _read(path: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """What a file imports, and the classes that it defines."""
    names: set[str] = set()
    classes: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            classes.append(node.name)
    return frozenset(names), tuple(classes)


def _imports(path: Path) -> frozenset[str]:
    return _read(path)[0]


def _files(*folders: str) -> list[Path]:
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert files
    return files


def _meets(path: Path, forbidden: Sequence[str]) -> list[str]:
    roots = [folder.replace("/", ".") for folder in forbidden]
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for name in sorted(_imports(path))
        if any(f"{name}.".startswith(f"{root}.") for root in roots)
    ]


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_a_layer_imports_none_above_it(number: int) -> None:
    above = [*LAYERS[number + 1 :], "service/app"]
    if LAYERS[number] == "telemetry":
        above.append("service")
    assert not [met for path in _files(LAYERS[number]) for met in _meets(path, above)]


@pytest.mark.parametrize("room", APART)
def test_some_rooms_do_not_know_each_other(room: str) -> None:
    forbidden = [*APART[room], "service/app"]
    assert not [met for path in _files(room) for met in _meets(path, forbidden)]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_where_its_part_is(library: str) -> None:
    allowed = [ROOT / place for place in LIBRARIES[library]]
    assert not [
        met
        for path in _files("service", "telemetry")
        if not any(path.is_relative_to(place) for place in allowed)
        for met in _meets(path, [library])
    ]


def test_what_is_served_stands_without_what_made_or_tests_it() -> None:
    found = [met for path in _files("service", "telemetry") for met in _meets(path, OUTSIDE)]
    assert not found


def test_only_the_torch_backends_and_the_reader_of_its_files_import_torch() -> None:
    """Whatever else imports it makes every start pay for it."""
    importing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "service").rglob("*.py")
        if any(name.split(".")[0] in ("torch", "transformers") for name in _imports(path))
    }
    assert importing == {
        "service/scoring/weights.py",
        "service/scoring/backends/torch_backend.py",
        "service/scoring/backends/torch_graphs.py",
    }


REPORTING = {"openvino", "onnxruntime", "transformers", "torch"}
"""Libraries that report their use, or bring one that does, unless it is turned off before."""


def test_reports_of_use_are_turned_off_before_a_library_can_make_one() -> None:
    """By a package above whatever imports it; tests/isolation shows that nothing is sent."""
    switch = "usage_reporting.turn_off()"
    looked_at = 0
    for path in ROOT.glob("[a-z]*/**/*.py"):
        if path.parts[len(ROOT.parts)] in ("tests", "mutants") or path.is_relative_to(
            ROOT / "benchmarks/peers"
        ):
            continue  # conftest.py has it; the peers are given their own switches
        if REPORTING.isdisjoint(name.split(".")[0] for name in _imports(path)):
            continue
        looked_at += 1
        above = [folder / "__init__.py" for folder in path.relative_to(ROOT).parents]
        assert any(
            (ROOT / file).is_file() and switch in (ROOT / file).read_text("utf-8") for file in above
        ), f"{path.relative_to(ROOT)} can report its use"
    assert looked_at >= 5


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/kubernetes/stores/grafana.yaml"])
def test_grafana_asks_and_tells_its_maker_nothing(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    for name, value in {
        "ANALYTICS_REPORTING_ENABLED": "false",
        "ANALYTICS_CHECK_FOR_UPDATES": "false",
        "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "NEWS_NEWS_FEED_ENABLED": "false",
        "PLUGINS_PREINSTALL_AUTO_UPDATE": "false",
        "PLUGINS_PREINSTALL_DISABLED": "true",
        "PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
        "SECURITY_DISABLE_GRAVATAR": "true",
    }.items():
        assert re.search(rf'\bGF_{name}(, value)?: "{value}"', text), name


@pytest.mark.parametrize(
    "file",
    ["docker-compose.victorialogs.yml", "deploy/kubernetes/components/victorialogs/grafana.yaml"],
)
def test_with_victorialogs_its_plugin_is_fetched_and_no_other_is_updated(file: str) -> None:
    """`preinstall_disabled` would leave out `preinstall_sync` too."""
    text = (ROOT / file).read_text("utf-8")
    assert re.search(r'\bGF_PLUGINS_PREINSTALL_DISABLED(, value)?: "false"', text)
    assert re.search(r"\bGF_PLUGINS_PREINSTALL_SYNC(, value)?: victoriametrics-logs-data", text)
    assert "GF_PLUGINS_PREINSTALL_AUTO_UPDATE" not in text


def test_the_release_is_named_in_one_place() -> None:
    """Image tags are files of their own format, so they are held to it here."""
    for file in [
        *(ROOT / "deploy").rglob("*.yaml"),
        ROOT / "docs" / "kubernetes.md",
        ROOT / "pyproject.toml",
        ROOT / "packages" / "client" / "pyproject.toml",
    ]:
        text = file.read_text("utf-8")
        tags = re.findall(r"mgeo-inference:([\d.]+)|newTag: ([\d.]+)", text)
        assert {one or other for one, other in tags} <= {__version__}, file
        assert not re.search(r"^version = ", text, re.M), file


def test_the_client_is_made_of_the_service_s_files() -> None:
    """By links, and of nothing that imports the service."""
    folder = ROOT / "packages" / "client" / "mgeo_client"
    links = {path.name: path.resolve() for path in folder.glob("*.py")}
    assert links == {
        "__init__.py": ROOT / "service" / "client.py",
        "answers.py": ROOT / "service" / "answers.py",
        "version.py": ROOT / "service" / "version.py",
    }
    for path in links.values():
        assert not [
            name for name in _imports(path) if name.split(".")[0] in ("service", "telemetry")
        ]
    assert (folder.parent / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_no_two_classes_share_a_name() -> None:
    classes = Counter(
        name
        for path in _files("service", "telemetry", "benchmarks", "tools", "packages")
        if not path.is_symlink()
        for name in _read(path)[1]
    )
    assert classes
    assert not {name for name, count in classes.items() if count > 1}


def test_each_target_of_the_makefile_has_one_recipe() -> None:
    """Of two recipes make takes the last one, and it takes a target without one for done."""
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    made = Counter(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    promised = " ".join(re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)).split()
    assert "bench-lock" in promised
    assert [name for name in (*made, *promised) if made[name] != 1] == []
