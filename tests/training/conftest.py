"""A tiny gazetteer, written here, so that no test needs the real files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from training.gazetteer import Gazetteer, Source, read
from training.world import World

_TREE = {
    "东海省": {
        "青州市": {"南湖区": ["长乐街道", "新桥镇"], "北山区": ["松林街道", "石门乡"]},
        "白水市": {"河西区": ["柳堤街道"], "云县": ["云中镇", "古渡乡"]},
    },
    "京都市": {"市辖区": {"东城区": ["钟楼街道", "和平街道"], "西城区": ["金鱼街道"]}},
}
_STEMS = ["阳光", "金桂", "翠湖", "春江", "锦绣", "明珠", "永安", "东方", "丽景", "紫薇"]
_KINDS = ["小区", "花园", "家园", "大厦", "公寓", "苑", "新村"]


def write_gazetteer(folder: Path) -> None:
    compounds = [stem + kind for stem in _STEMS for kind in _KINDS]
    compounds += [f"阳光{number}区" for number in range(30)]  # one stem that is common
    roads = [f"{stem}{kind}\t{9 - at}" for at, stem in enumerate(_STEMS[:8]) for kind in "路街"]
    places = [f"{stem}{kind}\t{at + 5}" for at, stem in enumerate(_STEMS) for kind in "村桥"]
    companies = ["标题", "日期", "", *(f"{stem}{kind}" for stem in _STEMS for kind in "达通")]
    rows = ["id,pid,deep,name,pinyin_prefix,pinyin,ext_id,ext_name"]
    rows += [
        '1,0,0,"青州","q","qing zhou","1","青州市"',
        '2,0,0,"清洲","q","qing zhou","2","清洲市"',
    ]
    files = {
        "modood_pcas.json": json.dumps(_TREE, ensure_ascii=False),
        "areacity_ok_data_level4.csv": "\ufeff" + "\n".join(rows),
        "bitlap_community.txt": "\n".join(compounds),
        "derived_bitlap_roads.tsv": "\n".join(roads),
        "THUOCL_diming.txt": "\n".join([*places, "石井\t3?"]),
        "wainshine_company_short_28w.txt": "\n".join(companies),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def gazetteer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gazetteer")
    write_gazetteer(folder)
    return folder


@pytest.fixture(scope="session")
def sources(gazetteer_folder: Path) -> tuple[Source, ...]:
    return tuple(
        Source(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "test", "this test")
        for path in sorted(gazetteer_folder.iterdir())
    )


@pytest.fixture(scope="session")
def tiny_gazetteer(gazetteer_folder: Path) -> Gazetteer:
    return read(gazetteer_folder)


@pytest.fixture(scope="session")
def world(tiny_gazetteer: Gazetteer) -> World:
    return World(tiny_gazetteer)
