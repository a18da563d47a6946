"""Address b for businesses and villages, and candidates that share only words with the query."""

from __future__ import annotations

import random

from training import words
from training.candidates import (
    Candidate,
    area,
    elsewhere,
    other_area,
    road_place,
    where,
)
from training.query import Query, write_business
from training.scene import Business, Scene, other_number, small_number, write_number
from training.world import World, pick, short_area


def spelling(rng: random.Random, business: Business) -> str:
    """One of the ways the business is called."""
    if business.spellings and rng.random() < 0.4:
        return pick(rng, business.spellings)
    name = business.name
    if business.kind == "chain" and rng.random() < 0.6:
        return f"{name}({business.branch})"
    if rng.random() < 0.08 and len(name) > 5:
        return name[2:] if rng.random() < 0.5 else name[:-2]
    return name


def business_itself(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The query's business, where it is."""
    name = spelling(rng, scene.business)
    if rng.random() < 0.1:
        name += f"({scene.road if rng.random() < 0.5 else short_area(scene.town.district) + '店'})"
    if query.compound and rng.random() < 0.4:
        return where(rng, world, scene, query, 0.4) + scene.compound + name, "business.itself"
    if query.number and rng.random() < 0.5:
        place = scene.road + write_number(rng, scene.number, scene.sub_number)
        if rng.random() < 0.15:
            place += f"{scene.floor}层"
        return place + name, "business.itself"
    if query.road and rng.random() < 0.5:
        place = road_place(rng, scene.road, scene.road3, small_number(rng))
        return place + name, "business.itself"
    text = where(rng, world, scene, query, 0.2)
    placed = text in ("", scene.town.district, scene.town.town)
    distinct = scene.business.kind in ("company", "shop")
    known = placed or (distinct and len(scene.business.brand) > 2)
    if scene.business.kind == "chain" and not placed:
        return text + name, "business.other_branch"
    return text + name, "business.itself" if known else "business.unplaced"


def business_part(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A gate, department or shop of the business."""
    text = where(rng, world, scene, query, 0.5) + spelling(rng, scene.business)
    draw = rng.random()
    if draw < 0.45:
        text += f"({pick(rng, words.GATES)})"
    elif draw < 0.85:
        text += ("-" if draw < 0.6 else "") + pick(rng, words.BUSINESS_PARTS)
    else:
        text += pick(rng, words.TRADES)
    return text, "business.part"


def business_host(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The building or estate that the business is in."""
    if not query.compound:
        return business_itself(rng, world, scene, query)
    text = where(rng, world, scene, query, 0.5) + scene.compound
    draw = rng.random()
    if draw < 0.2:
        text += f"({pick(rng, words.GATES)})"
    elif draw < 0.45:
        return text + scene.business2.name, "business.beside"
    return text, "business.host"


def business_branch(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The same brand elsewhere in town."""
    business = scene.business
    owner = pick(rng, (world.road(rng), world.compound(rng), world.village(rng)))
    name = business.name if rng.random() < 0.6 else business.brand + business.trade
    text = elsewhere(rng, world, scene, query) + name
    draw = rng.random()
    if draw < 0.7:
        text += f"({owner}店)"
    elif draw < 0.8:
        text += f"({owner})"
    return text, "business.other_branch"


def business_elsewhere(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The same name in another city or district."""
    text = other_area(rng, world, scene)
    if rng.random() < 0.5:
        text += road_place(rng, world.road(rng), world.road(rng), small_number(rng))
    text += spelling(rng, scene.business)
    if scene.business.kind == "chain" or rng.random() < 0.2:
        text += f"({world.village(rng)}店)"
    return text, "business.elsewhere"


def business_lookalike(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Another business: the same trade, a similar brand, or the same brand in another trade."""
    business = scene.business
    same_road = query.road and rng.random() < 0.2
    text = (
        road_place(rng, scene.road, scene.road3, small_number(rng))
        if same_road
        else elsewhere(rng, world, scene, query)
    )
    draw = rng.random()
    if draw < 0.45:
        brand = world.brand(rng)
        if rng.random() < 0.5 and len(business.brand) > 1:
            at = int(rng.random() * len(business.brand))
            brand = business.brand[:at] + world.letter(rng) + business.brand[at + 1 :]
            if brand == business.brand:
                brand += world.letter(rng)
        if business.kind == "company":
            trade = business.trade if rng.random() < 0.6 else pick(rng, words.COMPANY_TRADES)
            city = short_area(scene.town.city) if rng.random() < 0.3 else ""
            name = city + brand + trade + pick(rng, words.COMPANY_TAILS)
        else:
            name = brand + (business.trade or pick(rng, words.TRADES))
    elif draw < 0.7:
        name = world.lookalike(rng, business.name)
    elif draw < 0.85:
        trade = pick(rng, words.TRADES)
        name = business.brand + trade
        if trade == business.trade:
            name += pick(rng, "一二三四五")
    else:
        name = (
            world.brand(rng) + pick(rng, words.TRADES) + f"({business.branch or scene.village}店)"
        )
    relation = "business.same_trade_same_road" if same_road else "business.lookalike"
    return text + name, relation


# --- villages ------------------------------------------------------------------------------------


def _village_area(rng: random.Random, scene: Scene) -> str:
    draw = rng.random()
    if draw < 0.62:
        return area(rng, scene.town)
    return scene.town.town if draw < 0.8 else ""


def village_itself(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The village as a whole."""
    text = _village_area(rng, scene) + scene.village
    if scene.hamlet and rng.random() < 0.5:
        text += scene.hamlet
    if query.house:
        return text, "village.without_house"
    return text, "village.itself"


def village_house(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A house in the village: the query's or another."""
    text = _village_area(rng, scene) + scene.village
    if rng.random() < 0.5 and query.house:
        house = str(scene.house) + pick(rng, ("号", "号楼", "栋", "号"))
        return text + house, "village.same_house"
    house = str(other_number(rng, scene.house)) + pick(rng, ("号", "号楼", "栋", "号"))
    return text + house, "village.other_house" if query.house else "village.inside"


def village_inside(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """An office, shop or gate of the village."""
    draw = rng.random()
    if draw < 0.35:
        place = road_place(rng, scene.road, scene.road2, small_number(rng))
    else:
        place = _village_area(rng, scene)
    draw = rng.random()
    if draw < 0.45:
        text = scene.village + pick(rng, words.VILLAGE_INSIDE)
    elif draw < 0.6:
        text = f"{scene.village}({pick(rng, words.GATES)})"
    elif draw < 0.8:
        text = f"{world.brand(rng)}{pick(rng, words.TRADES)}({scene.village}店)"
    else:
        text = scene.village + scene.business2.name
    return place + text, "village.inside"


def village_of_business(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The village that the business is in, or another place of that village."""
    draw = rng.random()
    text = (area(rng, scene.town) if rng.random() < 0.6 else "") + scene.village
    if scene.hamlet and rng.random() < 0.5:
        text += scene.hamlet
    if draw < 0.3:
        return text, "area.village"
    name = scene.business2.name if draw < 0.7 else pick(rng, words.VILLAGE_INSIDE)
    return text + name, "business.beside"


def village_elsewhere(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A village of the same name in another district or city."""
    text = other_area(rng, world, scene) + scene.village
    draw = rng.random()
    if draw < 0.15:
        text += pick(rng, words.VILLAGE_INSIDE)
    elif query.house and draw < 0.35:
        text += str(scene.house) + "号"
    return text, "village.elsewhere"


def village_lookalike(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A village whose name shares characters with the query's, or another one nearby."""
    draw = rng.random()
    if draw < 0.65:
        text = area(rng, scene.town)
    elif draw < 0.85:
        text = elsewhere(rng, world, scene, query)
    else:
        text = other_area(rng, world, scene)
    draw = rng.random()
    name = scene.village
    if draw < 0.5 and len(name) > 2:
        at = int(rng.random() * (len(name) - 1))
        made = name[:at] + world.letter(rng) + name[at + 1 :]
    elif draw < 0.75:
        made = world.village(rng)
    else:
        made = world.lookalike(rng, name)
    if made == name:
        made = world.letter(rng) + name
    text += made
    draw = rng.random()
    if draw < 0.2:
        text += pick(rng, words.VILLAGE_INSIDE)
    elif draw < 0.3 and query.house:
        text += str(scene.house) + "号"
    return text, "village.lookalike"


# --- words in common -----------------------------------------------------------------------------


def area_only(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """The town or street alone, or its office."""
    town = scene.town
    text = pick(rng, (town.district, short_area(town.district), "")) + town.town
    draw = rng.random()
    if draw < 0.3:
        text += pick(rng, ("政府", "办事处", "派出所", "卫生院", "中学", "社区", "人民政府"))
    return text, "area.only"


def fragment(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """A place that shares a piece of the query's text, as a search by characters finds it."""
    text = query.text
    body = text[len(query.areas) :] or text
    size = 2 + int(rng.random() * 3)
    at = int(rng.random() * max(1, len(body) - size))
    piece = body[at : at + size].strip("()#,.- ，")
    draw = rng.random()
    if draw < 0.4:
        name = piece + pick(rng, words.TRADES)
    elif draw < 0.6:
        name = world.letter(rng) + piece + world.compound(rng)[-2:]
    elif draw < 0.8:
        name = piece + world.company(rng)
    else:
        name = world.brand(rng) + piece
    return elsewhere(rng, world, scene, query) + name, "fragment"


def same_area_other(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """An unrelated place in the query's own area."""
    text = area(rng, scene.town)
    if rng.random() < 0.5:
        text += world.road(rng) + write_number(rng, small_number(rng))
    draw = rng.random()
    if draw < 0.4:
        text += world.compound(rng)
    elif draw < 0.6:
        text += world.village(rng)
    else:
        text += write_business(rng, scene, second=True)
    return text, "stranger"


def stranger(rng: random.Random, world: World, scene: Scene, query: Query) -> Candidate:
    """Another place altogether."""
    text = elsewhere(rng, world, scene, query)
    name = world.compound(rng) if rng.random() < 0.5 else scene.business2.name
    return text + name, "stranger"
