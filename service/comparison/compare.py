"""In what two addresses differ, and in what they contradict each other.

The texts alone are looked at, not the model's answer. Two parts contradict each other if both
texts have one of a kind and no reading makes them the same: 88号 and 188号 do, 12号 and 12-3号 do
not, nor do 杭州市 and an address without a city.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from service.answers import PART_KINDS, PartKind
from service.comparison import divisions, parts
from service.comparison.divisions import LEVELS, Level, Location, Place
from service.comparison.parts import Part
from service.scoring import simplified
from service.scoring.readable import plain


class DifferingPart(NamedTuple):
    """A part that one address has and the other has not, or has otherwise.

    Attributes:
        kind: What part it is.
        first: How the first address has it, in plain and simplified characters; None if it does
            not say.
        second: Likewise.
    """

    kind: PartKind
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two addresses beside each other.

    Attributes:
        conflicts: In what they contradict each other, from the province to the room.
        differences: All parts that differ, in the same order.
    """

    conflicts: tuple[PartKind, ...]
    differences: tuple[DifferingPart, ...]


def compare(first: str, second: str, default: tuple[Place, ...] = ()) -> Comparison:
    """Compare two addresses.

    Args:
        first: An address.
        second: Another one.
        default: Where an address is that does not say so, or not exactly.
    """
    one, two = _read(first, default), _read(second, default)
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
    """Where addresses are that do not say so.

    Raises:
        ValueError: There is no such province or city; or no such city in that province.
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


class _Address(NamedTuple):
    location: Location
    parts: _Parts


def _read(address: str, default: tuple[Place, ...]) -> _Address:
    text = _plain(address)
    location = divisions.read(text)
    found: dict[PartKind, list[Part]] = {}
    for part in parts.read(text, location.end):
        found.setdefault(part.kind, []).append(part)
    return _Address(location.within(default) if default else location, found)


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
    """The highest level on which no two of the places that may be meant agree."""
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
    # An abolished division may be a part of any other one now.
    return one == two or not one or not two or "-" in one or "-" in two


def _divisions(one: Location, two: Location, conflict: Level | None) -> Iterator[DifferingPart]:
    for level in LEVELS:
        mine, theirs = one.names.get(level), two.names.get(level)
        if level == conflict:
            # A text with 西湖区 alone names no city. Its city is known, and the district stands for
            # it.
            yield DifferingPart(level, mine or _lower(one, level), theirs or _lower(two, level))
        elif (mine or theirs) and not (mine and theirs and _is_one(one, two, level)):
            yield DifferingPart(level, mine, theirs)


def _lower(location: Location, level: Level) -> str | None:
    """The name below this level from which the conflict follows; None if there is none."""
    below = LEVELS[LEVELS.index(level) + 1 :]
    return next((location.names[one] for one in below if one in location.names), None)


def _is_one(one: Location, two: Location, level: Level) -> bool:
    codes = [{getattr(place, level) for place in location.places} for location in (one, two)]
    return not codes[0].isdisjoint(codes[1])


_COMPARED: Final = ("lane", "number", "building", "unit", "floor", "room")
"""Kinds that can contradict each other. Two roads cannot: a house at a corner has both."""


def _are_same(kind: PartKind, mine: Sequence[Part], theirs: Sequence[Part]) -> bool:
    if kind == "road":
        return not (mine or theirs) or _share_a_road(mine, theirs)
    return {part.value for part in mine} == {part.value for part in theirs}


def _share_a_road(mine: Sequence[Part], theirs: Sequence[Part]) -> bool:
    # Words before a road's name cannot be told from it: 华星广场文三路.
    return any(
        one.value.endswith(two.value) or two.value.endswith(one.value)
        for one in mine[:_MOST_PARTS]
        for two in theirs[:_MOST_PARTS]
    )


_MOST_PARTS: Final = 8
"""Of one kind in one address. A text with more of them is no address, and is not looked through."""


def _may_be_same(kind: PartKind, one: _Parts, two: _Parts) -> bool:
    agree = _may_be_one_house if kind == "number" else _may_be_one
    mine, theirs = ({part.value for part in found[kind]} for found in (one, two))
    if max(len(mine), len(theirs)) > _MOST_PARTS:
        return True
    if any(agree(a, b) for a in mine for b in theirs):
        return True
    # In an estate, or in a lane of Shanghai, 13号 is 13号楼.
    return kind in ("number", "building") and (_has_house(one, two) or _has_house(two, one))


def _has_house(one: _Parts, two: _Parts) -> bool:
    buildings = {part.value for part in two.get("building", ())}
    return any(part.value.removesuffix("号") in buildings for part in one.get("number", ()))


def _may_be_one(one: str, two: str) -> bool:
    """Equal, or named in another way, as A座 and 1号楼: they may be two names of one."""
    return one == two or _form(one) != _form(two)


def _form(value: str) -> str:
    return re.sub("[甲乙丙丁]", "甲", re.sub("[A-Z]", "A", re.sub("[0-9]+", "0", value)))


class _Houses(NamedTuple):
    """Houses from a number to a number, or a part of a house."""

    stem: str
    low: int
    high: int
    within: tuple[str, ...]


_HOUSE: Final = re.compile("([甲乙丙丁新]?)([0-9]+)(.*)")
_WITHIN: Final = re.compile("[0-9]+|[A-Z甲乙丙丁]")


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
    """What a number may stand for: 12-3号 is a part of 12号, 12-16号 may be three houses."""
    for piece in value.split("、"):
        if found := _HOUSE.match(piece):
            stem, number, rest = found[1], int(found[2]), found[3]
            within = tuple(_WITHIN.findall(rest))
            yield _Houses(stem, number, number, within)
            if rest.startswith("-") and len(within) == 1 and int(within[0]) > number:
                yield _Houses(stem, number, int(within[0]), ())
