"""Traditional characters, and Hong Kong's, Taiwan's and Japan's forms, as simplified ones."""

from __future__ import annotations

from collections.abc import Container

from opencc import OpenCC

_IDEOGRAPHS = [chr(code) for code in range(0x3400, 0xA000)]

_ALSO_SIMPLIFIED = frozenset("乾於")
"""Traditional forms of 干 and 于 that stand in names of the mainland too: 乾县, 於潜."""


def table(vocabulary: Container[str]) -> dict[str, str]:
    """The simplified form of each character that has another one, if the vocabulary has that form.

    By OpenCC's tables. Forms of Hong Kong, Taiwan and Japan are looked up only for characters that
    the vocabulary lacks: some of them are other characters on the mainland, such as 芸.
    """
    found: dict[str, str] = {}
    for ways in (("t2s",), ("hk2s",), ("tw2s",), ("jp2t", "t2s")):
        for char, simplified in zip(_IDEOGRAPHS, _converted(ways), strict=True):
            wanted = ways == ("t2s",) or char not in vocabulary
            if wanted and simplified != char and simplified in vocabulary:
                found.setdefault(char, simplified)
    return {char: to for char, to in found.items() if char not in _ALSO_SIMPLIFIED}


def _converted(ways: tuple[str, ...]) -> list[str]:
    # A line each, so that no phrase is made of neighbours.
    text = "\n".join(_IDEOGRAPHS)
    for way in ways:
        text = OpenCC(way).convert(text)
    return text.split("\n")
