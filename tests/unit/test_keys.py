"""API keys: who is let in, and what a change of their file does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from service.errors import SettingsError, Unauthorized
from service.http import keys
from service.http.keys import Keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", 0.0)


def _line(name: str, key: str) -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def test_a_key_is_known_by_the_line_made_with_it(file: Path) -> None:
    key, line = keys.make("billing")
    other, _ = keys.make("billing")
    file.write_text(f"# ours\n\n{line}\n")
    known = Keys(file)
    assert known.name(f"Bearer {key}") == "billing"
    assert known.name(f"bearer   {key} ") == "billing"
    with pytest.raises(Unauthorized, match="not one of"):
        known.name(f"Bearer {other}")
    assert key not in line
    assert len(key) >= 43  # 256 bits in base64


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b", "Bearer é"]
)
def test_a_header_without_a_key_says_how_to_send_one(file: Path, header: str) -> None:
    file.write_text(_line("a", "abc"))
    with pytest.raises(Unauthorized, match="Authorization: Bearer KEY"):
        Keys(file).name(header)


def test_a_key_is_replaced_without_an_outage(file: Path) -> None:
    file.write_text(_line("a", "old"))
    known = Keys(file)
    file.write_text(_line("a", "old") + _line("a", "new"))
    assert {known.name("Bearer old"), known.name("Bearer new")} == {"a"}
    file.write_text(_line("a", "new"))
    assert known.name("Bearer new") == "a"
    with pytest.raises(Unauthorized):
        known.name("Bearer old")


def test_another_file_in_its_place_is_noticed(file: Path) -> None:
    file.write_text(_line("a", "old"))
    known = Keys(file)
    put = file.with_suffix(".new")
    put.write_text(_line("b", "new"))
    os.utime(put, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    put.replace(file)
    assert known.name("Bearer new") == "b"


@pytest.mark.parametrize("then", [None, "", "nonsense\n", _line("a", "x")[:-5]])
def test_a_file_that_became_wrong_changes_nothing_and_is_logged(
    file: Path, then: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(_line("a", "abc"))
    known = Keys(file)
    file.unlink() if then is None else file.write_text(then)
    assert known.name("Bearer abc") == "a"
    assert known.name("Bearer abc") == "a"
    assert [record.message for record in caplog.records] == ["API keys stay as they were"]
    file.write_text(_line("b", "def"))
    assert known.name("Bearer def") == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "admits nobody"),
        ("# only words\n", "admits nobody"),
        (_line("a", "x") + "sk-live-12345\n", "line 2: a name and 64 hexadecimal digits"),
        ("a b c\n", "line 1"),
        (_line("a" * 65, "x"), "line 1"),
    ],
)
def test_a_wrong_file_stops_the_start_and_is_not_repeated(
    file: Path, text: str, message: str
) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        Keys(file)
    assert "sk-live" not in str(caught.value)


def test_a_missing_file_stops_the_start(file: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        Keys(file)


@pytest.mark.parametrize("name", ["", "a b", "路", "-a", "a" * 65])
def test_a_name_that_the_file_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name a key"):
        keys.make(name)
