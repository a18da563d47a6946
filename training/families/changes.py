"""Minimal pairs in which one element differs: every depth times every element that it has.

The labels are those of docs/labels.md. A floor of SPLIT stands where the people who labelled real
pairs disagree.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

from training.families import names
from training.families.depths import (
    WHOLE,
    Address,
    Depth,
    Edit,
    branch,
    building,
    company,
    compound,
    compound_alone,
    digits,
    mall,
    road,
    room,
    shop,
    station,
    tower,
    village,
    write,
)
from training.relations import LABELS

EXACT, PARTIAL, NOT = (LABELS.index(n) for n in ("exact_match", "partial_match", "not_match"))
AGREED, SPLIT = 0.9, 0.8
TextPair = tuple[str, str]
Maker = Callable[[random.Random], TextPair]
Edits = dict[str, tuple[Edit, int, float]]


def _renumber(name: str, step: Callable[[random.Random, int], int]) -> Edit:
    def edit(rng: random.Random, address: Address) -> Address:
        number = digits(address[name])
        other = step(rng, number)
        while other == number or other < 1:
            other = step(rng, number) if rng.random() < 0.9 else number + 2
        return address | {name: address[name].replace(str(number), str(other), 1)}

    return edit


def _near(rng: random.Random, number: int) -> int:
    return number + rng.choice((-2, -1, 1, 2, 4))


def _far(rng: random.Random, number: int) -> int:
    return number + rng.choice((17, 33, 58, 76, 121, 240))


def _sharing(rng: random.Random, number: int) -> int:
    """88 and 188, 100 and 1000, 12 and 21."""
    text = str(number)
    return int(rng.choice(("1" + text, text + "0", text[::-1], text + text[-1])))


def _few(rng: random.Random, number: int) -> int:
    return rng.randint(1, 12)


def _other_room(rng: random.Random, number: int) -> int:
    return rng.choice((number + 1, number + 100, number + 3, number + 200, number + 1000))


def _swap(name: str, choices: list[str] | tuple[str, ...]) -> Edit:
    def edit(rng: random.Random, address: Address) -> Address:
        return address | {name: rng.choice([c for c in choices if c != address[name]])}

    return edit


def _province(rng: random.Random, address: Address) -> Address:
    others = [town for town in names.CITY_TOWNS if town[0] != address["province"]]
    return address | dict(zip(("province", "city", "district"), rng.choice(others), strict=False))


def _city(rng: random.Random, address: Address) -> Address:
    others = [town for town in names.CITY_TOWNS if town[1] != address["city"]]
    province, city, *_ = rng.choice(others)
    return address | {"province": province, "city": city}


def _district(rng: random.Random, address: Address) -> Address:
    return address | {"district": rng.choice(names.OTHER_DISTRICTS[address["city"]])}


def _letter(rng: random.Random, address: Address) -> Address:
    return address | {"building": rng.choice("ABCD".replace(address["building"][0], "")) + "座"}


def _floor(rng: random.Random, address: Address) -> Address:
    """Another floor; the room or the shop on it follows."""
    floor = digits(address["floor"])
    other = rng.choice([n for n in range(1, 30 if "building" in address else 8) if n != floor])
    edited = address | {"floor": address["floor"].replace(str(floor), str(other))}
    for name in ("room", "shop"):
        if name in address:
            edited[name] = str(other) + address[name].removeprefix(str(floor))
    return edited


def _company_name(rng: random.Random, address: Address) -> Address:
    brand = rng.choice([b for b in names.BRANDS if not address["business"].startswith(b)])
    return address | {"business": brand + address["business"][2:]}


def _branch_name(rng: random.Random, address: Address) -> Address:
    return _swap("branch", [f"({owner}店)" for owner in names.ROADS + names.COMPOUNDS])(
        rng, address
    )


# Depth -> what is changed -> (edit, label, floor).
_AREA_EDITS: Edits = {
    "province": (_province, NOT, AGREED),
    "city": (_city, NOT, AGREED),
    "district": (_district, NOT, AGREED),
}
_ROAD_EDITS = _AREA_EDITS | {
    "road": (_swap("road", names.ROADS), NOT, AGREED),
    "number": (_renumber("number", _near), NOT, AGREED),
    "number sharing digits": (_renumber("number", _sharing), NOT, AGREED),
}
_COMPOUND_EDIT: Edits = {"compound": (_swap("compound", names.COMPOUNDS), NOT, AGREED)}
_BUILDING_EDITS: Edits = {
    "building": (_renumber("building", _few), PARTIAL, AGREED),
    "building sharing digits": (_renumber("building", _sharing), PARTIAL, AGREED),
}
_BARE: Edits = {
    "number": (_renumber("number", _near), NOT, SPLIT),
    "number far": (_renumber("number", _far), NOT, SPLIT),
    "number sharing digits": (_renumber("number", _sharing), NOT, SPLIT),
}
CHANGES: dict[str, tuple[Depth, Edits]] = {
    "road and number": (road, _ROAD_EDITS | _BARE),
    "compound": (compound, _ROAD_EDITS | _COMPOUND_EDIT),
    "compound without road": (compound_alone, _AREA_EDITS | _COMPOUND_EDIT),
    "building": (building, _ROAD_EDITS | _COMPOUND_EDIT | _BUILDING_EDITS),
    "room": (
        room,
        _ROAD_EDITS
        | _COMPOUND_EDIT
        | _BUILDING_EDITS
        | {
            "unit": (_renumber("unit", _few), PARTIAL, AGREED),
            "room": (_renumber("room", _other_room), PARTIAL, AGREED),
        },
    ),
    "tower": (
        tower,
        _ROAD_EDITS
        | {
            "compound": (_swap("compound", names.TOWERS), NOT, AGREED),
            "building": (_letter, PARTIAL, AGREED),
            "floor": (_floor, PARTIAL, AGREED),
            "room": (_renumber("room", _other_room), PARTIAL, AGREED),
        },
    ),
    "village": (
        village,
        _AREA_EDITS
        | {
            "town": (_swap("town", names.OTHER_TOWNS), NOT, AGREED),
            "village": (_swap("village", names.VILLAGES), NOT, AGREED),
            "group": (_renumber("group", _few), PARTIAL, AGREED),
            "house": (_renumber("house", _near), PARTIAL, AGREED),
        },
    ),
    "shop": (
        shop,
        _ROAD_EDITS
        | {
            "shop": (_company_name, PARTIAL, SPLIT),
            "trade": (_swap("business", [b + s for b in names.BRANDS[:6] for s in names.SHOPS]),
                      PARTIAL, SPLIT),
        },
    ),
    "company": (company, _ROAD_EDITS | {"company": (_company_name, PARTIAL, SPLIT)}),
    "mall": (
        mall,
        _ROAD_EDITS
        | {
            "compound": (_swap("compound", names.MALLS), NOT, AGREED),
            "floor": (_floor, PARTIAL, AGREED),
            "shop": (_renumber("shop", _near), PARTIAL, AGREED),
            "business": (_company_name, PARTIAL, SPLIT),
        },
    ),
    "branch": (branch, _AREA_EDITS | {"branch": (_branch_name, NOT, AGREED)}),
}  # fmt: skip


def _lookalike_cities(rng: random.Random, depth: Depth) -> TextPair:
    province, city, other = rng.choice(names.LOOKALIKE_CITIES)
    address = depth(rng) | {"province": province, "city": city, "district": "", "town": ""}
    return write(address), write(address | {"city": other})


def _compass(rng: random.Random, depth: Depth) -> TextPair:
    """东路 and 西路, 南路 and 北路: of one road, and so two roads."""
    first, second = rng.sample(rng.choice(("东西", "南北", "东南", "东西中")), 2)
    stem, kind = rng.choice([r for r in names.ROADS if r[-1] in "路街"])[:2], rng.choice("路路街")
    address = depth(rng)
    return (
        write(address | {"road": stem + first + kind}),
        write(address | {"road": stem + second + kind}),
    )


def _sub_number(rng: random.Random, form: str) -> TextPair:
    address, number = road(rng), rng.randint(1, 300)
    first, second = rng.sample(range(1, 15), 2)
    return (
        write(address | {"number": form.format(number, first)}),
        write(address | {"number": form.format(number, second)}),
    )


def _marked(rng: random.Random, form: str) -> TextPair:
    address, number = road(rng), rng.randint(1, 300)
    first, second = rng.sample("甲乙丙", 2)
    return (
        write(address | {"number": form.format(n=number, m=first)}),
        write(address | {"number": form.format(n=number, m=second)}),
    )


def _phase(rng: random.Random, depth: Depth) -> TextPair:
    first, second = rng.sample(
        rng.choice(
            (
                ("一期", "二期", "三期"),
                ("东区", "西区"),
                ("A区", "B区"),
                ("1期", "2期"),
                ("南区", "北区"),
            )
        ),
        2,
    )
    address = depth(rng)
    return write(address | {"phase": first}), write(address | {"phase": second})


def _gate(rng: random.Random) -> TextPair:
    address = compound(rng)
    first, second = rng.sample("东西南北", 2)
    return write(address | {"gate": f"({first}门)"}), write(address | {"gate": f"({second}门)"})


def _square(rng: random.Random) -> TextPair:
    address = station(rng)
    other = rng.choice("东西南北".replace(address["gate"][0], "")) + "广场"
    return write(address), write(address | {"gate": other})


def changed() -> Iterator[tuple[str, Maker, int, float]]:
    """(name, maker of a pair, label, floor) of every family with a change."""
    for depth_name, (depth, edits) in CHANGES.items():
        for element, (edit, label, floor) in edits.items():
            yield f"{depth_name}: another {element}", _edited(depth, edit), label, floor
    for name in ("road and number", "compound", "room", "tower", "shop"):
        depth = WHOLE[name]
        yield f"{name}: a city of a like name", partial(_lookalike_cities, depth=depth), NOT, AGREED
        yield f"{name}: 东路, 西路", partial(_compass, depth=depth), NOT, AGREED
    for form in ("{}-{}号", "{}号附{}号"):
        family = f"road and number: another sub-number ({form.format(5, 1)})"
        yield family, partial(_sub_number, form=form), PARTIAL, SPLIT
    for form in ("{m}{n}号", "{n}号{m}"):
        family = f"road and number: 甲, 乙 ({form.format(m='甲', n=5)})"
        yield family, partial(_marked, form=form), PARTIAL, SPLIT
    for name in ("compound", "building", "room"):
        yield f"{name}: another phase", partial(_phase, depth=WHOLE[name]), PARTIAL, SPLIT
    yield "compound: another gate", _gate, PARTIAL, AGREED
    yield "station: another square", _square, PARTIAL, AGREED


def _edited(depth: Depth, edit: Edit) -> Maker:
    def make(rng: random.Random) -> TextPair:
        address = depth(rng)
        return write(address), write(edit(rng, address))

    return make
