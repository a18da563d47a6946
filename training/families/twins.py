"""Pairs in which one place is written in two ways."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from training.families import names
from training.families.depths import WHOLE, Address, Depth, Edit, digits, room, tower, write
from training.numerals import chinese, full_width

TextPair = tuple[str, str]
Maker = Callable[[random.Random], TextPair]
SAME_TEXT = "the same text"


def _without(*elements: str) -> Edit:
    return lambda rng, address: {k: v for k, v in address.items() if k not in elements}


def _chinese_numerals(rng: random.Random, address: Address) -> Address:
    edited = dict(address)
    for name in ("building", "unit"):
        if name in address and address[name][0].isdigit():
            number = digits(address[name])
            edited[name] = address[name].replace(str(number), chinese(number))
    return edited


def _kind(rng: random.Random, address: Address) -> Address:
    number = digits(address["building"])
    kinds = [f"{number}{kind}" for kind in ("栋", "幢", "号楼", "#", "#楼")]
    return address | {"building": rng.choice([k for k in kinds if k != address["building"]])}


def _bare_room(rng: random.Random, address: Address) -> Address:
    return address | {"room": address["room"].removesuffix("室") + rng.choice(("", "房"))}


def _short_areas(rng: random.Random, address: Address) -> Address:
    return address | {
        "province": address["province"].removesuffix("省"),
        "city": address["city"].removesuffix("市"),
    }


def _floor_word(rng: random.Random, address: Address) -> Address:
    return address | {"floor": address["floor"].replace("层", rng.choice(("楼", "F")))}


def _dashed(rng: random.Random, address: Address) -> str:
    rest = {k: v for k, v in address.items() if k not in ("building", "unit", "room")}
    numbers = (digits(address[name]) for name in ("building", "unit", "room"))
    return write(rest) + "-".join(map(str, numbers))


def _road_behind(rng: random.Random, address: Address) -> str:
    rest = {k: v for k, v in address.items() if k not in ("road", "number")}
    compound = f"{address['compound']}({address['road']}{address['number']})"
    return write(rest | {"compound": compound})


def _landmark(rng: random.Random, address: Address) -> str:
    name = rng.choice((*names.TOWERS, *names.ROADS))
    return write(address) + rng.choice((f"({name}旁)", f"(近{name})", f"({name}对面)"))


def _wide(rng: random.Random, address: Address) -> str:
    return full_width(write(address))


def _twin(depth: Depth, rewrite: Callable[[random.Random, Address], str]) -> Maker:
    def make(rng: random.Random) -> TextPair:
        address = depth(rng)
        return write(address), rewrite(rng, address)

    return make


def _edited(depth: Depth, edit: Edit) -> Maker:
    return _twin(depth, lambda rng, address: write(edit(rng, address)))


def twins() -> Iterator[tuple[str, Maker]]:
    """(name, maker of a pair) of every family; all are exact matches."""
    for name, depth in WHOLE.items():
        yield f"{name}: {SAME_TEXT}", _twin(depth, lambda rng, address: write(address))
        yield f"{name}: province dropped", _edited(depth, _without("province"))
        if name not in ("compound without road", "station"):  # they have no ASCII sign
            yield f"{name}: full width", _twin(depth, _wide)
        yield f"{name}: a landmark added", _twin(depth, _landmark)
        if name not in ("village", "branch", "station"):
            yield f"{name}: province and city dropped", _edited(depth, _without("province", "city"))
            yield f"{name}: street dropped", _edited(depth, _without("town"))
            yield f"{name}: short areas", _edited(depth, _short_areas)
    for name in ("building", "room"):
        yield f"{name}: 栋, 幢, 号楼, #", _edited(WHOLE[name], _kind)
        yield f"{name}: Chinese numerals", _edited(WHOLE[name], _chinese_numerals)
    for name in ("compound", "building", "room"):
        yield f"{name}: road in brackets", _twin(WHOLE[name], _road_behind)
    yield "room: dashes", _twin(room, _dashed)
    yield "room: 室 dropped or 房", _edited(room, _bare_room)
    yield "tower: 层, 楼, F", _edited(tower, _floor_word)
    yield "tower: 室 dropped or 房", _edited(tower, _bare_room)
