"""Holds translations to the pages that they translate, section by section.

    python -m tools.translations           says which sections have changed since
    python -m tools.translations --stamp   says that the translations have followed

Below each heading a translation has a mark, the beginning of a hash of the English section, in a
comment that no reader sees. What is generated into a section counts for nothing: tables of settings
are not translated.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIX = ".zh-CN.md"

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_GENERATED = re.compile(r"<!-- generated: .*?<!-- end: [^>]*-->", re.DOTALL)
_MARK = re.compile(r"<!-- of ([0-9a-f]{8}) -->\n")


def translations() -> dict[Path, Path]:
    """Each translation, and the page that it translates."""
    found = [*ROOT.glob("*" + SUFFIX), *(ROOT / "docs").rglob("*" + SUFFIX)]
    return {path: path.with_name(path.name.removesuffix(SUFFIX) + ".md") for path in found}


def sections(text: str) -> list[tuple[str, str]]:
    """Each heading of a page with its `#`, and the text below it."""
    # A comment in a script is no heading.
    plain = _FENCED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    starts = [found.start() for found in _HEADING.finditer(plain)]
    parts = [text[start:end] for start, end in itertools.pairwise([*starts, len(text)])]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def mark(body: str) -> str:
    """What a translation of a section bears."""
    kept = _GENERATED.sub("", body).strip()
    return f"<!-- of {hashlib.sha256(kept.encode()).hexdigest()[:8]} -->\n"


def stale(translation: str, original: str) -> Iterator[str]:
    """The headings of `original` whose translation is of another text, or is not there."""
    pairs = itertools.zip_longest(sections(translation), sections(original), fillvalue=("", ""))
    for (ours, told), (heading, body) in pairs:
        found = _MARK.match(told)
        same_level = ours.partition(" ")[0] == heading.partition(" ")[0]
        if not same_level or found is None or found[0] != mark(body):
            yield heading or ours


def stamped(translation: str, original: str) -> str:
    """`translation` with the marks of `original`'s sections as they are now."""
    text = translation[: translation.index("#")]
    for (ours, told), (_, body) in zip(sections(translation), sections(original), strict=True):
        text += f"{ours}\n{mark(body)}{_MARK.sub('', told, count=1)}"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Names the sections that have changed, or marks all as followed; 1 if any has changed."""
    given = sys.argv[1:] if arguments is None else arguments
    changed = 0
    for ours, theirs in translations().items():
        translation, original = ours.read_text("utf-8"), theirs.read_text("utf-8")
        if "--stamp" in given:
            ours.write_text(stamped(translation, original), "utf-8")
            continue
        for heading in stale(translation, original):
            print(f"{ours.relative_to(ROOT)}: {heading} has changed in {theirs.name}")
            changed = 1
    return changed


if __name__ == "__main__":
    sys.exit(main())
