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
        on_road: It is a number that directly follows a road or a lane.
    """

    kind: PartKind
    text: str
    value: str
    on_road: bool = False


_N = f"(?:(?<![0-9])[0-9]{{1,6}}|(?<![{NUMERALS}廿卅])[{NUMERALS}]{{1,7}})"
_SHORT = f"(?:(?<![0-9])[0-9]{{1,2}}|(?<![{NUMERALS}廿卅])[{NUMERALS}]{{1,3}})"
STEMS: Final = "甲乙丙丁"
_INNER = f"(?<=[0-9A-Za-z号{NUMERALS}][栋幢座楼层#])"  # behind 3栋, not behind 鼓楼
_ENDING = r"(?![^ ,;()]|,[0-9])"
_NOT_A_HOUSE = (
    r"(?!线|门(?!面|市)|桥|店|厅|口|库|机|路|公路|大?街|大道|地块|车间|厂房|[楼栋幢]"
    r"|大?院?(?:斜?对[面过]|旁|隔壁|附近|[前后][面方]|[东西南北]侧))"
)
_PATTERNS: Final[dict[str, str]] = {
    # Numbers without words: 3-2-501, 3栋2-501, 3-501室. 301-305室 are several rooms.
    "building_unit_room": rf"(?<![0-9-]){_N}-{_SHORT}-[0-9]{{2,4}}(?![0-9-]|[号层楼])室?",
    "unit_room": rf"(?<=[栋幢座楼#]){_SHORT}-[0-9]{{2,4}}(?![0-9-]|[号层楼])室?",
    "building_room": rf"(?<![0-9A-Za-z路街道巷-]){_SHORT}-[0-9]{{3,4}}(?:室|{_ENDING})",
    "building": rf"(?:[A-Za-z{STEMS}]?{_N}(?:(?:号楼|[栋幢])?[、~至-][A-Za-z]?{_N}){{0,3}}[A-Za-z]?"
    rf"|[A-Za-z]|[{STEMS}])"
    rf"(?:号[楼栋幢]|[栋幢]楼?|座|#楼?)|{_N}楼(?={_N}(?:单元|[门层]))",
    "unit": rf"(?:{_N}(?:[、~至]{_N}){{0,3}}|[A-Za-z{STEMS}])单元|(?<=[栋幢座楼]){_N}门",
    "floor": rf"(?:地下|负|B|b|-)?{_N}(?:[层楼]?[、/~至-][Bb负]?{_N}){{0,3}}[层楼]"
    r"|(?:[0-9]{1,3}[Ff]?[、~至-])?[Bb]?[0-9]{1,3}[Ff](?![A-Za-z号])",
    "room": r"(?:(?<![0-9路街道巷])[A-Za-z]?[0-9]{3,4}室?[、,/~至-]){0,3}"
    rf"[A-Za-z]?{_N}[A-Za-z]?(?:号?[室房](?!屋|地产)|户)"
    r"|(?:(?<=单元)|(?<=[栋幢座楼层#])|(?<=[0-9]门))[A-Za-z]?-?[0-9]{2,4}"
    r"(?:[、,/~至][0-9]{3,4}|-[0-9]{1,4}){0,3}(?![0-9A-Za-z米号弄元年]|-[0-9])"
    rf"|(?:(?<=单元)|{_INNER})[A-Za-z]?{_N}号(?![楼栋幢院门口库线])|(?<=号)[0-9]{{3,4}}{_ENDING}",
    "lane": rf"(?:{_N}[、~至-]){{0,3}}{_N}支?[弄巷]",
    "number": rf"(?<!附)[{STEMS}新]?{_N}[A-Za-z{STEMS}]?(?:(?:号?[-~至、]|[之附]){_N}){{0,3}}"
    rf"[A-Za-z{STEMS}]?号{_NOT_A_HOUSE}(?:之{_N}|附{_N}(?:[-、~至]附?{_N}|号、附{_N}){{0,3}}号?"
    rf"|-{_N}(?![0-9-]|[号栋幢座楼层单室房#])|[{STEMS}](?![座栋幢楼单级]))?"
    r"|(?<=[路街道巷])[0-9]{1,5}(?:(?=-[0-9]{3,4}室)|(?:-[0-9]{1,4})?"
    r"(?![0-9A-Za-z号弄巷米公路线段期区层楼栋幢座室元年#-]))",
}
_ROAD = (
    r"(?:[^\W\d_号栋幢室座层弄]{1,9}?|[0-9]{1,3}号)"
    r"(?:大道|大街|公路|胡同|[路街巷](?![口道]|社区|村|小区|桥|店)|(?<![街通地轨河隧频铁])道(?=[0-9]))"
)
_NUMBERED = "|".join(f"(?P<{kind}>{made})" for kind, made in _PATTERNS.items())
_PART: Final = re.compile(
    # All but roads begin with one of few characters: the others need not be tried with each kind.
    f"(?=[-0-9A-Za-z{NUMERALS}{STEMS}新地负])(?:{_NUMBERED})|(?P<road>{_ROAD})"
)
_TOWN: Final = re.compile(
    r"[^\W\d_号]{1,8}?(?:街道办事处|街道办|街道|地区办事处)"
    r"|[^\W\d_号路街]{1,5}?(?:镇|乡|苏木)(?![路街道村镇巷江海])"
)
_TOWN_ENDS: Final = re.compile("(?:街道办事处|街道办|街道|地区办事处|镇|乡|苏木)$")
_ENDS: Final = re.compile(
    "(?:号楼|号栋|号幢|[栋幢]楼?|座|#楼?|楼|单元|号?[室房户]|(?<=[0-9])号|[层Ff弄门])$"
)
_NUMBER: Final = re.compile(f"[0-9]+|[{NUMERALS}]+")
_GAP: Final = " ,，.·()第"
_BEFORE_ROOM: Final = re.compile("^-|(?<=^[A-Z])-")
_SIGNS: Final = str.maketrans({"~": "-", "至": "-", ",": "、", "/": "、"})
_MARKS: Final = re.compile(r"[\W_]+")


_SPACED: Final = re.compile(
    "(?<=[0-9A-Za-z]) +(?=[号栋幢座楼层单室房弄巷#-])|(?<=-) +(?=[0-9])"
    "|(?<=[栋幢座楼层元#]) +(?=[A-Za-z]?[0-9]{2,4}(?![0-9A-Za-z-]))"
)


def joined(text: str) -> str:
    """The text, with each number beside its word: 3 栋 2 单元 501 as 3栋2单元501."""
    return _SPACED.sub("", text) if " " in text else text


def read(text: str, at: int) -> Iterator[Part]:
    """Yield the parts of a text from index `at` on. The text is in plain, simplified characters."""
    rest: list[str] = []
    if town := _TOWN.match(text, at):
        yield Part("town", town[0], _TOWN_ENDS.sub("", town[0]))
        at = town.end()
    after_road = False
    for found in _PART.finditer(text, at):
        between, group = text[at : found.start()], found.lastgroup or ""
        rest.append(between)
        at = found.end()
        if "_" in group:
            values = found[0].rstrip("室").split("-")
            yield from map(_part, group.split("_"), values)
        else:
            yield _part(group, found[0], after_road and not between.strip(_GAP))
        after_road = group in ("road", "lane")
    rest.append(text[at:])
    name = " ".join(filter(None, (piece.strip(" ,，.。;；()[]/-") for piece in rest)))
    if value := _MARKS.sub("", name).lower():
        yield Part("name", name, _digits(value))


def _part(group: str, text: str, on_road: bool = False) -> Part:
    if group == "building" and on_road and text.endswith("#"):  # 文三路12# is 文三路12号
        group, text = "number", f"{text[:-1]}号"
    kind = cast(PartKind, group)
    if kind == "road":
        return Part(kind, text, text.upper())
    value = text.upper() if kind == "number" else _ENDS.sub("", text).upper()
    if not value.isdecimal():
        value = value.translate(_SIGNS)
        if kind == "room":
            value = _BEFORE_ROOM.sub("", value)
    return Part(kind, text, _digits(value), on_road)


def _digits(text: str) -> str:
    """The text, with numbers in digits and without leading zeros."""
    if text.isdecimal():
        return text.lstrip("0") or "0"
    return _NUMBER.sub(_plain_number, text)


def _plain_number(found: re.Match[str]) -> str:
    number = found[0]
    digits = number if number.isdecimal() else in_digits(number)
    return digits.lstrip("0") or "0"
