"""Numbers in Chinese numerals, as addresses have them, as digits."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = dict(zip("零〇一二两三四五六七八九", "001223456789", strict=True))
_UNITS: Final = {"十": 10, "百": 100, "千": 1000}

NUMERALS: Final = "".join([*_DIGITS, *_UNITS])
"""The characters of such a number, for a regular expression's `[...]`."""


def in_digits(han: str) -> str:
    """A number below 10,000 in digits: 十二 as 12, 一百零五 as 105, 二〇一 as 201."""
    if _UNITS.keys().isdisjoint(han):
        return "".join(_DIGITS[char] for char in han)
    total, digit = 0, 0
    for char in han:
        if unit := _UNITS.get(char):
            total += (digit or 1) * unit
            digit = 0
        else:
            digit = int(_DIGITS[char])
    return str(total + digit)
