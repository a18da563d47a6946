"""Writing address a: what a user types or a register holds."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training import words
from training.numerals import chinese
from training.scene import Scene, numeral, write_building, write_number
from training.world import Weighted, pick, short_area

FOCUS = Weighted(
    (
        ("number", 15), ("number_building", 11), ("compound_building", 20), ("compound", 10),
        ("road_compound", 9), ("village_house", 11), ("village", 8), ("business", 9),
        ("village_business", 5),
        ("road_business", 9), ("compound_business", 7), ("crossing", 3), ("road", 2),
    )
)  # fmt: skip


@dataclass
class Query:
    """A written query and what it tells; `areas` is how far the administrative chain is given."""

    text: str
    focus: str
    road: bool = False
    number: bool = False
    sub_number: bool = False
    compound: bool = False
    phase: bool = False
    building: bool = False
    unit: bool = False
    village: bool = False
    house: bool = False
    business: bool = False
    areas: str = ""


def write_areas(rng: random.Random, scene: Scene) -> str:
    """The administrative chain in front: whole, partly, shortened, or with its head cut off."""
    town = scene.town
    city = town.city or town.province
    draw = rng.random()
    if draw < 0.24:
        return ""
    if draw < 0.55:
        province = town.province if rng.random() < 0.85 else short_area(town.province)
        text = (province if town.city else "") + city + town.district
        text = text if rng.random() < 0.9 else city + text
        return text + (
            town.town + ("办事处" if rng.random() < 0.12 else "") if rng.random() < 0.6 else ""
        )
    if draw < 0.64:
        return city + town.district
    if draw < 0.74:
        return town.district if rng.random() < 0.85 else short_area(town.district)
    if draw < 0.86:
        return town.town if rng.random() < 0.75 else short_area(town.town)
    if draw < 0.91:
        return city if rng.random() < 0.6 else short_area(city)
    if draw < 0.95:
        return pick(rng, words.ZONES) + (town.town if rng.random() < 0.3 else "")
    return town.district[-1] + town.town  # a head cut off, as registers do


def write_business(rng: random.Random, scene: Scene, second: bool = False) -> str:
    """A business with one of its spellings, a chain with its branch now and then."""
    business = scene.business2 if second else scene.business
    if business.kind == "chain":
        draw = rng.random()
        branch = business.branch
        return business.name + (f"({branch})" if draw < 0.4 else branch if draw < 0.55 else "")
    if business.spellings and rng.random() < 0.3:
        return pick(rng, business.spellings)
    return business.name


def write_unit(rng: random.Random, scene: Scene) -> str:
    """Unit, floor, room: the part of an address inside a building."""
    draw = rng.random()
    unit = (chinese(scene.unit) if rng.random() < 0.45 else str(scene.unit)) + "单元"
    if draw < 0.42:
        return unit
    if draw < 0.55:
        return unit + str(scene.room) + ("室" if rng.random() < 0.6 else "")
    if draw < 0.72:
        return numeral(rng, scene.floor, 0.5) + pick(rng, ("楼", "层", "楼", "F"))
    if draw < 0.92:
        return str(scene.room) + pick(rng, ("室", "房", "", "号"))
    return pick(rng, ("一楼西侧", "首层", "负1层", "地下室", "东单元", "顶楼", "门面", "底商"))


def write_query(rng: random.Random, scene: Scene) -> Query:
    """Draw a focus and write it the way users and registers write."""
    focus = FOCUS.draw(rng)
    query = Query("", focus)
    areas = write_areas(rng, scene)
    query.areas = areas
    body = _BODIES[focus](rng, scene, query)
    tail = ""
    if rng.random() < 0.05:
        tail = pick(rng, words.TAILS)
    if rng.random() < 0.04 and len(body) < 14:
        body = body + f"({body})" if rng.random() < 0.5 else body + body
    separator = "" if rng.random() < 0.95 else pick(rng, (" ", ",", ".", "-", "，"))
    query.text = areas + separator + body + tail
    return query


def _road_number(rng: random.Random, scene: Scene, query: Query) -> str:
    query.road = query.number = True
    query.sub_number = bool(scene.sub_number)
    return scene.road + write_number(rng, scene.number, scene.sub_number)


def _compound(rng: random.Random, scene: Scene, query: Query) -> str:
    query.compound = True
    query.phase = bool(scene.phase)
    return scene.compound + scene.phase


def _building(rng: random.Random, scene: Scene, query: Query) -> str:
    query.building = True
    text = write_building(rng, scene.building)
    if rng.random() < 0.55:
        query.unit = True
        text += write_unit(rng, scene)
    return text


def _number(rng: random.Random, scene: Scene, query: Query) -> str:
    text = _road_number(rng, scene, query)
    if rng.random() < 0.25:
        query.unit = True
        text += write_unit(rng, scene)
    return text


def _number_building(rng: random.Random, scene: Scene, query: Query) -> str:
    text = _road_number(rng, scene, query)
    draw = rng.random()
    if draw < 0.15:
        text += "院"
    elif draw < 0.3:
        text += scene.road + write_number(rng, scene.number, scene.sub_number)
    return text + _building(rng, scene, query)


def _compound_building(rng: random.Random, scene: Scene, query: Query) -> str:
    text = ""
    draw = rng.random()
    if draw < 0.42:
        text = _road_number(rng, scene, query)
    elif draw < 0.55:
        query.road = True
        text = scene.road + (pick(rng, words.SEGMENTS) if rng.random() < 0.12 else "")
    text += _compound(rng, scene, query)
    if rng.random() < 0.06:
        text += f"({scene.compound})"
    return text + _building(rng, scene, query)


def _compound_only(rng: random.Random, scene: Scene, query: Query) -> str:
    return _compound(rng, scene, query)


def _road_compound(rng: random.Random, scene: Scene, query: Query) -> str:
    draw = rng.random()
    query.road = True
    if draw < 0.5:
        text = _road_number(rng, scene, query)
    elif draw < 0.65:
        text = (
            scene.road
            + pick(rng, ("与", "和", ""))
            + scene.road2
            + pick(rng, ("交叉口", "交汇处", "交口"))
        )
    else:
        text = scene.road + (pick(rng, words.SEGMENTS) if rng.random() < 0.12 else "")
    return text + _compound(rng, scene, query)


def _village(rng: random.Random, scene: Scene, query: Query) -> str:
    query.village = True
    return scene.village + scene.hamlet


def _village_house(rng: random.Random, scene: Scene, query: Query) -> str:
    text = _village(rng, scene, query)
    query.house = True
    draw = rng.random()
    if draw < 0.15:
        text += numeral(rng, 1 + scene.house % 19, 0.5) + pick(rng, ("组", "队", "社", "巷"))
    text += str(scene.house) + pick(rng, ("号", "号", "号", "栋", "号楼", ""))
    if rng.random() < 0.2:
        text += write_unit(rng, scene)
    return text


def _business_only(rng: random.Random, scene: Scene, query: Query) -> str:
    query.business = True
    return write_business(rng, scene)


def _village_business(rng: random.Random, scene: Scene, query: Query) -> str:
    text = _village(rng, scene, query)
    query.business = True
    if rng.random() < 0.3:
        text += str(scene.house) + "号"
    return text + write_business(rng, scene)


def _road_business(rng: random.Random, scene: Scene, query: Query) -> str:
    query.business = query.road = True
    text = _road_number(rng, scene, query) if rng.random() < 0.75 else scene.road
    if rng.random() < 0.15:
        text += numeral(rng, scene.floor, 0.5) + pick(rng, ("楼", "层"))
    return text + write_business(rng, scene)


def _compound_business(rng: random.Random, scene: Scene, query: Query) -> str:
    query.business = True
    text = _road_number(rng, scene, query) if rng.random() < 0.25 else ""
    text += _compound(rng, scene, query)
    if rng.random() < 0.5:
        query.building = True
        text += write_building(rng, scene.building)
    if rng.random() < 0.3:
        text += numeral(rng, scene.floor, 0.5) + pick(rng, ("楼", "层"))
    return text + write_business(rng, scene)


def _crossing(rng: random.Random, scene: Scene, query: Query) -> str:
    query.road = True
    text = scene.road + pick(rng, ("与", "和", "")) + scene.road2
    text += pick(rng, ("交叉口", "交汇处", "路口", "交口", "交叉口附近"))
    if rng.random() < 0.25:
        query.business = True
        text += write_business(rng, scene)
    return text


def _road(rng: random.Random, scene: Scene, query: Query) -> str:
    query.road = True
    return scene.road


_BODIES = {
    "number": _number,
    "number_building": _number_building,
    "compound_building": _compound_building,
    "compound": _compound_only,
    "road_compound": _road_compound,
    "village_house": _village_house,
    "village": _village,
    "business": _business_only,
    "village_business": _village_business,
    "road_business": _road_business,
    "compound_business": _compound_business,
    "crossing": _crossing,
    "road": _road,
}
