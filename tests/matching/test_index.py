"""`index build` and `index info` on the command line."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.__main__ import main
from service.retrieval import files

TABLE = "name,where\n甲,文三路478号\n乙,无\n丙,\n丁,文三路11号\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE, "utf-8")
    return path


def test_a_table_becomes_a_register(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.with_name("register")
    assert main(["index", "build", str(table), "-o", str(out), "--address", "where"]) == 0
    told = capsys.readouterr().err
    assert "2 rows have no address and are left out: row 2: address is a placeholder" in told
    assert "row 3: address is empty" in told
    assert "2 entries" in told
    register = files.read(out)
    assert [register.entry(place) for place in range(2)] == [
        ("1", "文三路478号"),
        ("4", "文三路11号"),
    ]
    assert main(["index", "info", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 2


def test_ids_come_from_their_column(table: Path) -> None:
    out = table.with_name("register")
    words = ["index", "build", str(table), "-o", str(out), "--address", "2", "--id", "name"]
    assert main(words) == 0
    register = files.read(out)
    assert [register.entry(place).id for place in range(2)] == ["甲", "丁"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "has no column 'address'"),
        (("--address", "where", "--id", "key"), "has no column 'key'"),
        (("--address", "where", "--no-header"), "has no column 'where'"),
        (("--address", "where", "--max-address-chars", "x"), "a whole number is expected"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    table: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = table.with_name("register")
    assert main(["index", "build", str(table), "-o", str(out), *words]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_table_without_addresses_makes_no_register(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text("address\n无\n\n", "utf-8")
    out = table.with_name("register")
    assert main(["index", "build", str(table), "-o", str(out)]) == 2
    assert "no row has an address" in capsys.readouterr().err
    assert not out.exists()


def test_a_register_is_replaced_only_by_force(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = table.with_name("register")
    words = ["index", "build", str(table), "-o", str(out), "--address", "where"]
    assert main(words) == 0
    assert main(words) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def test_other_files_are_not_built_over(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["index", "build", str(table), "--address", "where", "-o"]
    assert main([*words, str(table.parent)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert main([*words, str(table)]) == 2
    assert "is not a directory" in capsys.readouterr().err
    assert table.read_text("utf-8") == TABLE


def test_info_of_what_is_none_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "info", str(tmp_path)]) == 2
    assert "is no register" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (pa.array([7, None, 12345678901234567]), ["7", "", "12345678901234567"]),
        (pa.array(["007", "甲", ""]).cast(pa.binary()), ["007", "甲", ""]),
        (pa.array(["007", "甲", "007"]).dictionary_encode(), ["007", "甲", "007"]),
    ],
)
def test_ids_in_parquet_need_not_be_text(tmp_path: Path, ids: pa.Array, read: list[str]) -> None:
    addresses = [f"文三路{number}号" for number in range(3)]
    pq.write_table(pa.table([ids, addresses], ["id", "address"]), tmp_path / "in.parquet")
    words = ["index", "build", str(tmp_path / "in.parquet"), "-o", str(tmp_path / "register")]
    assert main([*words, "--id", "id"]) == 0
    register = files.read(tmp_path / "register")
    assert [register.entry(place).id for place in range(3)] == read


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "mgeo: interrupted: nothing is kept\n"),
        (OSError(errno.ENOSPC, "No space left on device", "disk"), 2, "disk: No space left on"),
        (OSError("2097153 requested and 0 written"), 2, "2097153 requested and 0 written"),
    ],
)
def test_a_build_that_is_cut_off_says_so_and_leaves_nothing(
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: BaseException,
    status: int,
    said: str,
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(files, "_exchange", fail)
    out = table.with_name("register")
    assert main(["index", "build", str(table), "-o", str(out), "--address", "where"]) == status
    assert said in capsys.readouterr().err
    assert not out.exists()
