"""The terms of an address: its characters, words and numbers, and each two neighbours.

A number is one term, however long: house 116 is neither 11 nor 16. `index` weighs terms by how few
entries have them, so 路 and 号 count little, and numbers and proper names much.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

from service.scoring.han_numbers import NUMERALS, in_digits
from service.scoring.readable import plain

TERMS: Final = 1
"""Version of these terms; raise it with any change of them, and `files.FORMAT` with it."""

_TERM = re.compile(r"[0-9]+|[a-z]+|[^\W0-9a-z_]")

_HAN_NUMBER = re.compile(f"[{NUMERALS}]+(?=号|栋|幢|楼|单元|室|层|座|期|组|弄|队|村民小组)")

_AREAS = re.compile(
    "(?:[^省]{2,7}?(?:省|自治区))?(?:[^市]{2,7}?(?:市|自治州|地区|盟))?"
    "(?:[^区县旗]{1,7}?(?:区(?![域间])|县|旗|市(?!场)))?"
    "(?:[^路街道镇乡]{1,7}?(?:街道办事处|街道|镇|乡))?"
)
"""The areas that an address may begin with, from the province to the town; or nothing."""

AREAS_COUNT = 0.5
"""The weight of a term of the areas in a query. Many entries leave the areas out. With full weight,
entries of the same areas would come before entries of the same house."""


def sought(address: str) -> list[tuple[str, float]]:
    """The terms of a query address, each with a factor for its weight: `AREAS_COUNT` or 1."""
    text = plain(address)
    found = _AREAS.match(text)
    end = found.end() if found else 0
    if len(text) - end < 2:  # the areas are all that the query has
        end = 0
    areas = [(term, AREAS_COUNT) for term in terms(text[:end])]
    return areas + [(term, 1.0) for term in terms(text[end:])]


def terms(address: str) -> list[str]:
    """The terms of an address, repeated as often as they occur.

    Variants of a character, such as full width, are the same term (`readable.plain`). 三号楼 and
    3号楼 have the same terms.
    """
    text = _HAN_NUMBER.sub(lambda found: in_digits(found[0]), plain(address).lower())
    units = _TERM.findall(text)
    return units + [first + second for first, second in itertools.pairwise(units)]
