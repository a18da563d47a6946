"""What of an address is looked up: its characters and numbers, and each two that are neighbours.

A number is one term, however long: 116 is another house than 11 and 16. How much a term counts is
not said here but by how many entries of a register have it, so that 路 and 号 count for little and
numbers and proper names for much.
"""

from __future__ import annotations

import itertools
import re

from service.scoring.readable import plain

_TERM = re.compile(r"[0-9]+|[a-z]+|[^\W0-9a-z_]")

_DIGITS = dict(zip("零〇一二两三四五六七八九", "001223456789", strict=True))
_HAN_NUMBER = re.compile(
    f"[{''.join(_DIGITS)}十百]+(?=号|栋|幢|楼|单元|室|层|座|期|组|弄|队|村民小组)"
)


def terms(address: str) -> list[str]:
    """The terms of an address, each as often as it occurs.

    Full width and other forms of a character are one (`readable.plain`); 三号楼 and 3号楼 have
    the same terms.
    """
    text = _HAN_NUMBER.sub(lambda found: _number(found[0]), plain(address).lower())
    units = _TERM.findall(text)
    return units + [first + second for first, second in itertools.pairwise(units)]


def _number(han: str) -> str:
    """A number below 1000 in digits: 十二 as 12, 一百零五 as 105, 二〇一 as 201."""
    if not {"十", "百"} & set(han):
        return "".join(_DIGITS[char] for char in han)
    total, digit = 0, 0
    for char in han:
        if char in "十百":
            total += (digit or 1) * (10 if char == "十" else 100)
            digit = 0
        else:
            digit = int(_DIGITS[char])
    return str(total + digit)
