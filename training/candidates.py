"""Writing address b: what a map search returns for the query, true places and false ones.

A candidate is [where] + [name] + (bracket): perhaps a district, then a road and number, a crossing
or a distance, then the place itself. Each maker returns the text and its relation to the query.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from training import words
from training.gazetteer import Town
from training.query import Query, write_business
from training.scene import (
    Scene,
    draw_building,
    other_building,
    small_number,
    write_building,
    write_number,
)
from training.world import World, pick, short_area

Candidate = tuple[str, str]
Maker = Callable[[random.Random, World, Scene, Query], Candidate]


def area(rng: random.Random, town: Town) -> str:
    """One level of the tree, the district most often, as map data does."""
    draw = rng.random()
    if draw < 0.58:
        return town.district
    if draw < 0.68:
        return short_area(town.district)
    if draw < 0.86:
        return town.town
    if draw < 0.93:
        return short_area(town.town)
    if draw < 0.97:
        return (town.city or town.province) + town.district
    return town.district + town.town


def road_place(rng: random.Random, road: str, other: str, number: int) -> str:
    """A place on `road`: a number, a crossing, a distance."""
    draw = rng.random()
    if draw < 0.57:
        return road + write_number(rng, number, int(rng.random() * 20) if draw < 0.06 else 0)
    if draw < 0.65:
        return road + write_number(rng, number) + pick(rng, words.NEAR)
    if draw < 0.82:
        first, second = (road, other) if rng.random() < 0.5 else (other, road)
        place = f"{pick(rng, words.DIRECTIONS)}{pick(rng, words.DISTANCES)}米"
        joint = pick(rng, ("交叉口", "交叉口", "交叉口", "交汇处", "交口"))
        return first + "与" + second + joint + (place if rng.random() < 0.85 else "")
    if draw < 0.92:
        return f"{road}{pick(rng, '东南西北')}{pick(rng, words.DISTANCES)}米"
    return road


def where(rng: random.Random, world: World, scene: Scene, query: Query, own_road: float) -> str:
    """Where a true place is said to be; own_road: probability that a road named is the query's."""
    draw = rng.random()
    if draw < 0.08:
        return ""
    if draw < 0.29:
        return area(rng, scene.town)
    if rng.random() < own_road:
        if query.number and rng.random() < 0.6:
            place = scene.road + write_number(rng, scene.number, scene.sub_number)
        else:
            place = road_place(rng, scene.road, scene.road3, small_number(rng))
    else:
        place = road_place(rng, scene.road3, world.road(rng), small_number(rng))
    return (area(rng, scene.town) if rng.random() < 0.22 else "") + place


def elsewhere(rng: random.Random, world: World, scene: Scene, query: Query) -> str:
    """Where another place is: most often a road that has nothing to do with the query."""
    draw = rng.random()
    if draw < 0.07:
        return ""
    if draw < 0.27:
        town = world.neighbour_district(rng, scene.town)
        if draw < 0.19:
            town = scene.town
        elif draw < 0.23:
            town = world.far_town(rng, scene.town)
        return area(rng, town)
    road = world.road(rng)
    if rng.random() < 0.3:
        road = world.lookalike_road(rng, scene.road)
    place = road_place(rng, road, world.road(rng), small_number(rng))
    return (area(rng, scene.town) if rng.random() < 0.15 else "") + place


def other_area(rng: random.Random, world: World, scene: Scene) -> str:
    """An area that is not the query's."""
    draw = rng.random()
    if draw < 0.5:
        return area(rng, world.neighbour_district(rng, scene.town))
    town = world.far_town(rng, scene.town)
    if draw < 0.6:
        return town.province + town.city + town.district
    return area(rng, town)


def named(rng: random.Random, name: str) -> str:
    """A place's name, now and then doubled with its short form the way map data does."""
    return name + name if rng.random() < 0.03 else name


def compound_name(rng: random.Random, scene: Scene) -> str:
    """The compound as map data spells it: its phase rewritten or dropped, a dot put in."""
    name, phase = scene.compound, scene.phase
    if rng.random() < 0.05 and len(name) > 4:
        name = name[:2] + "·" + name[2:]
    elif rng.random() < 0.05 and len(name) > 4:
        name = name[: -2 if len(name) > 4 else -1]
    elif rng.random() < 0.04:
        name += pick(rng, ("小区", "花园", "苑", "社区"))
    elif rng.random() < 0.04 and len(name) > 4:
        name = name[2:]
    elif rng.random() < 0.06 and name[-2:] in words.KIND_TWINS:
        name = name[:-2] + words.KIND_TWINS[name[-2:]]
    if phase:
        draw = rng.random()
        if draw < 0.35:
            name += words.PHASE_TWINS.get(phase, phase)
        elif draw < 0.85:
            name += phase
    return name


def compound_building(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's own building, now and then finer than the query: a unit, a shop in it."""
    name = compound_name(rng, scene)
    text = where(rng, world, scene, query, 0.6) + name
    if rng.random() < 0.06:
        text += name
    building = write_building(rng, scene.building)
    text += building
    if rng.random() < 0.10:  # as map data doubles it
        text += (name if rng.random() < 0.5 else scene.compound) + building
    if rng.random() < 0.10:
        text += write_business(rng, scene, second=True)
        return text, "compound.same_building_finer"
    if rng.random() < 0.06:
        text += f"{scene.unit + (0 if query.unit else 1)}单元"
        return text, "compound.same_building" if query.unit else "compound.same_building_finer"
    return text, "compound.same_building"


def compound_plain(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The compound as a whole."""
    text = where(rng, world, scene, query, 0.55) + named(rng, compound_name(rng, scene))
    draw = rng.random()
    if draw < 0.10:
        text += f"({scene.road3 if rng.random() < 0.5 else scene.road})"
    if query.building:
        return text, "compound.without_building"
    return text, "compound.itself"


def compound_gate(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A gate of the compound, as map data lists them."""
    gate = pick(rng, words.GATES)
    text = where(rng, world, scene, query, 0.45) + compound_name(rng, scene)
    text += f"({gate})" if rng.random() < 0.8 else "-" + gate
    return text, "compound.gate" if query.building else "compound.its_gate"


def compound_other(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Another building of the compound, or a building where the query names none."""
    building = other_building(rng, scene.building) if query.building else draw_building(rng)
    text = where(rng, world, scene, query, 0.5) + compound_name(rng, scene)
    text += write_building(rng, building)
    return text, "compound.other_building" if query.building else "compound.its_building"


def compound_inside(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Something inside the compound: its office, a shop."""
    text = where(rng, world, scene, query, 0.55)
    name = compound_name(rng, scene)
    draw = rng.random()
    if draw < 0.35:
        return text + name + pick(rng, words.INSIDE), "compound.inside"
    if draw < 0.75:
        return text + name + write_business(rng, scene, second=True), "compound.inside"
    trade = pick(rng, words.TRADES)
    return f"{text}{world.brand(rng)}{trade}({name}店)", "compound.inside"


def compound_part(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Another phase or zone of the compound."""
    phase = pick(rng, words.PHASES)
    if not query.phase or phase in (scene.phase, words.PHASE_TWINS.get(scene.phase)):
        return compound_inside(rng, world, scene, query)
    text = where(rng, world, scene, query, 0.5) + scene.compound + phase
    if query.building and rng.random() < 0.6:
        text += write_building(rng, scene.building)
    return text, "compound.other_part"


def compound_unplaced(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The same name on a road the query does not name: only the name's rarity tells."""
    text = road_place(rng, world.road(rng), world.road(rng), small_number(rng))
    text += scene.compound
    if query.building and rng.random() < 0.35:
        text += write_building(rng, scene.building)
    elif rng.random() < 0.12:
        text += f"({pick(rng, words.GATES)})"
    return text, "compound.unplaced_generic" if scene.generic else "compound.unplaced_distinct"


def compound_elsewhere(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A compound of the same name in another district or city."""
    text = other_area(rng, world, scene)
    if rng.random() < 0.35:
        text += road_place(rng, world.road(rng), world.road(rng), small_number(rng))
    text += scene.compound
    if query.building and rng.random() < 0.55:
        text += write_building(rng, scene.building)
    elif rng.random() < 0.1:
        text += f"({pick(rng, words.GATES)})"
    return text, "compound.elsewhere"


def compound_lookalike(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A compound whose name shares characters with the query's."""
    name = world.lookalike(rng, scene.compound)
    same_road = query.road and rng.random() < 0.15
    if same_road:
        text = road_place(rng, scene.road, scene.road3, small_number(rng))
    else:
        text = elsewhere(rng, world, scene, query)
    text += named(rng, name)
    if rng.random() < 0.25 and query.phase:
        text += scene.phase
    draw = rng.random()
    if draw < (0.5 if query.building else 0.12):
        same = draw < 0.38
        building = scene.building if same else other_building(rng, scene.building)
        text += write_building(rng, building)
    elif draw > 0.93:
        text += f"({pick(rng, words.GATES)})"
    return text, "compound.lookalike_same_road" if same_road else "compound.lookalike"


def other_compound_building(
    rng: random.Random, world: World, scene: Scene, query: Query
) -> Candidate:
    """The query's building in some other compound."""
    text = elsewhere(rng, world, scene, query) + world.compound(rng)
    return text + write_building(rng, scene.building), "stranger"
