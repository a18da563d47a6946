"""The stream of generated pairs: a scene, its query, and the candidates a search would return."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from training import candidates as c
from training import candidates_named as n
from training import candidates_roads as r
from training.candidates import Maker
from training.minimal import minimal_pair, other_place
from training.noise import map_noise, typo, user_noise
from training.place import draw_place
from training.query import Query, write_query
from training.relations import IDS
from training.scene import Scene, draw_scene
from training.world import World, pick, short_area


@dataclass(frozen=True)
class Pair:
    """Two addresses and how they are related; `relation` indexes relations.NAMES."""

    address1: str
    address2: str
    relation: int


Menu = tuple[tuple[Maker, ...], tuple[float, ...]]


# Candidates that are the query's place or belong to it; a map search finds them more often than
# their number among the kinds suggests. The factor sets the share of the labels in the data.
_TRUE = frozenset(
    (
        c.compound_building, c.compound_plain, c.compound_gate, c.compound_other,
        c.compound_inside, c.compound_part, r.number_itself, r.number_building, r.number_business,
        r.number_sub, r.crossing, r.road_itself, n.business_itself, n.business_part,
        n.business_host, n.village_of_business, n.village_itself, n.village_house, n.village_inside,
    )
)  # fmt: skip
TRUE_FACTOR = 2.1


def _menu(*entries: tuple[Maker, float]) -> Menu:
    total, sums = 0.0, []
    for maker, weight in entries:
        total += weight * (TRUE_FACTOR if maker in _TRUE else 1.0)
        sums.append(total)
    return tuple(maker for maker, _ in entries), tuple(part / total for part in sums)


_COMPOUND_FALSE = (
    (c.compound_lookalike, 30.0), (c.compound_elsewhere, 11.0), (c.compound_unplaced, 6.0),
    (n.fragment, 6.0), (n.area_only, 1.0), (n.same_area_other, 2.0), (n.stranger, 1.0),
    (c.other_compound_building, 1.5),
)  # fmt: skip
_COMPOUND_BUILDING = _menu(
    (c.compound_building, 10), (c.compound_plain, 7), (c.compound_gate, 5), (c.compound_other, 9),
    (c.compound_inside, 5), (c.compound_part, 3), *_COMPOUND_FALSE,
)  # fmt: skip
_COMPOUND = _menu(
    (c.compound_plain, 14), (c.compound_gate, 6), (c.compound_other, 5),
    (c.compound_inside, 6), (c.compound_part, 3), *_COMPOUND_FALSE,
)  # fmt: skip
_ROAD_EXTRA = ((r.number_business, 4.0), (r.number_neighbour, 5.0), (r.road_only, 5.0),
               (r.number_other_road, 4.0), (r.number_itself, 2.0))  # fmt: skip
_MENUS: dict[str, Menu] = {
    "number": _menu(
        (r.number_itself, 10), (r.number_business, 9), (r.number_sub, 4), (r.number_neighbour, 12),
        (r.road_only, 10), (r.number_other_road, 25), (r.road_elsewhere, 6), (n.area_only, 2),
        (n.fragment, 9), (n.same_area_other, 3),
    ),
    "number_building": _menu(
        (r.number_itself, 11), (r.number_building, 8), (r.number_business, 8),
        (r.number_neighbour, 10), (r.road_only, 9), (r.number_other_road, 24),
        (r.road_elsewhere, 5), (n.area_only, 1), (n.fragment, 6), (n.same_area_other, 2),
        (c.other_compound_building, 6),
    ),
    "compound_building": _COMPOUND_BUILDING,
    "compound": _COMPOUND,
    "village_house": _menu(
        (n.village_itself, 9), (n.village_house, 9), (n.village_inside, 10),
        (n.village_lookalike, 26), (n.village_elsewhere, 12), (n.area_only, 3), (n.fragment, 6),
        (n.same_area_other, 3),
    ),
    "village": _menu(
        (n.village_itself, 11), (n.village_inside, 13), (n.village_house, 4),
        (n.village_lookalike, 25), (n.village_elsewhere, 14), (n.area_only, 3), (n.fragment, 6),
        (n.same_area_other, 3),
    ),
    "business": _menu(
        (n.business_itself, 14), (n.business_part, 7), (n.business_lookalike, 28),
        (n.business_branch, 9), (n.business_elsewhere, 9), (n.fragment, 9), (n.same_area_other, 2),
    ),
    "village_business": _menu(
        (n.business_itself, 11), (n.village_of_business, 12), (n.business_part, 4),
        (n.business_lookalike, 22), (n.business_branch, 5), (n.business_elsewhere, 6),
        (n.village_lookalike, 8), (n.fragment, 6),
    ),
    "road_business": _menu(
        (n.business_itself, 13), (n.business_part, 5), (r.number_business, 7), (r.road_only, 6),
        (r.number_neighbour, 6), (n.business_lookalike, 22), (n.business_branch, 7),
        (n.business_elsewhere, 6), (r.number_other_road, 8), (n.fragment, 6),
    ),
    "compound_business": _menu(
        (n.business_itself, 11), (n.business_host, 12), (c.compound_inside, 6),
        (n.business_part, 3), (n.business_lookalike, 16), (c.compound_lookalike, 14),
        (n.business_elsewhere, 6), (c.compound_elsewhere, 5), (n.business_branch, 5),
        (n.fragment, 6),
    ),
    "crossing": _menu(
        (r.crossing, 14), (r.road_only, 5), (r.number_other_road, 10), (r.road_elsewhere, 8),
        (n.fragment, 6),
    ),
    "road": _menu(
        (r.road_itself, 14), (r.number_other_road, 14), (r.road_elsewhere, 10), (n.fragment, 6),
        (n.village_lookalike, 3),
    ),
}  # fmt: skip
_ROAD_COMPOUND = _menu(
    (c.compound_plain, 14), (c.compound_gate, 6), (c.compound_other, 5), (c.compound_inside, 6),
    (c.compound_part, 3), *_COMPOUND_FALSE, *_ROAD_EXTRA,
)  # fmt: skip
_ROAD_COMPOUND_BUILDING = _menu(
    (c.compound_building, 10), (c.compound_plain, 7), (c.compound_gate, 5), (c.compound_other, 9),
    (c.compound_inside, 5), (c.compound_part, 3), *_COMPOUND_FALSE, *_ROAD_EXTRA,
)  # fmt: skip


def _menu_of(query: Query) -> Menu:
    if query.focus == "road_compound":
        return _ROAD_COMPOUND
    if query.focus == "compound_building" and query.number:
        return _ROAD_COMPOUND_BUILDING
    return _MENUS[query.focus]


def _rewritten(rng: random.Random, world: World, scene: Scene, query: Query) -> tuple[str, str]:
    """The query again with its province dropped, its areas shortened, or one slip."""
    text, town = query.text, scene.town
    for _ in range(3):
        draw = rng.random()
        if draw < 0.35:
            text = text.replace(town.province, "", 1)
        elif draw < 0.5:
            text = text.replace(town.city, "", 1) if town.city else text
        elif draw < 0.65:
            name = pick(rng, (town.district, town.town, town.city or town.province))
            text = text.replace(name, short_area(name), 1)
        elif draw < 0.8:
            text = text[len(query.areas) :] if len(text) > len(query.areas) else text
        elif draw < 0.9:
            text = user_noise(rng, world, text)
        else:
            text = typo(rng, world, text)
        if text != query.text and rng.random() < 0.6:
            break
    return text, "identical" if text == query.text else "rewritten"


def pairs(world: World, seed: int, per_query: int = 4, full: float = 0.0) -> Iterator[Pair]:
    """Endless pairs; the same world and seed give the same pairs.

    full: share of scenes in which both sides are written equally fully (`minimal.py`). In the
    others address1 is in a user's style, address2 in map style.
    """
    rng = random.Random(seed)
    draw = rng.random
    while True:
        if draw() < full:
            place = draw_place(rng, world)
            for _ in range(per_query):
                make = minimal_pair if draw() < 0.97 else other_place
                first, second, relation = make(rng, world, place)
                yield Pair(first, second, IDS[relation])
            continue
        scene = draw_scene(rng, world)
        query = write_query(rng, scene)
        makers, sums = _menu_of(query)
        first = user_noise(rng, world, query.text)
        for _ in range(per_query):
            chance, index = draw(), 0
            while sums[index] < chance:
                index += 1
            second, relation = makers[index](rng, world, scene, query)
            yield Pair(first, map_noise(rng, world, second), IDS[relation])
        chance = draw()
        if chance < 0.06:
            second = first if chance < 0.02 else map_noise(rng, world, query.text)
            yield Pair(first, second, IDS["identical" if first == second else "rewritten"])
        elif chance < 0.16:
            second, relation = _rewritten(rng, world, scene, query)
            yield Pair(query.text, second, IDS[relation])
