"""Address pairs on which backends are compared with each other: invented, and the same everywhere.

They are as long as real ones (two addresses of 10 to 30 characters), and of each kind that a model
tells apart: the same address written differently, a coarser one, another number, another city.
"""

from __future__ import annotations

from itertools import product

_CITIES = ("浙江省杭州市西湖区", "北京市朝阳区", "广东省深圳市南山区", "四川省成都市")
_ROADS = ("文三路", "长青街道学府路", "望江大道", "星光路")
_PLACES = ("翠苑小区", "明珠大厦(东门店)", "科技园A座", "")


def pairs() -> list[tuple[str, str]]:
    """64 pairs, four of each city and road."""
    made: list[tuple[str, str]] = []
    for number, (city, road) in enumerate(product(_CITIES, _ROADS)):
        place = _PLACES[number % len(_PLACES)]
        house = 17 + 23 * number
        address = f"{city}{road}{house}号{place}{number + 1}幢{number % 4 + 1}单元{house % 29}室"
        elsewhere = _CITIES[(number + 1) % len(_CITIES)]
        made += [
            (address, f"{city}{road}{house}号{place}{number + 1}栋"),
            (address, f"{road}{place}"),
            (address, f"{city}{road}{house + 2}号"),
            (address, f"{elsewhere}{road}{house}号{place}"),
        ]
    return made
