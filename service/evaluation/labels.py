"""The names that a file may use for the three labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from service.errors import BulkError
from service.scoring.checkpoint import LABELS, Label

_KNOWN: Mapping[Label, tuple[str, ...]] = {
    "exact_match": ("exact", "精确匹配", "精准匹配", "完全匹配", "是", "yes", "true"),
    "partial_match": ("partial", "部分匹配"),
    "not_match": ("not", "no_match", "不匹配", "否", "no", "false"),
}
"""Names whose label is clear. Numbers are left out: in some files 0 is exact, in others none."""

_WHOLE = re.compile(r"(_?\d+)\.0+")
"""2.0, after folding. That is how pandas writes a 2 where another cell is empty."""

EXAMPLE = "--labels exact=2,partial=1,not=0"


def names(given: str | None) -> dict[str, Label]:
    """The label of each name that a file may use.

    Args:
        given: Value of `--labels`, such as `exact=2,partial=1,not=0`; `|` separates several names
            of one label. They are added to the known names, and count more. None for these alone.

    Raises:
        BulkError: It has another form, or one name stands for two labels.
    """
    known = {_folded(name): label for label in LABELS for name in (label, *_KNOWN[label])}
    if given is None:
        return known
    found: dict[str, Label] = {}
    # Input methods for Chinese make full-width signs.
    for part in unicodedata.normalize("NFKC", given).split(","):
        name, equals, listed = part.partition("=")
        label = known.get(_folded(name))
        of_label = [_folded(one) for one in listed.split("|") if one.strip()]
        if label is None or not equals or not of_label:
            raise BulkError(
                f"--labels {given!r}: must have a label, = and what the file calls it, as in "
                f"{EXAMPLE}"
            )
        if twice := found.keys() & set(of_label):
            raise BulkError(f"--labels {given!r}: {min(twice)!r} stands for two labels")
        found |= dict.fromkeys(of_label, label)
    return known | found


def label_of(cell: object, known: Mapping[str, Label]) -> Label | None:
    """The label that a cell names; None if it names none. 2 and 2.0 are the same name."""
    # An empty cell is not the name `none`.
    return None if cell is None else known.get(_folded(str(cell)))


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    joined = plain.replace(" ", "_").replace("-", "_")
    whole = _WHOLE.fullmatch(joined)
    return whole[1] if whole else joined
