"""Find the province, city and district that an address begins with.

Names are read from the beginning of the text, and each narrows the next: 朝阳区 is in Beijing
or in Changchun, 北京朝阳区 only in Beijing. A division that is named later in the text is ignored,
because a wrong city is worse than none.

`divisions.csv` has the names of 1980 to 2024, so 余杭县 and 余杭区 are one district. NOTICE names
its source; `training/division_table.py` makes it.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Final, Literal, NamedTuple

Level = Literal["province", "city", "district"]
LEVELS: Final[tuple[Level, ...]] = ("province", "city", "district")


class Place(NamedTuple):
    """Codes of a division and those above it; empty for levels below it.

    A code with `-` is an abolished division, which may now be part of any other.
    """

    province: str = ""
    city: str = ""
    district: str = ""

    @property
    def level(self) -> Level:
        """Level of the division itself; a municipality counts as a province."""
        if self.district:
            return "district"
        return "city" if self.city not in ("", self.province) else "province"

    def is_within(self, other: Place) -> bool:
        """Whether it is the other division, or part of it."""
        return all(theirs in ("", ours) for ours, theirs in zip(self, other, strict=True))


@dataclass(frozen=True, slots=True)
class Location:
    """The divisions that a text names.

    Attributes:
        places: Divisions that it may mean; empty if it names none.
        names: The name in the text, for each level.
        end: Index of the first character after the divisions.
    """

    places: tuple[Place, ...] = ()
    names: Mapping[Level, str] = field(default_factory=dict)
    end: int = 0

    def within(self, default: tuple[Place, ...]) -> Location:
        """The location, narrowed to these places unless the text contradicts them."""
        inner = (*_within(self.places, default), *_within(default, self.places))
        places = inner or self.places or default
        return Location(places, self.names, self.end)


_BEFORE: Final = re.compile(
    "[^0-9A-Za-z\u4e00-\u9fff]*(?:(?:收货|详细|联系|公司)?地址[^0-9A-Za-z\u4e00-\u9fff]+)?"
    "(?:中国(?!银行|移动|联通|电信|石|人))?"
)
_BETWEEN: Final = re.compile("[ ,，、;；/|>·_-]*(?:市辖区)?")
_ROAD: Final = re.compile(
    "(?!.?(?:大?[路街道]|[巷弄镇乡]|号路)).{2,3}?(?:[路街巷弄镇乡]|大道|道[0-9])"
)
_NOT_A_DIVISION: Final = re.compile(
    "[东西南北中]?[一二三四五]?(?:路|街|大道|大街|大路|道|巷|里|弄|胡同|大桥|大学|学院|银行)"
    "|村|镇|乡|街道|广场|大厦|山庄|小区|花园|公寓|宾馆|饭店|酒店|商城|商场|市场|医院|公司"
)
_MANY_HAVE_IT: Final = frozenset(
    {"东区", "西区", "南区", "北区", "城区", "郊区", "矿区", "市区", "新区"}
)
"""Names of districts that parts of an estate also have."""


_MOST_NAMES: Final = 8
"""Most names to read. Three levels would be 3; some texts write each twice."""


class _Name(NamedTuple):
    """The divisions with this full name, and those with this short name."""

    full: tuple[Place, ...]
    short: tuple[Place, ...]


def read(text: str) -> Location:
    """Find the divisions at the beginning of a text in plain, simplified characters."""
    found = _BEFORE.match(text)
    return _read(text, found.end() if found else 0)


def named(text: str, level: Level) -> tuple[Place, ...]:
    """The divisions of this level with this full or short name; empty if there are none."""
    name = _table().get(text, _Name((), ()))
    return tuple(place for place in (*name.full, *name.short) if _is(place, level))


def _is(place: Place, level: Level) -> bool:
    """Whether it is of that level. Municipalities and county-level cities also count as cities."""
    if level == "city":
        return bool(place.city) and place.district in ("", place.city)
    return place.level == level


def _read(text: str, at: int) -> Location:
    """Read names from index `at` on."""
    others: tuple[Place, ...] = ()
    places: tuple[Place, ...] = ()
    names: dict[Level, str] = {}
    end = at
    for _ in range(_MOST_NAMES):
        step = _step(text, at, places)
        if step is None and places and (step := _step(text, at, ())):
            if len(step[0]) > 2:  # 南京市江都市 contradicts itself: keep both meanings
                others, places = (*others, *places), ()
            else:
                step = None
        if step is None:
            break
        name, found = step
        if found != places:
            names[min((place.level for place in found), key=LEVELS.index)] = name
        places, at = found, at + len(name)
        if between := _BETWEEN.match(text, at):
            at = between.end()
        end = at
    return Location((*others, *places), names, end)


def _step(
    text: str, at: int, around: tuple[Place, ...], looked_ahead: int = 0
) -> tuple[str, tuple[Place, ...]] | None:
    """The longest name at index `at` that fits the divisions before it, and its meanings.

    Args:
        text: The address.
        at: Index at which the name begins.
        around: The possible divisions that were named before; empty if there are none.
        looked_ahead: Depth of the look-ahead, which is bounded.
    """
    table = _table()

    def goes_on(name: str, places: tuple[Place, ...]) -> bool:
        end = at + len(name)
        if _NOT_A_DIVISION.match(text, end):
            return False
        if looked_ahead < len(LEVELS) and _step(text, end, places, looked_ahead + 1):
            return True
        return _stands_alone(name, places, around) and (
            end == len(text) or text[end] in " ,，、;/|>" or _ROAD.match(text, end) is not None
        )

    for length in _lengths().get(text[at : at + 1], ()):
        name = text[at : at + length]
        if (known := table.get(name)) is None:
            continue
        if places := _chosen(known.full, around):
            if length > 2 or around:
                return name, places
            if name not in _MANY_HAVE_IT and goes_on(name, places):
                return name, places
        elif (places := _chosen(known.short, around)) and goes_on(name, places):
            return name, places
    return None


def _chosen(places: tuple[Place, ...], around: tuple[Place, ...]) -> tuple[Place, ...]:
    """The meanings of a name within `around`. Abolished divisions count only if no other fits."""
    if around:
        # A repeated name, as in 杭州杭州市, adds nothing.
        places = _within(places, around) or (around if _within(around, places) else ())
    return tuple(place for place in places if "-" not in "".join(place)) or places


def _within(places: Iterable[Place], others: Iterable[Place]) -> tuple[Place, ...]:
    """The places that lie within one of the others."""
    others = tuple(others)
    return tuple(place for place in places if any(place.is_within(other) for other in others))


def _stands_alone(name: str, places: tuple[Place, ...], around: tuple[Place, ...]) -> bool:
    """Whether a short name has one meaning. 朝阳 has two: 朝阳市, and 朝阳区 elsewhere."""
    if not around and all(place.district for place in places):
        return False  # a district's short name alone mostly names something else
    for kind in "市区县旗":
        known = _table().get(name + kind)
        full = known.full if known else ()
        if around:  # 辽宁朝阳 is a city, though 朝阳区 is elsewhere
            full = _within(full, around)
        if len(_within(_chosen(full, around), places)) < len(full):
            return False
    return True


@functools.cache
def _table() -> Mapping[str, _Name]:
    """The meanings of each name."""
    full: dict[str, list[Place]] = {}
    short: dict[str, list[Place]] = {}
    file = resources.files(__package__).joinpath("divisions.csv")
    with file.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            place = Place(row["province"], row["city"], row["district"])
            full.setdefault(row["name"], []).append(place)
            if row["short"]:
                short.setdefault(row["short"], []).append(place)
    return {
        name: _Name(
            tuple(dict.fromkeys(full.get(name, ()))), tuple(dict.fromkeys(short.get(name, ())))
        )
        for name in full.keys() | short.keys()
    }


@functools.cache
def _lengths() -> Mapping[str, Sequence[int]]:
    """By first character, the lengths of the names that begin with it, longest first."""
    found: dict[str, set[int]] = {}
    for name in _table():
        found.setdefault(name[0], set()).add(len(name))
    return {first: sorted(lengths, reverse=True) for first, lengths in found.items()}
