"""Whether a command has printed what the page shows."""

from __future__ import annotations

import re
from typing import Any

import pytest

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_ID = re.compile(r"\b[0-9a-f]{16,}\b")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+\d\d:\d\d)?")


def same_text(told: str, shown: str, differs: bool) -> bool:
    """Equal, where a shown decimal fraction may be rounded and `...` stands for anything.

    Args:
        told: What was printed.
        shown: What the page shows.
        differs: Whether all numbers, ids and times may be others.
    """
    told, shown = told.replace("\r\n", "\n").strip(), shown.strip()
    if differs:
        return bool(_pattern(_kinds(shown)).fullmatch(_kinds(told)))
    # Where all but the numbers is equal, they are compared one by one.
    if not _pattern(_NUMBER.sub("N", shown)).fullmatch(_NUMBER.sub("N", told)):
        return False
    if "..." in shown:
        return True
    pairs = zip(_NUMBER.findall(told), _NUMBER.findall(shown), strict=True)
    return all(_close(float(one), other) for one, other in pairs)


def same_answer(told: Any, shown: Any, differs: bool) -> bool:
    """Equal as JSON, where a shown number may be rounded.

    Args:
        told: What was answered.
        shown: What the page shows.
        differs: Whether numbers, ids and times may be others, and `...` stands for anything.
    """
    if isinstance(shown, dict):
        return told.keys() == shown.keys() and all(
            same_answer(told[key], shown[key], differs) for key in shown
        )
    if isinstance(shown, list):
        return len(told) == len(shown) and all(
            same_answer(one, other, differs) for one, other in zip(told, shown, strict=True)
        )
    if _is_number(shown):
        return _is_number(told) and (differs or _close(told, str(shown)))
    if isinstance(shown, str):
        return isinstance(told, str) and same_text(told, shown, differs)
    return told is shown  # true, false, null


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(told: float, shown: str) -> bool:
    places = len(shown.partition(".")[2])
    if not places:
        return told == float(shown)
    # The last of six decimals differs between processors.
    return bool(told == pytest.approx(float(shown), abs=0.6 * 10**-places + 5e-6))


def _kinds(text: str) -> str:
    text = _DATE.sub("TIME", text)
    return _NUMBER.sub("N", _ID.sub("ID", text))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, text.split("..."))), re.DOTALL)
