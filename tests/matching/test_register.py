"""A register: what is found in it, and that its files are whole or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import RegisterError
from service.retrieval import files, index
from service.retrieval.register import Entry
from service.retrieval.terms import sought, terms
from tests.conftest import examples

ADDRESSES = [
    "杭州市西湖区文三路478号华星时代广场A座",
    "杭州市西湖区文三路11号",
    "杭州市西湖区文三路116号",
    "杭州市滨江区江南大道1088号",
    "南京市栖霞区仙林街道文枢东路2号商住楼4楼",
    "上海市浦东新区金桥大道绿色新都116栋2单元",
    "",
]
ENTRIES = [Entry(f"A{place}", address) for place, address in enumerate(ADDRESSES)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    files.write(tmp_path / "register", ENTRIES)
    return tmp_path / "register"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("文三路478号", "文三路４７８号"),
        ("文三路三号楼", "文三路3号楼"),
        ("文三路十二栋", "文三路12栋"),
        ("文三路一百零五号", "文三路105号"),
        ("文三路二〇一室", "文三路201室"),
        ("a座", "Ａ座"),
        ("文三路，478号", "文三路 478 号"),
    ],
)
def test_ways_of_writing_have_the_same_terms(one: str, other: str) -> None:
    assert terms(one) == terms(other)


@pytest.mark.parametrize(
    ("one", "other"), [("文三路11号", "文三路116号"), ("三里屯", "3里屯"), ("A座", "B座")]
)
def test_other_places_have_other_terms(one: str, other: str) -> None:
    assert terms(one) != terms(other)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("文三路478号华星时代广场", 0),
        ("文三路11号", 1),
        ("文三路116号", 2),
        ("江南大道1088", 3),
        ("文枢东路2号书店", 4),
        ("绿色新都一百一十六栋", 5),
    ],
)
def test_the_likeliest_entry_comes_first(directory: Path, query: str, place: int) -> None:
    register = files.read(directory)
    [found] = register.candidates([query], 3)
    assert found[0] == place
    assert register.entry(int(found[0])) == ENTRIES[place]


def test_a_share_of_one_is_the_address_itself(directory: Path) -> None:
    register, asked = files.read(directory), [*ADDRESSES[:-1], "文三路", "Zürich"]
    found = register.candidates_with_shares(asked, 4)
    assert [places.tolist() for places, _ in found] == [
        places.tolist() for places in register.candidates(asked, 4)
    ]
    for place, (places, shares) in enumerate(found[: len(ADDRESSES) - 1]):
        assert places[0] == place
        assert shares[0] == pytest.approx(1)
        assert [*shares] == sorted(shares, reverse=True)
        assert 0 < shares[-1] < 0.8
    assert len(found[-1][0]) == 0
    assert register.candidates_with_shares([], 4) == []


def test_the_house_counts_for_more_than_the_areas_it_lies_in() -> None:
    area = "江苏省南京市玄武区梅园新村街道"
    entries = [f"{area}都路{number}号" for number in range(30)] + ["珠江路517号公寓"]
    [found] = index.build(entries).candidates([f"{area}珠江路517号六单元"], 1)
    assert entries[int(found[0])] == "珠江路517号公寓"


@pytest.mark.parametrize(
    ("address", "light"),
    [
        ("江苏省南京市玄武区珠江路517号", {"江苏", "苏省", "省南", "玄武", "武区", "区"}),
        ("珠江路517号", set()),
        ("玄武区", set()),
        ("鼓楼区域大厦3号", set()),
        ("", set()),
    ],
)
def test_only_areas_at_the_beginning_count_for_less(address: str, light: set[str]) -> None:
    counted = dict(sought(address))
    assert light <= {term for term, count in counted.items() if count < 1}
    assert bool(light) == any(count < 1 for count in counted.values())
    assert {term for term, _ in sought(address)} <= set(terms(address))


def test_what_shares_nothing_finds_nothing(directory: Path) -> None:
    register = files.read(directory)
    assert [len(found) for found in register.candidates(["", "长春", "、。"], 5)] == [0, 0, 0]


@settings(max_examples=examples(10))
@given(
    st.lists(
        st.text(st.sampled_from("甲乙丙丁戊己庚辛壬癸路号0123456789"), min_size=2, max_size=12),
        min_size=1, max_size=30, unique=True,
    )
)  # fmt: skip
def test_an_entry_is_among_the_first_for_its_own_address(addresses: list[str]) -> None:
    """Laws: no more than asked for, none twice, and alone or among others the same answer."""
    built = index.build(addresses)
    together = built.candidates(addresses, 5)
    for place, (address, found) in enumerate(zip(addresses, together, strict=True)):
        assert len(set(found.tolist())) == len(found) <= 5
        [alone] = built.candidates([address], 5)
        assert np.array_equal(alone, found)
        [all_of_them] = built.candidates([address], len(addresses))
        assert place in all_of_them


def test_terms_that_most_entries_have_do_not_decide() -> None:
    many = [f"文三路{number}号" for number in range(1, 3001)] + ["江南大道华星大厦"]
    [found] = index.build(many).candidates(["文三路华星大厦号"], 1)
    assert many[int(found[0])] == "江南大道华星大厦"


@pytest.fixture(scope="module")
def large() -> tuple[index.Index, list[str]]:
    """An index of more entries than `_DEPTH`, with common terms and rare ones."""
    roads = [f"{one}{other}路" for one in "甲乙丙丁戊己庚辛壬癸" for other in "子丑寅卯辰巳午未"]
    entries = [f"滨江区{road}{number}号" for road in roads for number in range(11, 51)]
    return index.build(entries), entries


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Makes a search have two stages; has how many entries each first stage left to the second."""
    left: list[int] = []
    second = index.Index._with_common

    def noted(self: index.Index, asked: object, near: index.Found, most: int) -> index.Found:
        left.append(len(near[0]))
        return second(self, asked, near, most)

    with monkeypatch.context() as patch:
        patch.setattr(index.Index, "_with_common", noted)
        for name, value in (("_MANY", 0), ("_COMMON", 0.03), ("_DEPTH", 80)):
            patch.setattr(index, name, value)
        yield left


def _whole(built: index.Index, asked: list[str], most: int) -> list[index.Found]:
    """What one stage finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_MANY", built.size)
        return built.candidates_with_shares(asked, most)


@pytest.mark.parametrize("most", [1, 20])
def test_two_stages_find_what_one_does(
    large: tuple[index.Index, list[str]], staged: list[int], most: int
) -> None:
    built, entries = large
    asked = [*entries[::90], "甲子路与癸未路口", "庚路13号楼", "", "长春"]
    every = _whole(built, asked, len(entries))
    found = built.candidates_with_shares(asked, most)
    assert len(staged) > 30
    for (places, shares), (_, best), (each, of_each) in zip(
        found, _whole(built, asked, most), every, strict=True
    ):
        assert shares == pytest.approx(best, abs=1e-6)
        known = dict(zip(each.tolist(), of_each.tolist(), strict=True))
        assert [known[place] for place in places.tolist()] == pytest.approx(shares.tolist())


@pytest.mark.parametrize("query", ["甲", "甲路", "辛癸", "子己路99号"])
def test_a_query_with_few_entries_for_its_rare_terms_is_searched_as_a_whole(
    large: tuple[index.Index, list[str]], staged: list[int], query: str
) -> None:
    built, _ = large
    [found] = built.candidates_with_shares([query], 5)
    [whole] = _whole(built, [query], 5)
    assert len(whole[0]) == 5
    assert [part.tolist() for part in found] == [part.tolist() for part in whole]
    assert not staged


def test_the_same_entries_are_the_same_version_and_others_another(tmp_path: Path) -> None:
    versions = [
        files.write(tmp_path / str(number), entries)[0]
        for number, entries in enumerate([ENTRIES, ENTRIES, ENTRIES[1:], ENTRIES[::-1]])
    ]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_a_register_needs_an_entry(directory: Path) -> None:
    with pytest.raises(RegisterError, match="needs one at least"):
        files.write(directory, [])
    files.check(directory)
    assert files.read(directory).candidates([], 5) == []


def test_one_that_is_open_goes_on_while_it_is_replaced(directory: Path) -> None:
    register = files.read(directory)
    version, _ = files.write(directory, [Entry("B", "长春市人民大街1号")])
    assert register.entry(0) == ENTRIES[0]
    assert register.candidates(["文三路11号"], 1)[0][0] == 1
    again = files.read(directory)
    assert (again.version, len(again), again.entry(0).id) == (version, 1, "B")
    folders = [path.name for path in directory.iterdir() if path.is_dir()]
    assert folders == [version]


def test_a_run_that_is_cut_off_leaves_the_old_one(directory: Path) -> None:
    def cut_off() -> object:
        yield Entry("B", "长春市人民大街1号")
        raise KeyboardInterrupt

    before = files.manifest(directory)
    with pytest.raises(KeyboardInterrupt):
        files.write(directory, cut_off())  # type: ignore[arg-type]
    assert files.manifest(directory) == before
    files.check(directory)
    assert not list(directory.glob(".making-*"))


def test_what_a_killed_run_left_is_removed_by_the_next(directory: Path) -> None:
    (directory / ".making-x").mkdir()
    files.write(directory, ENTRIES)
    assert not (directory / ".making-x").exists()
    files.check(directory)


def test_folders_of_others_stay(directory: Path) -> None:
    (directory / "notes").mkdir()
    files.write(directory, ENTRIES[1:])
    assert (directory / "notes").is_dir()


def test_damage_is_found_by_its_checksum(directory: Path) -> None:
    told = files.manifest(directory)
    assert len(told["files"]) > 2
    for name in told["files"]:
        copy = directory.with_name(name)
        shutil.copytree(directory, copy)
        path = copy / told["version"] / name
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(RegisterError, match=f"{name} is damaged: build it anew"):
            files.check(copy)


def test_what_is_not_whole_is_refused_at_once(directory: Path) -> None:
    told = files.manifest(directory)
    folder = directory / told["version"]
    path = folder / "addresses.txt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RegisterError, match=r"addresses.txt is not whole"):
        files.read(directory)
    path.unlink()
    with pytest.raises(RegisterError, match="lacks files"):
        files.read(directory)
    with pytest.raises(RegisterError, match="lacks files"):
        files.check(directory)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is no register"),
        ("{", "cannot be read"),
        ("[]", "is not of format"),
        (json.dumps({"format": 99}), "is not of format"),
        (json.dumps({"format": files.FORMAT}), "is not whole: build it anew"),
        (
            json.dumps({"format": files.FORMAT, "version": "x", "entries": 1, "files": []}),
            "is damaged: build it anew",
        ),
    ],
)
def test_what_is_no_register_is_said_in_one_line(
    tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / files.MANIFEST).write_text(text)
    with pytest.raises(RegisterError, match=said) as error:
        files.read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["values.npy", "ids-starts.npy"])
def test_an_array_that_is_none_is_said_in_one_line(directory: Path, name: str) -> None:
    path = directory / files.manifest(directory)["version"] / name
    path.write_bytes(b"X" * 16 + path.read_bytes()[16:])
    with pytest.raises(RegisterError, match="is damaged: build it anew"):
        files.read(directory)


@pytest.mark.parametrize("name", ["values.npy", "addresses.txt"])
@pytest.mark.parametrize("is_missing", [False, True])
def test_building_a_damaged_one_anew_mends_it(
    directory: Path, name: str, *, is_missing: bool
) -> None:
    """The same rows have the same version, and so the name of the folder that is damaged."""
    version = files.manifest(directory)["version"]
    path = directory / version / name
    path.unlink() if is_missing else path.write_bytes(b"X" * path.stat().st_size)
    files.write(directory, ENTRIES)
    files.check(directory)
    assert sorted(path.name for path in directory.iterdir()) == sorted([version, files.MANIFEST])


@pytest.mark.parametrize("name", ["_save", "_to_disk"])
def test_a_full_disk_is_named_with_the_reason(
    directory: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(directory.rglob("*"))
    monkeypatch.setattr(files, name, full)
    with pytest.raises(OSError, match="No space left") as raised:
        files.write(directory, ENTRIES[1:])
    assert raised.value.filename == str(directory)
    assert sorted(directory.rglob("*")) == before


def test_an_array_that_a_disk_does_not_take_says_why() -> None:
    with pytest.raises(OSError, match="No space left on device") as raised:
        files._save(Path("/dev/full"), np.zeros(1 << 20))
    assert raised.value.errno == errno.ENOSPC


def test_an_array_is_written_as_numpy_does(tmp_path: Path) -> None:
    """Versions are checksums of these files, so their bytes may not change."""
    array = np.arange(1 << 17, dtype=np.float32)
    files._save(tmp_path / "own.npy", array)
    np.save(tmp_path / "numpy.npy", array)
    assert (tmp_path / "own.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
