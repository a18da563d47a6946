"""The documentation says what the code does, and nothing that it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import environment_variables as api_environment
from opentelemetry.sdk import environment_variables as sdk_environment

from service import settings
from service.http import openapi, page, problems
from service.scoring.backends import accuracy_check, choose, compare
from telemetry import environment, instruments
from tests.conftest import Running
from tools import reference, rules

ROOT = Path(__file__).parent.parent.parent
API = (ROOT / "docs" / "api.md").read_text("utf-8")


@pytest.mark.parametrize("name", reference.BLOCKS)
def test_generated_blocks_are_as_the_code_writes_them(name: str) -> None:
    file, write = reference.BLOCKS[name]
    text = (ROOT / file).read_text("utf-8")
    assert reference.rendered(text, name, write()) == text, "run `make docs`"


def test_every_sentence_of_a_generated_table_has_its_chinese() -> None:
    said: set[str] = set()

    def listening(sentence: str) -> str:
        said.add(sentence)
        return sentence

    reference.settings_table(listening)
    reference.alerts_table(listening)
    assert said - set(reference.CHINESE) == set(), "say it in tools/chinese.yml"
    assert set(reference.CHINESE) - said == set(), "nothing says it any more"


@pytest.mark.parametrize("name", reference.FILES)
def test_generated_files_are_as_the_code_writes_them(name: str) -> None:
    assert (ROOT / name).read_bytes() == reference.FILES[name](), "run `make docs`"


def _named(pattern: str) -> dict[str, str]:
    """What README and docs name by a pattern, and a page that does: never nothing."""
    found = {
        name: page.name
        for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
        for name in re.findall(pattern, page.read_text("utf-8"))
    }
    assert len(found) > 10, "the pattern no longer finds what it is there for"
    return found


def test_every_setting_named_in_a_document_exists() -> None:
    known = {row.variable for row in settings.rows()}
    named = _named(r"\bMGEO_[A-Z_]+\b")
    assert {name: page for name, page in named.items() if name not in known} == {}


def test_every_metric_named_in_a_document_exists() -> None:
    known = {instruments.prometheus_name(metric) for metric in instruments.METRICS}
    # Others with these beginnings are models, and Python packages.
    named = _named(r"\b(?:mgeo_(?!geographic|client|inference)|nvidia_gpu_)[a-z0-9_]+")
    assert {
        name: page
        for name, page in named.items()
        if not {name, re.sub(r"_(bucket|sum|count)$", "", name)} & known
    } == {}


def _rules(listener: Any) -> set[str]:
    return {openapi.templated(rule.rule) for rule in listener.app.url_map.iter_rules()}


def test_every_route_of_the_prediction_listener_is_in_the_document(running: Running) -> None:
    rules = _rules(running.service.predictions)
    documented = {openapi.templated(operation.path) for operation in reference.operations()}
    for_people = {*page.PAGES, openapi.templated(page.ASSET_ROUTE)}
    assert rules == documented | for_people


def test_every_route_of_the_operations_listener_is_in_the_document(running: Running) -> None:
    section = API.partition("## Operations\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(?:GET|POST) (/[^`]*)`", section)) == _rules(
        running.service.operations
    )


def test_every_route_named_in_a_document_exists(running: Running) -> None:
    known = _rules(running.service.predictions) | _rules(running.service.operations)
    named = _named(r"`(?:GET|POST) (/[^`]*)`")
    assert {route: page for route, page in named.items() if route not in known} == {}


def test_every_otel_variable_named_in_a_document_exists() -> None:
    modules = (sdk_environment, api_environment)
    known = {value for module in modules for value in vars(module).values() if _is_variable(value)}
    known |= set(environment.VARIABLES)
    named = _named(r"\bOTEL_[A-Z_]+[A-Z]\b")
    assert {name: page for name, page in named.items() if name not in known} == {}


def _is_variable(value: object) -> bool:
    return isinstance(value, str) and value.startswith("OTEL_")


def test_panels_and_dashboards_named_in_a_document_exist() -> None:
    boards = [json.loads(p.read_text("utf-8")) for p in (ROOT / "grafana").rglob("*/*.json")]
    panels = {panel["title"] for board in boards for panel in board["panels"]}
    titles = {board["title"].removeprefix("MGeo / ") for board in boards}
    english, chinese = (page.read_text("utf-8") for page in rules.RUNBOOKS.values())
    named_panels = re.findall(r'"([^"]+)"', english)
    assert len(named_panels) > 10
    assert set(named_panels) <= panels
    assert sorted(re.findall(r"“([^”]+)”", chinese)) == sorted(named_panels)
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md"))
    named = re.findall(r"dashboard \*([^*]+)\*|\*([^*]+)\* → [\"“]", pages)
    assert len(named) > 10
    assert {one or other for one, other in named} <= titles


def test_the_architecture_names_the_files_that_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    tree = text.split("```text\n")[1].split("```")[0]
    folder: list[str] = []
    named: set[Path] = set()
    for line in tree.strip().splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folder = [*folder[:depth], name]
        path = ROOT / "/".join(part.rstrip("/") for part in folder)
        assert path.exists(), f"docs/architecture.md names {path.relative_to(ROOT)}"
        named.add(path)
    files = {path for top in ("service", "telemetry") for path in (ROOT / top).rglob("*.py")}
    unnamed = {str(path.relative_to(ROOT)) for path in files - named if path.name != "__init__.py"}
    assert unnamed == set(), "say in docs/architecture.md what it does"
    tests = {f"{path.parent.name}/" for path in (ROOT / "tests").glob("*/*") if path.is_file()}
    assert len(tests) > 10
    assert tests - {"tests/", "__pycache__/"} <= set(tree.split()), "name them beside the others"


def test_media_type_of_errors_is_documented() -> None:
    assert problems.MEDIA_TYPE in API


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([\w./-]+\.(?:md|json))", index))
    folder = ROOT / "docs"
    pages = {str(page.relative_to(folder)) for page in folder.rglob("*.md")}
    assert pages - {"README.md"} <= linked
    assert {name for name in linked if not (folder / name).exists()} == set()


def _anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[`*\[\]]|\(\S+\)", "", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), target
        if anchor and page.suffix == ".md":
            assert anchor in _anchors(page), f"{target}#{anchor}"


def test_limits_of_the_backends_choice_are_the_codes() -> None:
    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    assert (
        f"at least {100 * accuracy_check.LEAST_AGREEMENT:g} % of the 64 calibration pairs" in page
    )
    assert f"more than {accuracy_check.LARGEST_DIFFERENCE:.2f}".replace("0.", ".") in page
    assert f"hidden size of at least {choose.LEAST_HIDDEN_SIZE_FOR_INT8}" in page
    assert f"{compare.LEAST_GAIN:g} times as fast" in page
    for flag in (*choose.VNNI, choose.AMX_BF16, choose.AVX2):
        assert f"`{flag}`" in page
