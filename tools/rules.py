"""Writes what is made of the rules: their links, their pages of runbooks, and the operator's copy.

    python -m tools.rules

The bases of the links are in prometheus/links.yml, and nowhere else by hand. Run it after a change
of them, of prometheus/rules or of the runbooks in docs; tests/contract/test_rules.py tells when.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from tools import yaml_text
from tools.compose import REPOSITORY

SOURCE = REPOSITORY / "prometheus"
LINKS = SOURCE / "links.yml"
RUNBOOKS = {
    "en": REPOSITORY / "docs" / "runbooks.md",
    "zh-CN": REPOSITORY / "docs" / "runbooks.zh-CN.md",
}
"""The runbooks by language."""
OPERATOR = REPOSITORY / "deploy" / "kubernetes" / "prometheus-operator" / "rules.yaml"

PORTABLE = ("recording", "service", "slo", "telemetry")
"""Rule files for any Prometheus; the rest is about this repository's own stack."""

_LINK = re.compile(r"((?:runbook|dashboard)_url: )\S*?(#\w+|/d/[\w-]+)(?=\s)")


def with_links(text: str, links: dict[str, str]) -> str:
    """Rules, or tests of them, with the links of their alerts under `links`' bases."""

    def link(found: re.Match[str]) -> str:
        base = links["runbooks" if found[2].startswith("#") else "dashboards"]
        return f"{found[1]}{base}{found[2]}"

    return _LINK.sub(link, text)


def served(source: Path) -> Path:
    """The page that Prometheus serves for a page of runbooks."""
    return SOURCE / "consoles" / f"{source.stem}.html"


def page(markdown: str, language: str) -> str:
    """The runbooks as a page for Prometheus to serve, with an anchor for each heading.

    Each alert leads to its own heading in the other language, whose page the text links to.
    """
    parser = MarkdownIt("commonmark", {"breaks": True}).enable("table")
    # Marks of translations are of no use to a reader.
    tokens = parser.parse(re.sub(r"<!-- .*? -->\n", "", markdown))
    for token, text in itertools.pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", text.content.lower().replace(" ", "-"))
    body = str(parser.renderer.render(tokens, parser.options, {}))
    # It reads the file as a template, and other pages of the documentation are not beside it.
    body = re.sub(r'<a href="(?!#|https?:|runbooks)[^"]*">(.*?)</a>', r"\1", body)
    body = re.sub(r'href="(runbooks[\w.-]*)\.md"', r'href="\1.html"', body).replace("{{", "{ {")
    for other, name in re.findall(r'<a href="(runbooks[\w.-]*)">(.*?)</a>', body):
        there = rf'<small><a href="{other}#\2">{name}</a></small>'
        body = re.sub(r'(<h2 id="(\w+)">\w+)(?=</h2>)', rf"\1 {there}", body)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>MGeo: {tokens[1].content}</title>\n"
        "<style>body {font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; "
        "padding: 0 1em} :target {background: #fd6} h2 small {font-size: 0.6em}</style>\n"
        f"</head>\n<body>\n<!-- Made by tools/rules.py from docs. -->\n{body}"
        "</body>\n</html>\n"
    )


def operator(files: dict[str, str]) -> str:
    """A PrometheusRule for each rule file, by its name without suffix."""
    made = []
    for name, text in files.items():
        groups: list[dict[str, Any]] = yaml_text.parse(text)["groups"]
        manifest = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"mgeo-{name}"},
            "spec": {"groups": groups},
        }
        made.append(yaml.safe_dump(manifest, allow_unicode=True, sort_keys=False, width=120))
    return "# Made from prometheus/rules by tools/rules.py.\n" + "---\n".join(made)


def outputs() -> Iterator[tuple[Path, str]]:
    """Each file that is written, and what it must hold."""
    links = yaml_text.read(LINKS)
    rules = {}
    for file in sorted([*(SOURCE / "rules").glob("*.yml"), *(SOURCE / "tests").glob("*.yml")]):
        text = with_links(file.read_text("utf-8"), links)
        if file.parent.name == "rules":
            rules[file.stem] = text
        yield file, text
    for language, source in RUNBOOKS.items():
        yield served(source), page(source.read_text("utf-8"), language)
    yield OPERATOR, operator({name: rules[name] for name in PORTABLE})


if __name__ == "__main__":
    for path, content in outputs():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "utf-8")
