"""Pairs in which both sides are written equally fully: one element changed, or none.

What each changed element is called stands in docs/labels.md; `relations.py` has the same table as
chances.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable

from training import words
from training.noise import typo
from training.place import (
    GATES,
    SIDES,
    SQUARES,
    Place,
    Style,
    business_name,
    draw_place,
    draw_style,
    write,
)
from training.scene import draw_building, small_number
from training.world import World, pick

Change = Callable[[random.Random, World, Place], Place]


def other_count(rng: random.Random, number: int, most: int = 9999) -> int:
    """Another number in 1..most: near, far, or one that shares digits (88 and 188, 12 and 21)."""
    text = str(number)
    for _ in range(20):
        draw = rng.random()
        if draw < 0.35:
            other = number + pick(rng, (-1, 1, -2, 2, 2, -2, 3, -3, 4, 6, 10, -10))
        elif draw < 0.5:  # one digit changed
            at = int(rng.random() * len(text))
            other = int(text[:at] + pick(rng, "0123456789") + text[at + 1 :])
        elif draw < 0.6:  # a digit in front or behind
            digit = pick(rng, "123456789")
            other = int(digit + text if rng.random() < 0.5 else text + pick(rng, "0" + digit))
        elif draw < 0.67 and len(text) > 1:  # a digit lost
            at = int(rng.random() * len(text))
            other = int(text[:at] + text[at + 1 :])
        elif draw < 0.72:
            other = int(text[::-1])
        else:
            other = 1 + small_number(rng) % most
        if 0 < other <= most and other != number:
            return other
    return number + 1 if number < most else number - 1


def _other_name(
    rng: random.Random,
    name: str,
    alike: Callable[[random.Random, str], str],
    draw: Callable[[random.Random], str],
    share: float,
) -> str:
    """Another name: with probability `share` one that shares characters with `name`."""
    while True:
        made = alike(rng, name) if rng.random() < share else draw(rng)
        if made != name:
            return made


def _province(rng: random.Random, world: World, place: Place) -> Place:
    far = world.far_town(rng, place.town)
    while far.province == place.town.province:
        far = pick(rng, world.towns)
    if rng.random() < 0.35 and place.town.city:
        far = dataclasses.replace(place.town, province=far.province)
    return dataclasses.replace(place, town=far)


def _city(rng: random.Random, world: World, place: Place) -> Place:
    town = place.town
    far = world.sister_city(rng, town) if rng.random() < 0.6 else world.far_town(rng, town)
    if rng.random() < 0.6 and town.city and far.city:
        # The same district's name after another city, as a slip of copying or in a test.
        keep = town.province if rng.random() < 0.3 else far.province
        far = dataclasses.replace(town, city=far.city, province=keep)
    return dataclasses.replace(place, town=far)


def _district(rng: random.Random, world: World, place: Place) -> Place:
    other = world.neighbour_district(rng, place.town)
    if rng.random() < 0.6:
        other = dataclasses.replace(place.town, district=other.district)
    return dataclasses.replace(place, town=other)


def _town(rng: random.Random, world: World, place: Place) -> Place:
    town = place.town
    mates = world.by_district[town.province, town.city, town.district]
    other = pick(rng, mates)
    if other.town == town.town:
        other = pick(rng, mates)
    return dataclasses.replace(place, town=other)


def _road(rng: random.Random, world: World, place: Place) -> Place:
    road = _other_name(rng, place.road, world.lookalike_road, world.road, 0.7)
    return dataclasses.replace(place, road=road)


def _number(rng: random.Random, world: World, place: Place) -> Place:
    return dataclasses.replace(place, number=other_count(rng, place.number, 4999))


def _sub_number(rng: random.Random, world: World, place: Place) -> Place:
    if place.mark:
        other = pick(rng, "甲乙丙".replace(place.mark, ""))
        return dataclasses.replace(place, mark=other if rng.random() < 0.85 else "")
    sub = other_count(rng, place.sub_number, 30)
    return dataclasses.replace(place, sub_number=sub if rng.random() < 0.85 else 0)


def _village(rng: random.Random, world: World, place: Place) -> Place:
    made = _other_name(rng, place.village, world.lookalike, world.village, 0.5)
    return dataclasses.replace(place, village=made)


def _group(rng: random.Random, world: World, place: Place) -> Place:
    return dataclasses.replace(place, group=other_count(rng, place.group, 30))


def _house(rng: random.Random, world: World, place: Place) -> Place:
    return dataclasses.replace(place, house=other_count(rng, place.house))


def _compound(rng: random.Random, world: World, place: Place) -> Place:
    made = _other_name(rng, place.compound, world.lookalike, world.compound, 0.5)
    return dataclasses.replace(place, compound=made)


def _phase(rng: random.Random, world: World, place: Place) -> Place:
    same = {place.phase, words.PHASE_TWINS.get(place.phase)}
    # Most often one that differs in its last sign or its first: 一期 and 二期, 东区 and 西区.
    alike = [p for p in words.PHASES if p not in same and set(p) & set(place.phase)]
    others = [p for p in words.PHASES if p not in same]
    return dataclasses.replace(place, phase=pick(rng, alike if rng.random() < 0.75 else others))


def _building(rng: random.Random, world: World, place: Place) -> Place:
    building = place.building
    if building.isdigit():
        return dataclasses.replace(place, building=str(other_count(rng, int(building), 150)))
    for _ in range(9):
        made = draw_building(rng)
        if rng.random() < 0.7:
            made = pick(rng, "ABCDEFG") + building[1:]
        if made != building:
            return dataclasses.replace(place, building=made)
    return dataclasses.replace(place, building=building + "1")


def _unit(rng: random.Random, world: World, place: Place) -> Place:
    return dataclasses.replace(place, unit=other_count(rng, place.unit, 8))


def _floor(rng: random.Random, world: World, place: Place) -> Place:
    floor = other_count(rng, place.floor, 33)
    room = floor * 100 + place.room % 100 if place.room else 0
    return dataclasses.replace(place, floor=floor, room=room)


def _room(rng: random.Random, world: World, place: Place) -> Place:
    room = place.room
    draw = rng.random()
    if draw < 0.35:
        other = room // 100 * 100 + other_count(rng, room % 100, 40)
    elif draw < 0.6 and not place.floor:
        other = other_count(rng, room // 100, 33) * 100 + room % 100
    else:
        other = other_count(rng, room, 3399)
    return dataclasses.replace(place, room=other if other != room else room + 1)


def _shop(rng: random.Random, world: World, place: Place) -> Place:
    digits = [at for at, sign in enumerate(place.shop) if sign.isdigit()]
    at = pick(rng, digits)
    digit = pick(rng, "123456789".replace(place.shop[at], ""))
    return dataclasses.replace(place, shop=place.shop[:at] + digit + place.shop[at + 1 :])


def _business(rng: random.Random, world: World, place: Place) -> Place:
    draw = functools.partial(business_name, world=world)
    made = _other_name(rng, place.business, world.lookalike, draw, 0.35)
    return dataclasses.replace(place, business=made)


def _branch(rng: random.Random, world: World, place: Place) -> Place:
    tail = next(t for t in ("分店", "支行", "营业厅", "店") if place.branch.endswith(t))
    owner = place.branch[: -len(tail)]
    draw = pick(rng, (world.road, world.compound, world.village))
    made = _other_name(rng, owner, world.lookalike, draw, 0.4)
    return dataclasses.replace(place, branch=made + tail)


def _gate(rng: random.Random, world: World, place: Place) -> Place:
    kinds = next(k for k in (GATES, SQUARES, SIDES) if place.gate in k)
    alike = [g for g in kinds if g != place.gate and g[-1] == place.gate[-1]]
    return dataclasses.replace(
        place, gate=pick(rng, alike or [g for g in kinds if g != place.gate])
    )


# Coarse before fine. Each with the field that a place must have, and how often it is drawn.
CHANGES: dict[str, tuple[Change, str, float]] = {
    "province": (_province, "town", 0.5),
    "city": (_city, "town", 1.2),
    "district": (_district, "town", 1.0),
    "town": (_town, "town", 0.35),
    "road": (_road, "road", 1.3),
    "number": (_number, "number", 1.6),
    "sub_number": (_sub_number, "sub_number", 1.6),
    "village": (_village, "village", 1.5),
    "group": (_group, "group", 1.5),
    "house": (_house, "house", 2.0),
    "compound": (_compound, "compound", 1.2),
    "phase": (_phase, "phase", 2.2),
    "building": (_building, "building", 2.4),
    "unit": (_unit, "unit", 2.2),
    "floor": (_floor, "floor", 2.2),
    "room": (_room, "room", 2.4),
    "shop": (_shop, "shop", 2.5),
    "business": (_business, "business", 3.0),
    "branch": (_branch, "branch", 2.5),
    "gate": (_gate, "gate", 2.5),
}
_LEVEL = {"province": "p", "city": "c", "district": "d", "town": "t"}
_FINE = ("building", "unit", "floor", "room", "shop", "business")


_SHOWN = {
    "building": ["building", "numerals"],
    "unit": ["unit", "numerals", "dashes"],
    "floor": ["floor", "numerals"],
    "room": ["room", "dashes"],
    "number": ["number"],
    "sub_number": ["sub"],
    "mark": ["mark"],
    "group": ["numerals"],
    "phase": ["numerals"],
    "branch": ["bracket"],
    "gate": ["bracket"],
}


def _has(place: Place, element: str) -> bool:
    if element == "sub_number":
        return bool(place.sub_number or place.mark)
    return bool(getattr(place, CHANGES[element][1]))


def _relation(place: Place, element: str) -> str:
    """The name in relations.py of what changed."""
    if element == "town":
        rural = place.village or not place.town.town.endswith("街道")
        return "full.town" if rural else "full.street"
    if element == "number" and not (place.compound or place.building or place.business):
        return "full.number_bare"
    return "full." + element


def _with_level(style: Style, place: Place, element: str) -> Style:
    """The style, naming the level that changed."""
    level = _LEVEL.get(element, "")
    if level and level not in style.areas:
        whole = "pcdt" if level in "pt" else "cd"
        style = dataclasses.replace(style, areas=whole)
    return style


def _habits(place: Place) -> list[str]:
    """Fields of a style that show in this place's text, those of its inside twice."""
    found = ["areas", "short", "order", "landmark", "separator"]
    for field, names in _SHOWN.items():
        if getattr(place, field):
            found += names * 2
    return found


def minimal_pair(rng: random.Random, world: World, place: Place) -> tuple[str, str, str]:
    """Two full addresses and their relation: `place`, and itself or one changed element of it."""
    style = draw_style(rng, world)
    # Both sides in one hand most often: as in a table that one program filled.
    same_hand = rng.random() < 0.6
    if rng.random() < 0.30:
        other_style = draw_style(rng, world)
        if same_hand:  # a few habits differ, not all
            habits = _habits(place)
            chosen = {pick(rng, habits) for _ in range(1 + int(rng.random() * 4))}
            other_style = dataclasses.replace(
                style, **{name: getattr(other_style, name) for name in chosen}
            )
        first, second = write(rng, place, style), write(rng, place, other_style)
        if rng.random() < 0.03:
            second = typo(rng, world, second)
        return first, second, "identical" if first == second else "full.same"
    present = [name for name in CHANGES if _has(place, name)]
    weights = [CHANGES[name][2] for name in present]
    element = rng.choices(present, weights)[0]
    other = CHANGES[element][0](rng, world, place)
    if element in _FINE and rng.random() < 0.25:
        finer = pick(rng, _FINE)
        if finer != element and _has(other, finer):
            other = CHANGES[finer][0](rng, world, other)
            element = min(element, finer, key=list(CHANGES).index)
    if other == place:  # a town without neighbours
        return (text := write(rng, place, style)), text, "identical"
    other_style = style if same_hand else draw_style(rng, world)
    if not same_hand and style.areas and not other_style.areas and rng.random() < 0.7:
        other_style = dataclasses.replace(other_style, areas=style.areas)
    style, other_style = (
        _with_level(style, place, element),
        _with_level(other_style, place, element),
    )
    if _LEVEL.get(element):
        style = dataclasses.replace(style, order="")
    first, second = write(rng, place, style), write(rng, other, other_style)
    relation = _relation(place, element)
    return first, second, "identical" if first == second else relation


def other_place(rng: random.Random, world: World, place: Place) -> tuple[str, str, str]:
    """Two full addresses of one district that have only their areas in common."""
    style = draw_style(rng, world)
    other = dataclasses.replace(draw_place(rng, world), town=place.town)
    second = style if rng.random() < 0.6 else draw_style(rng, world)
    return write(rng, place, style), write(rng, other, second), "stranger"
