"""Address b for roads, house numbers and crossings."""

from __future__ import annotations

import random

from training import words
from training.candidates import (
    Candidate,
    area,
    other_area,
    road_place,
)
from training.query import Query, write_business
from training.scene import (
    Scene,
    other_building,
    other_number,
    small_number,
    write_building,
    write_number,
)
from training.world import World, pick


def _own_area(rng: random.Random, scene: Scene, share: float = 0.4) -> str:
    return area(rng, scene.town) if rng.random() < share else ""


def number_itself(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's road and number."""
    number = write_number(rng, scene.number, scene.sub_number)
    text = _own_area(rng, scene) + scene.road + number
    draw = rng.random()
    if draw < 0.25:
        text += "院"
    elif draw < 0.4:
        text += scene.road + number + ("院" if draw < 0.33 else "")
    if query.building:
        if rng.random() < 0.5:
            return text + write_building(rng, scene.building), "number.same_building"
        return text, "compound.without_building"
    return text, "number.itself"


def number_building(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Another building at the query's number."""
    text = _own_area(rng, scene) + scene.road + write_number(rng, scene.number, scene.sub_number)
    if rng.random() < 0.4:
        text += pick(rng, ("院", scene.compound, scene.road + str(scene.number) + "号院"))
    if query.building:
        building = other_building(rng, scene.building)
        return text + write_building(rng, building), "number.other_building"
    return text + write_building(rng, scene.building), "number.with_business"


def number_business(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A business or compound at the query's number that the query does not name."""
    text = _own_area(rng, scene, 0.25)
    text += scene.road + write_number(rng, scene.number, scene.sub_number)
    if rng.random() < 0.08:
        text += pick(rng, words.NEAR)
    draw = rng.random()
    if draw < 0.25 and not query.compound:
        text += scene.compound
    elif draw < 0.35:
        text += scene.road + str(scene.number) + "号院" + write_business(rng, scene, second=True)
    else:
        text += write_business(rng, scene, second=True)
    if query.business:
        return text, "number.other_business"
    if query.building or query.compound:
        return text, "number.other_business"
    return text, "number.with_business"


def number_sub(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's number with another sub-number, or without it."""
    sub = 0 if scene.sub_number else 1 + int(rng.random() * 20)
    if scene.sub_number and rng.random() < 0.5:
        sub = other_number(rng, scene.sub_number)
    text = _own_area(rng, scene, 0.25) + scene.road + write_number(rng, scene.number, sub)
    if rng.random() < 0.6:
        text += write_business(rng, scene, second=True)
    return text, "number.sub_number"


def number_neighbour(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Another number of the query's road."""
    text = _own_area(rng, scene, 0.3) + scene.road
    text += write_number(rng, other_number(rng, scene.number))
    if rng.random() < 0.08:
        text += pick(rng, words.NEAR)
    draw = rng.random()
    if draw < 0.4:
        text += write_business(rng, scene, second=True)
    elif draw < 0.7:
        text += world.compound(rng)
    elif query.building and draw < 0.85:
        text += write_building(rng, scene.building)
    named_place = query.business or query.compound
    return text, "number.neighbour_named" if named_place else "number.neighbour"


def road_only(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's road without its number, or somewhere else along it."""
    draw = rng.random()
    if draw < 0.5:
        text = area(rng, scene.town) + scene.road
        if rng.random() < 0.25:
            text += "与" + scene.road3 + "交叉口"
    else:
        text = road_place(rng, scene.road, scene.road3, other_number(rng, scene.number))
        if rng.random() < 0.7:
            name = world.compound(rng) if rng.random() < 0.5 else scene.business2.name
            text += name
    named_place = query.business or query.compound
    return text, "number.road_only_named" if named_place else "number.road_only"


def number_other_road(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's number on another road."""
    road = world.lookalike_road(rng, scene.road) if rng.random() < 0.75 else world.road(rng)
    text = (area(rng, scene.town) if rng.random() < 0.3 else "") + road
    number = scene.number if rng.random() < 0.65 else other_number(rng, scene.number)
    text += write_number(rng, number)
    draw = rng.random()
    if query.building and draw < 0.5:
        text += ("院" if draw < 0.15 else "") + write_building(rng, scene.building)
    elif draw < 0.5:
        text += world.compound(rng)
    elif draw < 0.85:
        text += write_business(rng, scene, second=True)
    return text, "number.other_road"


def road_elsewhere(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A road of the same name in another district or city."""
    text = other_area(rng, world, scene) + scene.road
    if query.number and rng.random() < 0.2:
        text += write_number(rng, scene.number)
    elif rng.random() < 0.6:
        text += write_number(rng, small_number(rng))
    if rng.random() < 0.5:
        text += scene.business2.name
    return text, "number.road_elsewhere"


def road_itself(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's road, or a place on it."""
    text = area(rng, scene.town) + scene.road
    if rng.random() < 0.5:
        return text, "road.itself"
    text = _own_area(rng, scene) + road_place(rng, scene.road, scene.road3, scene.number)
    if rng.random() < 0.5:
        text += scene.business2.name
    return text, "road.part"


def crossing(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's crossing, a place near it, or a place on one of its roads."""
    first, second = (scene.road, scene.road2) if rng.random() < 0.5 else (scene.road2, scene.road)
    text = _own_area(rng, scene, 0.3) + first + "与" + second
    draw = rng.random()
    if draw < 0.35:
        return text + pick(rng, ("交叉口", "路口")), "crossing.itself"
    if draw < 0.8:
        text += f"交叉口{pick(rng, words.DIRECTIONS)}{pick(rng, words.DISTANCES)}米"
        return text + scene.business2.name, "crossing.near"
    text = road_place(rng, scene.road, scene.road3, small_number(rng))
    return text + scene.business2.name, "crossing.one_road"
