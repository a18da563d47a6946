"""Split the rest of an address, after its divisions, into road, house number, building etc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from service.answers import PartKind
from service.scoring.han_numbers import NUMERALS, in_digits


class Part(NamedTuple):
    """A part of an address.

    Attributes:
        kind: The kind of part.
        text: The part as it was written.
        value: Normalised form: 三号楼 and 3栋 both have the value 3.
    """

    kind: PartKind
    text: str
    value: str


_N = f"(?:(?<![0-9])[0-9]{{1,6}}|(?<![{NUMERALS}])[{NUMERALS}]{{1,7}})"
STEMS: Final = "甲乙丙丁"
_PATTERNS: Final[dict[str, str]] = {
    # Numbers without words: 3-2-501, 3栋2-501, 3-501室.
    "building_unit_room": rf"(?<![0-9-]){_N}-{_N}-[0-9]{{2,4}}(?![0-9-]|号)室?",
    "unit_room": rf"(?<=[栋幢座楼]){_N}-[0-9]{{2,4}}(?![0-9-]|号)室?",
    "building_room": rf"(?<![0-9-]){_N}-[0-9]{{3,4}}室",
    "building": rf"(?:[A-Za-z]?{_N}[A-Za-z]?|[A-Za-z]|[{STEMS}])(?:号[楼栋幢]|[栋幢]楼?|座|#楼?)"
    rf"|{_N}楼(?={_N}单元)",
    "unit": rf"(?:{_N}|[A-Za-z{STEMS}])单元",
    "floor": rf"(?:地下|负|B|b|-)?{_N}[层楼]|[Bb]?[0-9]{{1,3}}[Ff](?![A-Za-z号])",
    "room": rf"[A-Za-z]?{_N}[A-Za-z]?(?:号?[室房](?!屋|地产)|户)"
    r"|(?:(?<=单元)|(?<=[栋幢座楼层]))[A-Za-z]?-?[0-9]{2,4}(?![0-9A-Za-z米号弄元年])"
    r"|(?<=单元)[A-Za-z]?[0-9]{2,4}号|(?<=[栋幢座楼层])[A-Za-z]?[0-9]{3,4}号(?![楼栋幢院])",
    "lane": rf"{_N}支?[弄巷]",
    "number": rf"[{STEMS}新]?{_N}[A-Za-z{STEMS}]?(?:[-、之]{_N}){{0,3}}[A-Za-z{STEMS}]?"
    rf"号(?!线|门|桥|店|厅|口|库|机|路|公路|地块|车间|厂房)"
    rf"(?:之{_N}|附{_N}号?|-{_N}(?![0-9-])|[{STEMS}](?![座栋幢楼单级]))?"
    r"|(?<=[路街道巷])[0-9]{1,5}(?:-[0-9]{1,4})?(?![0-9A-Za-z号弄巷米公路线段期区层楼栋幢座室元年#-])",
    "road": r"(?:[^\W\d_号栋幢室座层弄]{1,9}?|[0-9]{1,3}号)"
    r"(?:大道|大街|公路|胡同|[路街巷](?![口道]|社区|村|小区|桥|店)|(?<![街通地轨河隧频铁])道(?=[0-9]))",
}
_PART: Final = re.compile("|".join(f"(?P<{kind}>{made})" for kind, made in _PATTERNS.items()))
_TOWN: Final = re.compile(
    r"[^\W\d_号]{1,8}?(?:街道办事处|街道办|街道|地区办事处)"
    r"|[^\W\d_号路街]{1,5}?(?:镇|乡|苏木)(?![路街道村镇巷江海])"
)
_TOWN_ENDS: Final = re.compile("(?:街道办事处|街道办|街道|地区办事处|镇|乡|苏木)$")
_ENDS: Final = re.compile(
    "(?:号楼|号栋|号幢|[栋幢]楼?|座|#楼?|楼|单元|号?[室房户]|(?<=[0-9])号|[层Ff])$"
)
_NUMBER: Final = re.compile(f"[0-9]+|[{NUMERALS}]+")
_MARKS: Final = re.compile(r"[\W_]+")


def read(text: str, at: int) -> Iterator[Part]:
    """Yield the parts of a text from index `at` on. The text is in plain, simplified characters."""
    rest: list[str] = []
    if town := _TOWN.match(text, at):
        yield Part("town", town[0], _TOWN_ENDS.sub("", town[0]))
        at = town.end()
    for found in _PART.finditer(text, at):
        rest.append(text[at : found.start()])
        at = found.end()
        yield from _parts(found.lastgroup or "", found[0])
    rest.append(text[at:])
    name = " ".join(filter(None, (piece.strip(" ,，.。;；()[]/-") for piece in rest)))
    if value := _MARKS.sub("", name).lower():
        yield Part("name", name, _digits(value))


def _parts(group: str, text: str) -> Iterator[Part]:
    if "_" in group:
        for one, value in zip(group.split("_"), text.rstrip("室").split("-"), strict=True):
            yield from _parts(one, value)
        return
    kind = cast(PartKind, group)
    value = text.upper() if kind in ("road", "number") else _ENDS.sub("", text).upper()
    yield Part(kind, text, value if kind == "road" else _digits(value))


def _digits(text: str) -> str:
    """The text, with numbers in digits and without leading zeros."""
    return _NUMBER.sub(lambda found: _plain_number(found[0]), text)


def _plain_number(number: str) -> str:
    digits = number if number.isdecimal() else in_digits(number)
    return digits.lstrip("0") or "0"
