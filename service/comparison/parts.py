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


def _number(digits: int, numerals: int) -> str:
    """A whole number of at most so many characters: not the 88 of 188, nor the 一 of 廿一."""
    han = f"(?<![{NUMERALS}廿卅])[{NUMERALS}]"
    return f"(?:(?<![0-9])[0-9]{{1,{digits}}}|{han}{{1,{numerals}}})"


def _more(between: str, item: str) -> str:
    """What follows the first item of a list or range."""
    return f"(?:{between}{item}){{0,3}}"


STEMS: Final = "甲乙丙丁"
_N: Final = _number(6, 7)
_SHORT: Final = _number(2, 3)
_L: Final = "[A-Za-z]"
_MARK: Final = f"[A-Za-z{STEMS}]"  # A座, 甲座, 12A号
_TO: Final = "、~至"  # 5、6号楼, 5~6号楼, 5至6号楼
_BLOCK: Final = "栋幢座楼"  # the last character of a building's word
_BLOCK_WORD: Final = "号[楼栋幢]|[栋幢]楼?|座|#楼?"
_END: Final = "(?![^ ,;()]|,[0-9])"  # of the text, or before a sign: 3-501(东门)
_ROOM_OF: Final = "-[0-9]{2,4}(?![0-9-]|[号层楼])室?"
_ON_ROAD: Final = "(?<=[路街道巷])[0-9]{1,5}"  # 文三路12
_MORE_BLOCKS: Final = _more(f"(?:号楼|[栋幢])?[{_TO}-]", f"{_L}?{_N}")  # 5栋至8栋, A1-A3栋
_MORE_FLOORS: Final = _more(f"[层楼]?[{_TO}/-]", f"[Bb负]?{_N}")  # 2层至4层, B1-B3层
_MORE_HOUSES: Final = _more(f"(?:号?[{_TO}-]|[之附])", _N)  # 12号至16号, 12-3号, 12附3号
_MORE_INNER: Final = _more(f"(?:[{_TO}-]附?|号、附)", _N)  # 附3-5号, 附3号、附4号
_NOT_A_HOUSE: Final = (
    # 2号线, 2号门 (2号门面 is a house), 3号楼, 3号大街
    "(?!线|门(?!面|市)|桥|店|厅|口|库|机|路|公路|大?街|大道|地块|车间|厂房|[楼栋幢]"
    # Beside a house: 12号旁, 12号大院斜对面
    "|大?院?(?:斜?对[面过]|旁|隔壁|附近|[前后][面方]|[东西南北]侧))"
)
_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    # Three keys name several kinds: numbers that have `-` between them instead of words.
    "building_unit_room": (f"(?<![0-9-]){_N}-{_SHORT}{_ROOM_OF}",),  # 3-2-501
    "unit_room": (f"(?<=[{_BLOCK}#]){_SHORT}{_ROOM_OF}",),  # 3栋2-501
    # 3-501. 301-305室 are several rooms, and 文三路12-301 is a house.
    "building_room": (f"(?<![0-9A-Za-z路街道巷-]){_SHORT}-[0-9]{{3,4}}(?:室|{_END})",),
    "building": (
        f"(?:{_MARK}?{_N}{_MORE_BLOCKS}{_L}?|{_MARK})(?:{_BLOCK_WORD})",  # 乙6号楼, A座, 3#
        f"{_N}楼(?={_N}(?:单元|[门层]))",  # 9楼3门: this 9楼 is no floor
    ),
    "unit": (
        # Not 3-2单元, which is in building 3.
        f"(?:{_N}{_more(f'[{_TO}]', _N)}|{_MARK})单元",
        f"(?<=[{_BLOCK}]){_N}门",  # 9楼3门
    ),
    "floor": (
        f"(?:地下|负|B|b|-)?{_N}{_MORE_FLOORS}[层楼]",
        f"(?:[0-9]{{1,3}}[Ff]?[{_TO}-])?[Bb]?[0-9]{{1,3}}[Ff](?![A-Za-z号])",  # 3F, 2F-4F
    ),
    "room": (
        # 501室, 801、802室, 801室至805室. A number behind 路 is that of a house.
        f"(?:(?<![0-9路街道巷]){_L}?[0-9]{{3,4}}室?[{_TO},/-]){{0,3}}"
        f"{_L}?{_N}{_L}?(?:号?[室房](?!屋|地产)|户)",
        # Without a word, behind what has rooms: 2单元501, 3栋-501, B座801,802, 801-2
        f"(?:(?<=单元)|(?<=[{_BLOCK}层#])|(?<=[0-9]门)){_L}?-?[0-9]{{2,4}}"
        f"(?:[{_TO},/][0-9]{{3,4}}|-[0-9]{{1,4}}){{0,3}}(?![0-9A-Za-z米号弄元年]|-[0-9])",
        # 3栋12号 and 2单元12号. 鼓楼12号 is a house.
        f"(?:(?<=单元)|(?<=[0-9A-Za-z号{NUMERALS}][{_BLOCK}层#])){_L}?{_N}号(?![楼栋幢院门口库线])",
        f"(?<=号)[0-9]{{3,4}}{_END}",  # 3号501. 50号1933老场坊 is a name.
    ),
    "lane": (f"{_N}{_more(f'[{_TO}-]', _N)}支?[弄巷]",),
    "number": (
        # 12号, 甲12号, 12A号
        f"(?<!附)[{STEMS}新]?{_N}{_MARK}?{_MORE_HOUSES}{_MARK}?号{_NOT_A_HOUSE}"
        # 12号之3, 12号附3号, 12号-3 (but 3栋 in 12号-3栋), 12号甲 (but 甲座 in 12号甲座)
        f"(?:之{_N}|附{_N}{_MORE_INNER}号?|-{_N}(?![0-9-]|[号{_BLOCK}层单室房#])"
        f"|[{STEMS}](?![座栋幢楼单级]))?",
        f"{_ON_ROAD}(?=-[0-9]{{3,4}}室)",  # 12 in 文三路12-701室
        # 文三路12, 文三路12-3. 文三路12米 and the like are none.
        f"{_ON_ROAD}(?:-[0-9]{{1,4}})?(?![0-9A-Za-z号弄巷米公路线段期区层{_BLOCK}室元年#-])",
    ),
}
_ROAD: Final = (
    r"(?:[^\W\d_号栋幢室座层弄]{1,9}?|[0-9]{1,3}号)"  # 文三路, 3号大街
    "(?:大道|大街|公路|胡同|[路街巷](?![口道]|社区|村|小区|桥|店)"
    "|(?<![街通地轨河隧频铁])道(?=[0-9]))"  # 轩尼诗道1号
)
_NUMBERED: Final = "|".join(f"(?P<{kind}>{'|'.join(made)})" for kind, made in _PATTERNS.items())
_PART: Final = re.compile(
    # All but roads begin with one of few characters: the others need not be tried with each kind.
    f"(?=[-0-9A-Za-z{NUMERALS}{STEMS}新地负])(?:{_NUMBERED})|(?P<road>{_ROAD})"
)
_TOWN: Final = re.compile(
    r"([^\W\d_号]{1,8}?)(?:街道办事处|街道办|街道|地区办事处)"
    r"|([^\W\d_号路街]{1,5}?)(?:镇|乡|苏木)(?![路街道村镇巷江海])"
)
_WORDS: Final = re.compile(
    # Behind each number of a list: 801室、805室 are 801、805. F is a word in 3F, not in F-501.
    f"(?:{_BLOCK_WORD}|[层楼弄门]|单元|号?[室房户]|号|F(?<=[0-9]F))(?![^、-])"
)
_NUMBER: Final = re.compile(f"[0-9]+|[{NUMERALS}]+")
_GAP: Final = " ,，.·()第"  # what may stand between a road and its number: 文三路(第12号)
_BEFORE_ROOM: Final = re.compile("^([A-Z]?)-")  # -501, A-501
_SIGNS: Final = str.maketrans({"~": "-", "至": "-", ",": "、", "/": "、"})
_MARKS: Final = re.compile(r"[\W_]+")
_SPACED: Final = re.compile(
    f"(?<=[0-9A-Za-z]) +(?=[号{_BLOCK}层单室房弄巷#-])"  # 3 栋, 6 -
    "|(?<=-) +(?=[0-9])"  # - 3
    f"|(?<=[{_BLOCK}层元#]) +(?={_L}?[0-9]{{2,4}}(?![0-9A-Za-z-]))"  # 2单元 501
)


def joined(text: str) -> str:
    """The text, with each number beside its word: 3 栋 2 单元 501 as 3栋2单元501."""
    return _SPACED.sub("", text) if " " in text else text


def read(text: str, at: int) -> Iterator[Part]:
    """Yield the parts of a text from index `at` on. The text is in plain, simplified characters."""
    rest: list[str] = []
    if town := _TOWN.match(text, at):
        yield Part("town", town[0], town[1] or town[2])
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
    if text.isdecimal():
        return Part(kind, text, _digits(text), on_road)
    value = text.upper().translate(_SIGNS)
    if kind != "number":
        value = _WORDS.sub("", value)
    if kind == "room" and "-" in value:
        value = _BEFORE_ROOM.sub(r"\1", value)
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
