"""The translations have the sections, blocks, pictures and marks of the pages they translate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.documentation.blocks import blocks
from tools import translations

PAGES = pytest.mark.parametrize(
    ("ours", "theirs"),
    translations.translations().items(),
    ids=[path.name for path in translations.translations()],
)


def test_pages_for_operators_are_translated() -> None:
    names = {path.name for path in translations.translations()}
    guides = {"tutorial", "from-script", "bulk", "versions"}
    pages = {"README", "runbooks", "alerts", "settings"} | guides
    assert names == {f"{page}.zh-CN.md" for page in pages}


@PAGES
def test_every_section_is_of_the_text_as_it_is_now(ours: Path, theirs: Path) -> None:
    found = list(translations.stale(ours.read_text("utf-8"), theirs.read_text("utf-8")))
    assert found == [], (
        "follow these in the translation, then: python -m tools.translations --stamp"
    )


@PAGES
def test_blocks_are_the_same(ours: Path, theirs: Path) -> None:
    told, original = ([(b.language, b.text) for b in blocks(p)] for p in (ours, theirs))
    assert told == original


@PAGES
def test_pictures_and_routes_are_the_same(ours: Path, theirs: Path) -> None:
    for pattern in (r"!\[[^\]]*\]\(([^)]+)\)", r"^\[[\w-]+\]: (\S+)$", r"`((?:GET|POST) /[^`]*)`"):
        told, original = (
            re.findall(pattern, p.read_text("utf-8"), re.MULTILINE) for p in (ours, theirs)
        )
        assert told == original


@PAGES
def test_the_other_language_is_one_click_away(ours: Path, theirs: Path) -> None:
    assert f"]({theirs.name})" in ours.read_text("utf-8")
    assert f"]({ours.name})" in theirs.read_text("utf-8")


@PAGES
def test_links_stay_in_the_language(ours: Path, theirs: Path) -> None:
    text = ours.read_text("utf-8").replace(f"[English]({theirs.name})", "")
    targets = {ours.parent / link for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", text)}
    originals = {original.resolve() for original in translations.translations().values()}
    assert {target for target in targets if target.resolve() in originals} == set()


@PAGES
def test_emphasis_is_seen_as_such(ours: Path, theirs: Path) -> None:
    """`**` after full-width punctuation closes nothing where the next sign is a letter."""
    tokens = MarkdownIt("commonmark").enable("table").parse(ours.read_text("utf-8"))
    parts = [part for token in tokens for part in token.children or ()]
    assert [part.content for part in parts if part.type == "text" and "*" in part.content] == []


ORIGINAL = """# One

First.

```sh
# no heading
```

## Two

Second.
<!-- generated: it -->
1
<!-- end: it -->
"""
TRANSLATION = "# Eins\n\nErstens.\n\n## Zwei\n\nZweitens.\n"


def test_a_section_that_changed_is_named_and_no_other() -> None:
    made = translations.stamped(TRANSLATION, ORIGINAL)
    assert list(translations.stale(made, ORIGINAL)) == []
    assert list(translations.stale(made, ORIGINAL.replace("Second", "Other"))) == ["## Two"]
    assert list(translations.stale(made, ORIGINAL.replace("\n1\n", "\n2\n"))) == []
    assert list(translations.stale(made, ORIGINAL + "\n## Three\n")) == ["## Three"]
    assert list(translations.stale(made, ORIGINAL.replace("## Two", "### Two"))) == ["### Two"]
    again = translations.stamped(made, ORIGINAL.replace("First", "Other"))
    assert list(translations.stale(again, ORIGINAL)) == ["# One"]
    assert again.count("<!-- of ") == 2
