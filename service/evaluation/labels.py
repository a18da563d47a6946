"""The names that a file may use for the three labels."""

from __future__ import annotations

from collections.abc import Mapping

from service.errors import BulkError
from service.scoring.checkpoint import LABELS, Label

_KNOWN: Mapping[Label, tuple[str, ...]] = {
    "exact_match": ("exact", "精确匹配", "精准匹配", "完全匹配", "是", "yes", "true"),
    "partial_match": ("partial", "部分匹配"),
    "not_match": ("not", "no_match", "不匹配", "否", "no", "false"),
}
"""Names whose label is clear. Numbers are left out: in some files 0 is exact, in others none."""

EXAMPLE = "--labels exact=2,partial=1,not=0"


def names(given: str | None) -> dict[str, Label]:
    """Parse `--labels`: the label of each name in the file.

    Args:
        given: Such as `exact=2,partial=1,not=0`; `|` separates several names of one label. None
            for the known names.

    Raises:
        BulkError: It has another form, or one name stands for two labels.
    """
    if given is None:
        return {_folded(name): label for label in LABELS for name in (label, *_KNOWN[label])}
    found: dict[str, Label] = {}
    for part in given.split(","):
        short, equals, listed = part.partition("=")
        label = next((one for one in LABELS if _folded(short) in (one, one.split("_")[0])), None)
        of_label = [_folded(name) for name in listed.split("|") if name.strip()]
        if label is None or not equals or not of_label:
            raise BulkError(f"--labels {given!r}: must be as in {EXAMPLE}")
        if twice := found.keys() & set(of_label):
            raise BulkError(f"--labels {given!r}: {min(twice)!r} stands for two labels")
        found |= dict.fromkeys(of_label, label)
    return found


def label_of(cell: object, known: Mapping[str, Label]) -> Label | None:
    """The label that a cell names; None if it names none. 2 and 2.0 are the same name."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return known.get(_folded(str(cell)))


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
