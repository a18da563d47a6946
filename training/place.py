"""A place with all its levels, and the ways in which people write such an address out.

Two addresses in a table are often both complete: from the province to the room. This module
draws such places and writes them; `minimal.py` changes one element at a time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training import words
from training.gazetteer import Town
from training.numerals import chinese, full_width
from training.scene import draw_building, small_number
from training.world import World, pick, short_area


@dataclass(frozen=True)
class Place:
    """What is true of a place; "" and 0 stand for levels that it has not.

    mark: 甲, 乙 or 丙 of a house number. building: "3", "B" or "B3". shop: a unit in a mall.
    gate: a gate, a square or a side, written last.
    """

    town: Town
    road: str = ""
    number: int = 0
    sub_number: int = 0
    mark: str = ""
    village: str = ""
    group: int = 0
    house: int = 0
    compound: str = ""
    phase: str = ""
    building: str = ""
    unit: int = 0
    floor: int = 0
    room: int = 0
    shop: str = ""
    business: str = ""
    branch: str = ""
    gate: str = ""


@dataclass(frozen=True)
class Style:
    """How an address is written; independent of the place, so that two places can share it.

    areas: the levels of the administrative chain that are named, of "pcdt". numerals: small numbers
    in Chinese. Other values name the forms of the writing functions below.
    """

    areas: str
    short: bool
    building: str
    dashes: bool
    unit: str
    room: str
    floor: str
    numerals: bool
    number: str
    sub: str
    mark: str
    order: str
    bracket: bool
    separator: str
    landmark: str
    wide: bool


_AREAS = ("pcdt", "pcdt", "pcdt", "pcd", "pcd", "pcd", "pcd", "cdt", "cdt", "cd", "cd", "cd", "cd",
          "d", "dt", "d", "c", "t", "", "")  # fmt: skip
_BUILDINGS = ("栋", "栋", "幢", "号楼", "号楼", "#", "#楼", "座", "栋楼", "号")
_ROOMS = ("室", "室", "室", "", "", "房", "号", "户")
_LANDMARKS = ("对面", "旁", "附近", "旁边", "斜对面", "隔壁")
GATES = (
    "东门",
    "西门",
    "南门",
    "北门",
    "正门",
    "后门",
    "东南门",
    "西北门",
    "1号门",
    "2号门",
    "3号门",
)
SQUARES = (
    *(
        "东广场",
        "西广场",
        "南广场",
        "北广场",
        "站前广场",
        "东出口",
        "西出口",
        "南出站口",
        "北出站口",
    ),
    *("A出口", "B出口", "C出口", "D出口", "1号航站楼", "2号航站楼", "3号航站楼"),
)
SIDES = (
    "东侧",
    "西侧",
    "南侧",
    "北侧",
    "东区",
    "西区",
    "南区",
    "北区",
    "东楼",
    "西楼",
    "南楼",
    "北楼",
)
STATIONS = (
    *("站", "东站", "西站", "南站", "北站", "火车站", "汽车站", "客运站", "机场", "地铁站", "大学"),
    *("体育中心", "会展中心", "人民医院", "中心医院", "万达广场", "博物馆", "公园"),
)


def draw_style(rng: random.Random, world: World) -> Style:
    """One way of writing."""
    draw = rng.random
    landmark = ""
    if draw() < 0.10:
        other = pick(rng, (world.compound, world.road, world.village))(rng)
        landmark = other + pick(rng, _LANDMARKS) if draw() < 0.6 else "近" + other
        landmark = f"({landmark})" if draw() < 0.75 else landmark
    return Style(
        areas=pick(rng, _AREAS),
        short=draw() < 0.12,
        building=pick(rng, _BUILDINGS),
        dashes=draw() < 0.16,
        unit=pick(rng, ("单元", "单元", "单元", "单元", "门")),
        room=pick(rng, _ROOMS),
        floor=pick(rng, ("楼", "层", "层", "F")),
        numerals=draw() < 0.22,
        number=pick(rng, ("号",) * 14 + ("", "弄")),
        sub=pick(rng, ("-", "-", "-", "附", "之", "号-")),
        mark=pick(rng, ("前", "前", "后", "中")),
        order=pick(rng, ("",) * 22 + ("compound first", "areas last", "road in brackets")),
        bracket=draw() < 0.5,
        separator=pick(rng, ("",) * 24 + (" ", " ", ",", "-", "，", ".")),
        landmark=landmark,
        wide=draw() < 0.02,
    )


def _count(number: int, style: Style) -> str:
    return chinese(number) if style.numerals and number < 100 else str(number)


def write_areas(place: Place, style: Style) -> str:
    """The administrative chain with the levels that the style names."""
    town, parts = place.town, []
    if "p" in style.areas or ("c" in style.areas and not town.city):
        parts.append(town.province)
    if "c" in style.areas:
        parts.append(town.city)
    if "d" in style.areas:
        parts.append(town.district)
    if "t" in style.areas or (place.village and "d" in style.areas):
        parts.append(town.town)
    if style.short:
        parts = [*map(short_area, parts[:-1]), *parts[-1:]]
    return "".join(parts)


def write_number(place: Place, style: Style) -> str:
    """The house number: 478号, 478-1号, 478号附1号, 甲12号, 12号乙."""
    number, sub, mark = str(place.number), place.sub_number, place.mark
    if not place.number:
        return ""
    if mark:
        forms = {"前": f"{mark}{number}号", "后": f"{number}号{mark}", "中": f"{number}{mark}号"}
        return forms[style.mark]
    if sub:
        forms = {"-": f"{number}-{sub}号", "附": f"{number}号附{sub}号",
                 "之": f"{number}号之{chinese(sub)}", "号-": f"{number}号-{sub}"}  # fmt: skip
        # A bare number must not run into the building's.
        return forms[style.sub if place.compound or not place.building else "-"]
    return number + (style.number if place.compound or style.number else "号")


def _building(place: Place, style: Style) -> str:
    building = place.building
    if not building:
        return ""
    if building.isdigit():
        kind = "号楼" if style.building == "座" else style.building
        if kind == "号" and not (place.unit or place.room):
            kind = "号楼"
        return (building if "#" in kind else _count(int(building), style)) + kind
    return building + (style.building if style.building in ("栋", "幢", "座", "号楼") else "座")


def write_inside(place: Place, style: Style) -> str:
    """From the building down to the room."""
    if style.dashes and place.building and place.room:
        parts = [place.building, *([str(place.unit)] if place.unit else []), str(place.room)]
        if style.numerals and place.unit:  # 3栋2-501
            return _building(place, style) + "-".join(parts[1:])
        return "-".join(parts)
    text = _building(place, style)
    if place.unit:
        text += _count(place.unit, style) + style.unit
    if place.floor:
        text += ("B1" if place.floor < 0 else _count(place.floor, style)) + style.floor
    if place.room:
        # A bare room after a bare number would run into it.
        room = style.room or ("" if text and not text[-1].isdigit() else "室")
        text += str(place.room) + room
    return text


def write(rng: random.Random, place: Place, style: Style) -> str:
    """The address as text."""
    areas, number = write_areas(place, style), place.road + write_number(place, style)
    compound = place.compound + (
        words.PHASE_TWINS.get(place.phase, place.phase) if style.numerals else place.phase
    )
    inside = write_inside(place, style)
    village = place.village
    if place.group:
        village += _count(place.group, style) + "组"
    if place.house:
        village += f"{place.house}号"
    tail = place.shop
    name = place.business
    if place.branch:
        name += f"({place.branch})" if style.bracket else place.branch
    if place.gate:
        name += f"({place.gate})" if style.bracket else place.gate
    body = [village + number, compound + inside + tail + name]
    if style.order == "compound first" and place.compound and place.road:
        body = [compound, number + inside + tail + name]
    elif style.order == "road in brackets" and place.compound and place.road:
        body = [compound + f"({number})" + inside + tail + name]
    parts = [areas, *body]
    if style.order == "areas last" and areas and (number or village):
        parts = [*body, f"({areas})" if style.bracket else "," + areas]
    text = style.separator.join(part for part in parts if part) + style.landmark
    return full_width(text) if style.wide else text


def business_name(rng: random.Random, world: World) -> str:
    """A shop, a company or a chain."""
    draw = rng.random()
    if draw < 0.5:
        return world.brand(rng) + pick(rng, words.TRADES)
    if draw < 0.85:
        brand = world.brand(rng) if draw < 0.75 else world.company(rng)
        return brand + pick(rng, words.COMPANY_TRADES) + pick(rng, words.COMPANY_TAILS)
    return pick(rng, words.CHAINS)


def _phase(rng: random.Random, share: float) -> str:
    return pick(rng, words.PHASES) if rng.random() < share else ""


def _road_number(rng: random.Random, world: World) -> dict[str, object]:
    draw = rng.random()
    return {
        "road": world.road(rng),
        "number": small_number(rng),
        "sub_number": 1 + int(rng.random() * 20) if draw < 0.10 else 0,
        "mark": pick(rng, "甲乙丙") if 0.10 <= draw < 0.15 else "",
    }


def draw_place(rng: random.Random, world: World) -> Place:
    """A place of some depth, every level of that depth filled in."""
    town, draw, kind = pick(rng, world.towns), rng.random, rng.random()
    floor = 1 + int(draw() * (6 if draw() < 0.6 else 30))
    room = floor * 100 + 1 + int(draw() * (6 if draw() < 0.8 else 30))
    fields: dict[str, object] = {}
    if kind < 0.86 and (kind < 0.14 or draw() < 0.7):
        fields = _road_number(rng, world)
    if kind < 0.10:  # a road and a number
        pass
    elif kind < 0.14:  # a building at a number
        fields |= {"building": draw_building(rng)}
        if draw() < 0.6:
            fields |= {"unit": 1 + int(draw() * 6), "room": room}
    elif kind < 0.22:  # a compound
        fields |= {"compound": world.compound(rng), "phase": _phase(rng, 0.35)}
    elif kind < 0.34:  # its building
        fields |= {"compound": world.compound(rng), "phase": _phase(rng, 0.2),
                   "building": draw_building(rng)}  # fmt: skip
        if draw() < 0.3:
            fields |= {"unit": 1 + int(draw() * 6)}
    elif kind < 0.56:  # a room in it
        fields |= {"compound": world.compound(rng), "phase": _phase(rng, 0.15),
                   "building": draw_building(rng), "room": room}  # fmt: skip
        if draw() < 0.75:
            fields |= {"unit": 1 + int(draw() * 6)}
    elif kind < 0.65:  # a tower: floor and room
        fields |= {"compound": world.compound(rng), "building": draw_building(rng)
                   if draw() < 0.6 else "", "floor": floor}  # fmt: skip
        if draw() < 0.6:
            fields |= {"room": room}
        if draw() < 0.3:
            fields |= {"business": business_name(rng, world)}
    elif kind < 0.76:  # a business with an address in front
        fields = fields or _road_number(rng, world)
        if draw() < 0.25:
            fields |= {"compound": world.compound(rng)}
        if draw() < 0.15:
            fields |= {"floor": floor}
        fields |= {"business": business_name(rng, world)}
    elif kind < 0.82:  # a shop in a mall
        at = 1 + int(draw() * 99)
        shop = pick(
            rng, (f"{at}号铺", f"{floor}{at:02d}铺", f"B{at}", f"{floor}-{at}号", f"{at}号商铺")
        )
        fields |= {"compound": world.compound(rng), "shop": shop}
        if draw() < 0.6:
            fields |= {"floor": floor % 7 + 1}
        if draw() < 0.6:
            fields |= {"business": business_name(rng, world)}
    elif kind < 0.86:  # a gate, a square
        if draw() < 0.5:
            fields |= {"compound": world.compound(rng), "gate": pick(rng, GATES)}
        else:
            short = short_area(town.city or town.province)
            station = pick(rng, (short, short_area(town.district), world.village(rng)[:2]))
            fields = {"compound": station + pick(rng, STATIONS), "gate": pick(rng, SQUARES + SIDES)}
    elif kind < 0.90:  # a branch
        owner = pick(rng, (world.road, world.compound, world.village))(rng)
        fields = {
            "business": pick(rng, words.CHAINS) if draw() < 0.6 else business_name(rng, world),
            "branch": owner + pick(rng, ("店", "店", "店", "分店", "支行", "营业厅")),
        }
    else:  # a village
        fields = {"village": world.village(rng), "house": small_number(rng)}
        if draw() < 0.5:
            fields |= {"group": 1 + int(draw() * 15)}
        if draw() < 0.15:
            fields |= {"business": business_name(rng, world)}
    return Place(town, **fields)  # type: ignore[arg-type]
