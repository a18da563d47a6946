"""Tables to draw places from, made of the gazetteers: areas, roads, compounds, businesses."""

from __future__ import annotations

import bisect
import itertools
import random
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from training import words
from training.gazetteer import Gazetteer, Town

T = TypeVar("T")

_ROAD = re.compile("^(.+?)(大道|公路|大街|胡同|路|街|巷|道)$")
_PLAIN = re.compile("^[\u4e00-\u9fff]+$")


def pick(rng: random.Random, items: Sequence[T]) -> T:
    """Draw one item evenly; several times as fast as random.choice."""
    return items[int(rng.random() * len(items))]


class Weighted:
    """Draws strings in proportion to their weights."""

    def __init__(self, pairs: Sequence[tuple[str, float]]) -> None:
        self._items = [item for item, _ in pairs]
        self._sums = list(itertools.accumulate(weight for _, weight in pairs))

    def draw(self, rng: random.Random) -> str:
        """One of the strings."""
        return self._items[bisect.bisect_right(self._sums, rng.random() * self._sums[-1])]


def short_area(name: str) -> str:
    """Drop the kind from an area's name when two characters or more stay: 杭州市 -> 杭州."""
    for kind in (
        "特别行政区",
        "自治区",
        "自治州",
        "自治县",
        "街道",
        "省",
        "市",
        "区",
        "县",
        "镇",
        "乡",
    ):
        if name.endswith(kind) and len(name) - len(kind) >= 2:
            return name[: -len(kind)]
    return name


def is_held_out(name: str) -> bool:
    """Whether training never draws this name: one in 16, kept for tests, by the name alone."""
    return zlib.crc32(name.encode()) % 16 == 0


class World:
    """Everything the generator draws from. Read-only once built; drawing takes the caller's rng."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self.towns: list[Town] = gazetteer.towns
        self.by_district: dict[tuple[str, str, str], list[Town]] = {}
        self.by_city: dict[tuple[str, str], list[Town]] = {}
        for town in self.towns:
            self.by_district.setdefault((town.province, town.city, town.district), []).append(town)
            self.by_city.setdefault((town.province, town.city), []).append(town)
        cities = list(self.by_city)
        self._alike: dict[tuple[str, str], list[tuple[str, str]]] = {
            (province, city): [
                other for other in cities if other[1] and other[1] != city
                and (set(short_area(other[1])) & set(short_area(city)) or other[0] == province)
            ]
            for province, city in cities
        }  # fmt: skip
        self._road_kinds = Weighted(words.ROAD_KINDS)
        self._compound_kinds = Weighted(words.COMPOUND_KINDS)
        self._village_kinds = Weighted(words.VILLAGE_KINDS)
        # A square root keeps the few famous roads from filling the data.
        self._roads = Weighted([(n, w**0.5) for n, w in gazetteer.roads if 2 < len(n) < 8])
        self._communities = [n for n in gazetteer.communities if 2 < len(n) < 12]
        self._companies = [n for n in gazetteer.companies if 1 < len(n) < 8]
        self._brands = [n for n in self._companies if len(n) <= 4]
        self._places = [n for n, w in gazetteer.places if 2 < len(n) < 9 and w < 3000]
        self._road_letters = self._letters(n for n, _ in gazetteer.roads)
        self._name_letters = self._letters(gazetteer.communities)
        self._place_letters = self._letters(n for n, _ in gazetteer.places)
        stems = Counter(n[:2] for n in gazetteer.communities)
        self._stems = [s for s, c in sorted(stems.items()) if c >= 3 and _PLAIN.match(s)]
        self._common_stems = frozenset(s for s, c in stems.items() if c >= 25)
        self.homophones: dict[str, list[str]] = {}
        for letters in gazetteer.syllables.values():
            for letter in letters:
                others = [other for other in letters if other != letter]
                if others:
                    self.homophones.setdefault(letter, others)

    @staticmethod
    def _letters(names: object) -> str:
        """Characters as often as they occur, so that drawing one keeps their frequencies."""
        counts: Counter[str] = Counter()
        for name in names:  # type: ignore[attr-defined]
            counts.update(letter for letter in name if "\u4e00" <= letter <= "\u9fff")
        return "".join(letter * max(1, round(n**0.75)) for letter, n in sorted(counts.items()))

    def road(self, rng: random.Random) -> str:
        """A road's name: half of the time a real one, else invented from letters of real ones."""
        while is_held_out(made := self._road(rng)):
            pass
        return made

    def _road(self, rng: random.Random) -> str:
        if rng.random() < 0.5:
            return self._roads.draw(rng)
        draw = rng.random()
        length = 2 if draw < 0.86 else (1 if draw < 0.93 else 3)
        stem = "".join(pick(rng, self._road_letters) for _ in range(length))
        return stem + self._road_kinds.draw(rng)

    def compound(self, rng: random.Random) -> str:
        """A residential compound, office building or industrial estate."""
        while is_held_out(made := self._compound(rng)):
            pass
        return made

    def _compound(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.55:
            return pick(rng, self._communities)
        if draw < 0.75:
            stem = pick(rng, self._stems)
        else:
            length = 2 if rng.random() < 0.7 else 3
            stem = "".join(pick(rng, self._name_letters) for _ in range(length))
        if rng.random() < 0.06:
            stem = pick(rng, words.DEVELOPERS) + stem
        return stem + self._compound_kinds.draw(rng)

    def is_generic(self, compound: str) -> bool:
        """Whether many places share this name's beginning, so that the name alone proves little."""
        return len(compound) <= 4 and compound[:2] in self._common_stems

    def village(self, rng: random.Random) -> str:
        """A village or rural quarter."""
        while is_held_out(made := self._village(rng)):
            pass
        return made

    def _village(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.25:
            return pick(rng, self._places)
        length = 1 if draw < 0.4 else (2 if draw < 0.92 else 3)
        stem = "".join(pick(rng, self._place_letters) for _ in range(length))
        return stem + self._village_kinds.draw(rng)

    def brand(self, rng: random.Random) -> str:
        """The distinguishing part of a business name."""
        while is_held_out(made := self._brand(rng)):
            pass
        return made

    def _brand(self, rng: random.Random) -> str:
        if rng.random() < 0.7:
            return pick(rng, self._brands)
        return "".join(pick(rng, self._name_letters) for _ in range(2 if rng.random() < 0.7 else 3))

    def company(self, rng: random.Random) -> str:
        """A company's short name as registered."""
        return pick(rng, self._companies)

    def letter(self, rng: random.Random) -> str:
        """One character that occurs in names."""
        return pick(rng, self._name_letters)

    def neighbour_district(self, rng: random.Random, town: Town) -> Town:
        """A town of another district of the same city, or of any other city if there is none."""
        mates = self.by_city[town.province, town.city]
        for _ in range(6):
            other = pick(rng, mates)
            if other.district != town.district:
                return other
        return self.far_town(rng, town)

    def sister_city(self, rng: random.Random, town: Town) -> Town:
        """A town of another city of the province, or of one whose name shares a character."""
        alike = self._alike[town.province, town.city]
        if not alike:
            return self.far_town(rng, town)
        return pick(rng, self.by_city[pick(rng, alike)])

    def far_town(self, rng: random.Random, town: Town) -> Town:
        """A town of another city."""
        while True:
            other = pick(rng, self.towns)
            if (other.province, other.city, other.district) != (
                town.province,
                town.city,
                town.district,
            ) and (other.city != town.city or not town.city):
                return other

    def lookalike(self, rng: random.Random, name: str) -> str:
        """Another name that shares some characters with `name`: never equal to it."""
        for _ in range(8):
            draw, n = rng.random(), len(name)
            tail = 2 if n > 3 else 1
            if draw < 0.40 and n > 2:  # keep the kind and one letter of the stem
                at = int(rng.random() * (n - tail))
                made = name[:at] + self.letter(rng) + name[at + 1 :]
            elif draw < 0.62:  # another stem, the same kind
                made = pick(rng, self._stems) + name[-tail:]
            elif draw < 0.78 and n > 3:  # the same stem, another kind
                made = name[:2] + self._compound_kinds.draw(rng)
            elif draw < 0.90 and n > 2:  # a word put in
                at = 1 + int(rng.random() * (n - 2))
                made = name[:at] + self.letter(rng) + self.letter(rng) + name[at:]
            else:  # a word in front and the head cut
                made = pick(rng, self._stems) + name[1:]
            if made != name and not is_held_out(made):
                return made
        return pick(rng, self._stems) + self.letter(rng) + name[-1:]

    def lookalike_road(self, rng: random.Random, road: str) -> str:
        """Another road whose name shares characters with `road`."""
        match = _ROAD.match(road)
        for _ in range(8):
            draw = rng.random()
            if match and draw < 0.4:
                stem, kind = match.group(1), match.group(2)
                at = int(rng.random() * len(stem))
                made = stem[:at] + pick(rng, self._road_letters) + stem[at + 1 :] + kind
            elif match and draw < 0.75:
                stem, kind = match.group(1), match.group(2)
                base = stem[:-1] if stem[-1] in "东西南北中一二三四五" and len(stem) > 2 else stem
                made = base + pick(rng, "东西南北中一二三四") + kind
            else:
                made = road[0] + pick(rng, self._road_letters) + self._road_kinds.draw(rng)
            if made != road and not is_held_out(made):
                return made
        return self._roads.draw(rng)
