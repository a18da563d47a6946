"""What a file calls the three labels."""

from __future__ import annotations

from collections.abc import Mapping

from service.errors import BulkError
from service.scoring.checkpoint import LABELS, Label

_KNOWN: Mapping[Label, tuple[str, ...]] = {
    "exact_match": ("exact", "精确匹配", "精准匹配", "完全匹配", "是", "yes", "true"),
    "partial_match": ("partial", "部分匹配"),
    "not_match": ("not", "no_match", "不匹配", "否", "no", "false"),
}
"""Names that mean one label wherever they stand. Numbers do not: some count from the exact match,
others from none."""

EXAMPLE = "--labels exact=2,partial=1,not=0"


def names(given: str | None) -> dict[str, Label]:
    """Which label each name in the file stands for.

    Args:
        given: `--labels`, such as `exact=2,partial=1,not=0`; several names of one label are
            separated by `|`. None for those that are known.

    Raises:
        BulkError: It is of another form.
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
    """The label that a cell names, or None. A whole number may be written as 2 or 2.0."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return known.get(_folded(str(cell)))


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
