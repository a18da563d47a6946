"""A scene: one invented neighbourhood, from which a query and its candidates are written."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training import words
from training.gazetteer import Town
from training.numerals import chinese
from training.world import World, pick, short_area


@dataclass
class Business:
    """A shop, company or office: its full name, and the parts other names are made from."""

    brand: str
    trade: str
    kind: str  # shop, company, office, chain
    branch: str
    name: str
    spellings: tuple[str, ...] = ()


@dataclass
class Scene:
    """What is true in the neighbourhood. Numbers are integers; writing them is style."""

    town: Town
    road: str
    road2: str
    road3: str
    number: int
    sub_number: int  # 0: none
    village: str
    hamlet: str  # "" or a part of the village
    house: int
    compound: str
    phase: str  # "" or a part of the compound
    building: str  # "3" or "B" or "B3"
    unit: int
    floor: int
    room: int
    business: Business
    business2: Business
    generic: bool


def small_number(rng: random.Random) -> int:
    """A house or building number: mostly small, sometimes in the hundreds."""
    draw = rng.random()
    if draw < 0.60:
        return 1 + int(rng.random() * 30)
    if draw < 0.85:
        return 1 + int(rng.random() * 150)
    if draw < 0.98:
        return 1 + int(rng.random() * 999)
    return 1 + int(rng.random() * 4999)


def draw_building(rng: random.Random) -> str:
    """A building's designation without its kind: 3, B or B3."""
    draw = rng.random()
    if draw < 0.84:
        return str(1 + int(rng.random() * (12 if rng.random() < 0.5 else 60)))
    letter = pick(rng, "ABCDABCDEFG")
    return letter if draw < 0.94 else letter + str(1 + int(rng.random() * 20))


def other_number(rng: random.Random, number: int) -> int:
    """A different number, near the given one more often than not."""
    draw = rng.random()
    if draw < 0.45:
        other = number + int(rng.random() * 9) - 4
    elif draw < 0.6:
        text = str(number)
        at = int(rng.random() * len(text))
        other = int(text[:at] + pick(rng, "0123456789") + text[at + 1 :])
    else:
        other = small_number(rng)
    return other if other > 0 and other != number else number + 1 + int(rng.random() * 6)


def other_building(rng: random.Random, building: str) -> str:
    """A different building of the same compound."""
    if building.isdigit():
        return str(other_number(rng, int(building)))
    for _ in range(9):
        made = draw_building(rng)
        if made != building:
            return made
    return building + "1"


def draw_business(rng: random.Random, world: World, scene_names: tuple[str, ...]) -> Business:
    """A business; `scene_names` are (city, district, town, road, compound, village) short names."""
    draw = rng.random()
    city, district, town, road, compound, village = scene_names
    if draw < 0.34:
        brand = world.brand(rng)
        trade = pick(rng, words.TRADES)
        return Business(brand, trade, "shop", "", brand + trade)
    if draw < 0.62:
        brand = world.company(rng) if rng.random() < 0.4 else world.brand(rng)
        place = pick(rng, ("", "", "", city, district))
        trade = pick(rng, words.COMPANY_TRADES)
        tail = pick(rng, words.COMPANY_TAILS)
        spellings = (brand + trade, place + brand + trade, brand + trade + "公司", brand)
        return Business(brand, trade, "company", "", place + brand + trade + tail, spellings)
    if draw < 0.84:
        office, others = pick(rng, words.OFFICES)
        owner = pick(rng, (city, district, town, town, road[:2], compound[:2], village, compound))
        return Business(
            owner, office, "office", "", owner + office, tuple(owner + other for other in others)
        )
    chain = pick(rng, words.CHAINS)
    branch = pick(rng, (road, compound, town, village, district, city + road[:2])) + "店"
    return Business(chain, "", "chain", branch, chain)


def draw_scene(rng: random.Random, world: World) -> Scene:
    """One neighbourhood somewhere in the country."""
    town = pick(rng, world.towns)
    road, road2, road3 = world.road(rng), world.road(rng), world.road(rng)
    compound, village = world.compound(rng), world.village(rng)
    names = (
        short_area(town.city or town.province),
        short_area(town.district),
        short_area(town.town),
        road,
        compound,
        village,
    )
    business = draw_business(rng, world, names)
    business2 = draw_business(rng, world, names)
    floor = 1 + int(rng.random() * (6 if rng.random() < 0.7 else 30))
    return Scene(
        town=town,
        road=road,
        road2=road2,
        road3=road3,
        number=small_number(rng),
        sub_number=1 + int(rng.random() * 20) if rng.random() < 0.12 else 0,
        village=village,
        hamlet=world.village(rng)[:2] + pick(rng, ("组", "庄", "屯", "湾"))
        if rng.random() < 0.2
        else "",
        house=small_number(rng),
        compound=compound,
        phase=pick(rng, words.PHASES) if rng.random() < 0.2 else "",
        building=draw_building(rng),
        unit=1 + int(rng.random() * 5),
        floor=floor,
        room=floor * 100 + 1 + int(rng.random() * 8),
        business=business,
        business2=business2,
        generic=world.is_generic(compound),
    )


_BUILDING_KINDS = ("栋", "幢", "号楼", "号楼", "号楼", "栋", "幢", "座", "#", "号", "#楼", "栋楼")


def numeral(rng: random.Random, number: int, share: float = 0.06) -> str:
    """Write a number, now and then in Chinese numerals."""
    return chinese(number) if number < 100 and rng.random() < share else str(number)


def write_building(rng: random.Random, building: str) -> str:
    """A building with one of the kinds people use: 3栋, 三号楼, B座, 3#."""
    if building.isdigit():
        return numeral(rng, int(building), 0.05) + pick(rng, _BUILDING_KINDS)
    if len(building) == 1:
        return building + pick(rng, ("座", "栋", "幢", "区", "座", "栋"))
    return building + pick(rng, ("栋", "幢", "号楼", "座", ""))


def write_number(rng: random.Random, number: int, sub_number: int = 0) -> str:
    """A house number with its sub-number: 5号, 5-1号, 5号附1, 5弄."""
    if sub_number:
        draw = rng.random()
        if draw < 0.5:
            return f"{number}-{sub_number}号" if rng.random() < 0.75 else f"{number}-{sub_number}"
        return f"{number}号附{sub_number}" + ("号" if draw < 0.8 else "")
    draw = rng.random()
    if draw < 0.90:
        return numeral(rng, number, 0.02) + "号"
    return str(number) + ("" if draw < 0.97 else "弄")
