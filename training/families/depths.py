"""Addresses of every depth, put together from invented names.

An address is its elements, each as it is written ("478号", "3栋"). A depth says which elements
there are. None of this is the training's own generator (`place.py`): what is tested here is written
by other hands.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from training.families import names

Address = dict[str, str]
Depth = Callable[[random.Random], Address]
Edit = Callable[[random.Random, Address], Address]

ORDER = ("province", "city", "district", "town", "village", "group", "house", "road", "number",
         "compound", "phase", "building", "unit", "floor", "room", "shop", "business", "branch",
         "gate")  # fmt: skip


def digits(text: str) -> int:
    """The number in an element: 478 of 478号."""
    return int("".join(sign for sign in text if sign.isdigit()))


def write(address: Address) -> str:
    """The elements in the usual order, from the province to the room."""
    return "".join(address.get(name, "") for name in ORDER)


def _areas(rng: random.Random, towns: tuple[tuple[str, ...], ...] = names.CITY_TOWNS) -> Address:
    province, city, district, town = rng.choice(towns)
    return {"province": province, "city": city, "district": district, "town": town}


def road(rng: random.Random) -> Address:
    """A road and a number; the street is named now and then."""
    number = rng.choice((rng.randint(1, 60), rng.randint(10, 300), rng.randint(100, 999)))
    areas = _areas(rng)
    if rng.random() < 0.6:
        del areas["town"]
    return areas | {"road": rng.choice(names.ROADS), "number": f"{number}号"}


def compound(rng: random.Random) -> Address:
    """A compound at a number."""
    return road(rng) | {"compound": rng.choice(names.COMPOUNDS)}


def compound_alone(rng: random.Random) -> Address:
    """A compound without a road."""
    address = compound(rng)
    del address["road"], address["number"]
    return address


def building(rng: random.Random) -> Address:
    """A building of a compound."""
    return compound(rng) | {"building": f"{rng.randint(1, 32)}{rng.choice(('栋', '幢', '号楼'))}"}


def room(rng: random.Random) -> Address:
    """A room of a building, with its unit."""
    room = rng.randint(1, 28) * 100 + rng.randint(1, 6)
    return building(rng) | {"unit": f"{rng.randint(1, 4)}单元", "room": f"{room}室"}


def tower(rng: random.Random) -> Address:
    """An office in a tower: building, floor, room."""
    floor = rng.randint(2, 28)
    return road(rng) | {
        "compound": rng.choice(names.TOWERS),
        "building": rng.choice("ABCD") + "座",
        "floor": f"{floor}层",
        "room": f"{floor * 100 + rng.randint(1, 20)}室",
    }


def village(rng: random.Random) -> Address:
    """A house of a village, with its group."""
    return _areas(rng, names.RURAL_TOWNS) | {
        "village": rng.choice(names.VILLAGES),
        "group": f"{rng.randint(1, 14)}组",
        "house": f"{rng.randint(1, 180)}号",
    }


def shop(rng: random.Random) -> Address:
    """A shop at a number."""
    return road(rng) | {"business": rng.choice(names.BRANDS) + rng.choice(names.SHOPS)}


def company(rng: random.Random) -> Address:
    """A company at a number."""
    return road(rng) | {"business": rng.choice(names.BRANDS) + rng.choice(names.COMPANIES)}


def mall(rng: random.Random) -> Address:
    """A shop of a mall, with its floor and unit."""
    floor = rng.randint(1, 6)
    return road(rng) | {
        "compound": rng.choice(names.MALLS),
        "floor": f"{floor}楼",
        "shop": f"{floor}{rng.randint(1, 60):02d}号铺",
        "business": rng.choice(names.BRANDS) + rng.choice(names.SHOPS),
    }


def branch(rng: random.Random) -> Address:
    """A branch of a chain, by its name alone."""
    owner = rng.choice((*names.ROADS, *names.COMPOUNDS))
    areas = _areas(rng)
    del areas["town"]
    return areas | {"business": rng.choice(names.CHAINS), "branch": f"({owner}店)"}


def station(rng: random.Random) -> Address:
    """A square of a station."""
    address = _areas(rng)
    del address["town"]
    station = address["city"].removesuffix("市") + rng.choice(
        ("站", "南站", "西站", "火车站", "客运站")
    )
    return address | {"compound": station, "gate": rng.choice("东西南北") + "广场"}


WHOLE: dict[str, Depth] = {
    "road and number": road,
    "compound": compound,
    "compound without road": compound_alone,
    "building": building,
    "room": room,
    "tower": tower,
    "village": village,
    "shop": shop,
    "company": company,
    "mall": mall,
    "branch": branch,
    "station": station,
}
