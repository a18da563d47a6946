"""The open-licence gazetteer files: where they come from, their fingerprints, and reading them.

The files never enter the repository. A command takes their folder, and every file is checked
against its sha256 first, so that a rebuild cannot silently start from other data.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

LABEL_HELP = "see docs/default-model.md for where each file comes from"


class GazetteerError(Exception):
    """A gazetteer folder or file is missing or is not the one this project was built from."""


@dataclass(frozen=True)
class Source:
    """One gazetteer file: its name, sha256 (hex), licence and origin."""

    name: str
    sha256: str
    licence: str
    origin: str


SOURCES = (
    Source(
        "modood_pcas.json",
        "7c5bf24d95056a78304ddb7e6261a260ddf29ec66daaea40c5297476c60baa20",
        "WTFPL",
        "github.com/modood/Administrative-divisions-of-China",
    ),
    Source(
        "areacity_ok_data_level4.csv",
        "3779948eb4ca6fe6583142f7fa9b2b7792457ab602c4fc827e582932ebc397f5",
        "MIT",
        "github.com/xiangyuecn/AreaCity-JsSpider-StatsGov",
    ),
    Source(
        "bitlap_community.txt",
        "50e807e3bb5769495c8d653dbd8b11dd7b823375b220ea925f5d7f9ce7a6730e",
        "MIT",
        "github.com/bitlap/geocoding",
    ),
    Source(
        "derived_bitlap_roads.tsv",
        "d37ea0316930a176ef9c40e186eedfca53ccef7ebd5a9cd38481c7cf52babd8c",
        "MIT",
        "derived from github.com/bitlap/geocoding",
    ),
    Source(
        "THUOCL_diming.txt",
        "d9e11f31bfa9ee394254e5df622159f35ad5e81957ac98c182adc305b480c124",
        "MIT",
        "github.com/thunlp/THUOCL",
    ),
    Source(
        "wainshine_company_short_28w.txt",
        "b0f26f7e81d0fb2e0036f599907302591e84c60b9aecba9e71e26b02e8644164",
        "Apache-2.0",
        "github.com/wainshine/Company-Names-Corpus",
    ),
)


@dataclass(frozen=True)
class Town:
    """A place in the administrative tree: province, city, district, street or town."""

    province: str
    city: str
    district: str
    town: str


@dataclass(frozen=True)
class Gazetteer:
    """What the files hold, parsed.

    towns: leaves of the tree; city is "" for the municipalities' placeholder level.
    roads, places: (name, weight); communities, companies: names.
    syllables: pinyin syllable -> characters read so, for homophone typing errors.
    """

    towns: list[Town]
    roads: list[tuple[str, int]]
    places: list[tuple[str, int]]
    communities: list[str]
    companies: list[str]
    syllables: dict[str, list[str]]


def check(folder: Path, sources: tuple[Source, ...] = SOURCES) -> None:
    """Raise GazetteerError unless every file of `sources` is in `folder` with its sha256."""
    for source in sources:
        path = folder / source.name
        if not path.is_file():
            raise GazetteerError(
                f"{path}: no such gazetteer file; fetch it from {source.origin} ({LABEL_HELP})"
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != source.sha256:
            raise GazetteerError(
                f"{path}: sha256 is {found}, expected {source.sha256}; use the version named in "
                f"docs/default-model.md"
            )


def read(folder: Path) -> Gazetteer:
    """Parse the six files of `folder`. Raises GazetteerError when one cannot be read."""
    try:
        return Gazetteer(
            towns=_towns(folder / "modood_pcas.json"),
            roads=_weighted(folder / "derived_bitlap_roads.tsv"),
            places=_weighted(folder / "THUOCL_diming.txt"),
            communities=_lines(folder / "bitlap_community.txt"),
            companies=_lines(folder / "wainshine_company_short_28w.txt", skip=3),
            syllables=_syllables(folder / "areacity_ok_data_level4.csv"),
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise GazetteerError(f"{folder}: cannot be read as the gazetteer: {error}") from error


def _lines(path: Path, skip: int = 0) -> list[str]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()[skip:]
    return [line.strip() for line in lines if line.strip()]


def _weighted(path: Path) -> list[tuple[str, int]]:
    # One count of THUOCL carries a stray sign ("3?"), so only the leading digits are read.
    found = (re.match(r"(.+?)\s*\t\s*(\d+)", line) for line in _lines(path))
    return [(match.group(1), int(match.group(2))) for match in found if match]


def _towns(path: Path) -> list[Town]:
    tree: dict[str, dict[str, dict[str, list[str]]]] = json.loads(path.read_text(encoding="utf-8"))
    # The municipalities have a placeholder where others have a city.
    placeholder = {"市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划"}
    return [
        Town(province, "" if city in placeholder else city, district, town)
        for province, cities in tree.items()
        for city, districts in cities.items()
        for district, towns in districts.items()
        for town in towns
    ]


def _syllables(path: Path) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            sounds = row["pinyin"].split()
            if len(sounds) == len(row["name"]):
                for sound, character in zip(sounds, row["name"], strict=True):
                    found.setdefault(sound, set()).add(character)
    return {sound: sorted(characters) for sound, characters in sorted(found.items())}
