"""Compare two addresses part by part: where they differ, and where they contradict each other.

Only the texts are compared; the model has no part in it. Two parts contradict each other if both
addresses have that kind of part and no reading makes them equal. 88号 and 188号 contradict each
other. 12号 and 12-3号 do not, nor do 杭州市 and an address without a city.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase, digits
from typing import Final, NamedTuple

from service.answers import PART_KINDS, PartKind
from service.comparison import divisions, parts
from service.comparison.divisions import LEVELS, Level, Location, Place
from service.comparison.parts import STEMS, Part
from service.scoring import simplified
from service.scoring.readable import plain

RULES: Final = 2
"""Version of these rules; raise it with any change of them, of how parts are read, or of the table
of divisions. A run of `dedupe` is not resumed with others."""


class DifferingPart(NamedTuple):
    """A part that differs, or that only one address has.

    Attributes:
        kind: The kind of part.
        first: The part of the first address, in plain and simplified characters; None if it has
            none.
        second: The same for the second address.
    """

    kind: PartKind
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing two addresses.

    Attributes:
        conflicts: Kinds of part that contradict each other, from the province to the room.
        differences: All parts that differ, in the same order.
    """

    conflicts: tuple[PartKind, ...]
    differences: tuple[DifferingPart, ...]


def compare(first: str, second: str, default: tuple[Place, ...] = ()) -> Comparison:
    """Compare two addresses.

    Args:
        first: An address.
        second: Another one.
        default: The division to assume for an address that names none, or names one that
            contains it. Several places, if its name has several meanings.
    """
    return compare_parsed(parse(first, default), parse(second, default))


def compare_parsed(one: ParsedAddress, two: ParsedAddress) -> Comparison:
    """Compare two addresses that `parse` has taken apart."""
    conflict = _division_conflict(one.location.places, two.location.places)
    conflicts: list[PartKind] = [conflict] if conflict else []
    differences = list(_divisions(one.location, two.location, conflict))
    for kind in PART_KINDS[len(LEVELS) :]:
        mine, theirs = one.parts.get(kind, []), two.parts.get(kind, [])
        if _are_same(kind, mine, theirs):
            continue
        differences.append(DifferingPart(kind, _quoted(mine), _quoted(theirs)))
        if mine and theirs and kind in _COMPARED and not _may_be_same(kind, one.parts, two.parts):
            conflicts.append(kind)
    return Comparison(tuple(conflicts), tuple(differences))


def default_place(province: str | None, city: str | None) -> tuple[Place, ...]:
    """The division to assume for addresses that name none, as `compare` takes it.

    Args:
        province: Name of a province, full or short; None for any.
        city: Name of a city, full or short; None for any.

    Raises:
        ValueError: There is no such province or city, or the city is in another province.
    """
    found: tuple[Place, ...] = ()
    for level, name in zip(LEVELS, (province, city), strict=False):
        if name is None:
            continue
        known = divisions.named(_plain(name).strip(), level)
        if not known:
            raise ValueError(f"{level} is no {level} that the table of divisions has")
        inner = tuple(one for one in known if not found or any(one.is_within(out) for out in found))
        if not inner:
            raise ValueError("city is in another province")
        found = inner
    return found


_Parts = Mapping[PartKind, Sequence[Part]]


class ParsedAddress(NamedTuple):
    """An address that was taken apart.

    Attributes:
        location: The divisions that it names, and where they may be.
        parts: Its other parts, by kind.
    """

    location: Location
    parts: _Parts


def parse(address: str, default: tuple[Place, ...] = ()) -> ParsedAddress:
    """Take an address apart; `default` is as in `compare`."""
    text = parts.joined(_plain(address))
    location = divisions.read(text)
    found: dict[PartKind, list[Part]] = {}
    for part in parts.read(text, location.end):
        found.setdefault(part.kind, []).append(part)
    return ParsedAddress(location.within(default) if default else location, found)


def _plain(text: str) -> str:
    return plain(text).translate(_simplified())


class _Every(frozenset[str]):
    def __contains__(self, char: object) -> bool:
        return True


@functools.cache
def _simplified() -> Mapping[int, str]:
    return str.maketrans(simplified.table(_Every()))


def _quoted(found: Sequence[Part]) -> str | None:
    return " ".join(part.text for part in found) or None


def _division_conflict(first: Sequence[Place], second: Sequence[Place]) -> Level | None:
    """The highest level on which no possible meaning of one agrees with one of the other."""
    pairs = [(one, two) for one in first for two in second]
    if not pairs or any(one.district and one.district == two.district for one, two in pairs):
        return None
    for level in LEVELS:
        pairs = [
            (one, two) for one, two in pairs if _agree(getattr(one, level), getattr(two, level))
        ]
        if not pairs:
            return level
    return None


def _agree(one: str, two: str) -> bool:
    # A code with "-" is an abolished division, which may now be part of any other.
    return one == two or not one or not two or "-" in one or "-" in two


def _divisions(one: Location, two: Location, conflict: Level | None) -> Iterator[DifferingPart]:
    for level in LEVELS:
        mine, theirs = one.names.get(level), two.names.get(level)
        if level == conflict:
            # A text with 西湖区 alone names no city, but implies one: quote the district.
            yield DifferingPart(level, mine or _lower(one, level), theirs or _lower(two, level))
        elif (mine or theirs) and not (mine and theirs and _is_one(one, two, level)):
            yield DifferingPart(level, mine, theirs)


def _lower(location: Location, level: Level) -> str | None:
    """The nearest name below this level, which implies the division that conflicts."""
    below = LEVELS[LEVELS.index(level) + 1 :]
    return next((location.names[one] for one in below if one in location.names), None)


def _is_one(one: Location, two: Location, level: Level) -> bool:
    codes = [{getattr(place, level) for place in location.places} for location in (one, two)]
    return not codes[0].isdisjoint(codes[1])


_COMPARED: Final = ("lane", "number", "building", "unit", "floor", "room")
"""Kinds that can contradict each other. Roads cannot: a house at a corner is on two of them."""


def _are_same(kind: PartKind, mine: Sequence[Part], theirs: Sequence[Part]) -> bool:
    if kind == "road":
        return not (mine or theirs) or _share_a_road(mine, theirs)
    return {part.value for part in mine} == {part.value for part in theirs}


def _share_a_road(mine: Sequence[Part], theirs: Sequence[Part]) -> bool:
    # A road's name may begin with other words, as in 华星广场文三路: compare the ends.
    return any(
        one.value.endswith(two.value) or two.value.endswith(one.value)
        for one in mine[:_MOST_PARTS]
        for two in theirs[:_MOST_PARTS]
    )


_MOST_PARTS: Final = 8
"""Most parts of one kind to compare. A text with more is no address, and would take too long."""


def _may_be_same(kind: PartKind, one: _Parts, two: _Parts) -> bool:
    mine, theirs = one[kind], two[kind]
    return (
        max(len(mine), len(theirs)) > _MOST_PARTS
        or (kind == "number" and _may_be_same_house(mine, theirs))
        or (kind != "number" and _may_be_one(kind, mine, theirs))
        or _may_be_of_other_kind(kind, one, two)
        or _may_be_of_other_kind(kind, two, one)
    )


def _may_be_of_other_kind(kind: PartKind, one: _Parts, two: _Parts) -> bool:
    """Whether a part of one address may be what the other has as another kind of part."""
    if kind not in ("number", "building", "floor"):
        return False
    buildings = _values(two, "building")
    if kind == "floor":  # 12楼 may be building 12
        floors = {part.value for part in one[kind] if part.text.endswith("楼")}
        return "building" not in one and not floors.isdisjoint(buildings)
    # In an estate, and in a lane of Shanghai, 13号 means building 13 (13号楼).
    # 15号16栋 is not 15号15栋: a number that both have is that of a house.
    numbers = _values(one, "number") - _values(two, "number")
    if any(value.removesuffix("号") in buildings for value in numbers):
        return True
    if kind == "number" or "unit" in one:
        return False
    bare = {part.value for part in one[kind] if part.text[-1:].isdecimal()}
    return not bare.isdisjoint(_values(two, "unit"))  # 3-501 may be unit 3


def _values(found: _Parts, kind: PartKind) -> set[str]:
    return {part.value for part in found.get(kind, ())}


def _may_be_one(kind: PartKind, mine: Sequence[Part], theirs: Sequence[Part]) -> bool:
    """Whether they agree, form by form: A座 may be 1号楼, but 1号楼A座 is not 1号楼B座."""
    ours, others = _by_form(kind, mine), _by_form(kind, theirs)
    return all(
        not values.isdisjoint(others[form])
        or ("-" in form and any(_may_be_one_house(a, b) for a in values for b in others[form]))
        for form, values in ours.items()
        if form in others
    )


def _by_form(kind: PartKind, found: Sequence[Part]) -> Mapping[str, set[str]]:
    forms: dict[str, set[str]] = {}
    for part in found:
        for value in part.value.split("、"):
            form = value.translate(_FORMS)
            # Room 3 of floor 12 is room 1203, and a flat may be counted through: 3 or 301.
            form = _DIGITS.sub(_few_or_many if kind == "room" else "0", form)
            forms.setdefault(form, set()).add(value)
    return forms


_FORMS: Final = str.maketrans(
    f"{digits}{STEMS}{ascii_uppercase}",
    "0" * len(digits) + "甲" * len(STEMS) + "A" * len(ascii_uppercase),
)
_DIGITS: Final = re.compile("0+")


def _few_or_many(found: re.Match[str]) -> str:
    return "0" if len(found[0]) < _LEAST_OF_WHOLE else "000"


_LEAST_OF_WHOLE: Final = 3
"""Digits of the shortest room number that includes the floor, as 501 does."""


def _may_be_same_house(mine: Sequence[Part], theirs: Sequence[Part]) -> bool:
    # 文三路12号 and 3号 of an estate are two countings: that estate may be at 文三路12号.
    if {part.on_road for part in mine}.isdisjoint(part.on_road for part in theirs):
        return True
    return any(_may_be_one_house(a.value, b.value) for a in mine for b in theirs)


class _Houses(NamedTuple):
    """A range of house numbers, or a part of one house.

    Attributes:
        stem: What stands before the number, such as 甲 in 甲12号; or empty.
        low: The lowest number.
        high: The highest number.
        within: The part of the house, such as ("3",) in 12-3号.
    """

    stem: str
    low: int
    high: int
    within: tuple[str, ...]


_HOUSE: Final = re.compile(f"([{STEMS}新]?)([0-9]+)(.*)")
_RANGE: Final = re.compile("-|号-.*号$")  # 12-16号, 12号-16号; 12号-3 is a part of house 12
_SEVERAL_PARTS: Final = re.compile("附[0-9]+(?:号?、|-).*")  # 附3-5号 may be any part
_WITHIN: Final = re.compile(f"[0-9]+|[A-Z{STEMS}]")


def _may_be_one_house(one: str, two: str) -> bool:
    return any(
        mine.stem == theirs.stem
        and mine.low <= theirs.high
        and theirs.low <= mine.high
        and all(a == b for a, b in zip(mine.within, theirs.within, strict=False))
        for mine in _houses(one)
        for theirs in _houses(two)
    )


def _houses(value: str) -> Iterator[_Houses]:
    """The possible meanings of a house number: 12-3号 is in house 12; 12-16号 may be a range."""
    for piece in _SEVERAL_PARTS.sub("", value).split("、"):
        if found := _HOUSE.match(piece):
            stem, number, rest = found[1], int(found[2]), found[3]
            within = tuple(_WITHIN.findall(rest))
            yield _Houses(stem, number, number, within)
            if within and not stem and within[-1] in STEMS:  # 26甲号 and 26号甲 are 甲26号
                yield _Houses(within[-1], number, number, within[:-1])
            if _RANGE.match(rest) and len(within) == 1 and int(within[0]) > number:
                yield _Houses(stem, number, int(within[0]), ())
