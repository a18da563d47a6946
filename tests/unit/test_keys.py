"""API keys: who is let in, and what a change of their file does."""

from __future__ import annotations

import codecs
import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service import watch
from service.errors import SettingsError, Unauthorized
from service.http import keys
from service.http.keys import Keys
from tests.conftest import logged_here


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(keys, "_SETTLE_SECONDS", 0.0)


class Clock:
    """`time` as the keys see it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for room in (keys, watch):
        monkeypatch.setattr(room, "time", made)
    return made


def _keys(file: Path, grace: float = 60) -> Keys:
    return Keys(file, grace)


def _is_admitted(known: Keys, key: str) -> bool:
    try:
        known.name(f"Bearer {key}")
    except Unauthorized:
        return False
    return True


def _said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """Level, text and fields of each line that was logged."""
    usual = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    return [
        (one.levelname, one.message, {k: v for k, v in vars(one).items() if k not in usual})
        for one in logged_here(caplog)
    ]


def _line(name: str, key: str) -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def test_a_key_is_known_by_the_line_made_with_it(file: Path) -> None:
    key, line = keys.make("billing")
    other, _ = keys.make("billing")
    file.write_text(f"# ours\n\n{line}\n")
    known = _keys(file)
    assert known.name(f"Bearer {key}") == "billing"
    assert known.name(f"bearer   {key} ") == "billing"
    with pytest.raises(Unauthorized, match=r"^the API key is not one of this service's$"):
        known.name(f"Bearer {other}")
    assert key not in line
    assert len(key) == 43  # 256 bits in base64


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b", "Bearer é"]
)
def test_a_header_without_a_key_says_how_to_send_one(file: Path, header: str) -> None:
    file.write_text(_line("a", "abc"))
    with pytest.raises(Unauthorized) as caught:
        _keys(file).name(header)
    assert str(caught.value) == "send an API key, as Authorization: Bearer KEY"


def test_a_key_is_replaced_without_an_outage(file: Path) -> None:
    file.write_text(_line("a", "old"))
    known = _keys(file)
    file.write_text(_line("a", "old") + _line("a", "new"))
    assert {known.name("Bearer old"), known.name("Bearer new")} == {"a"}
    file.write_text(_line("a", "new"))
    assert known.name("Bearer new") == "a"
    with pytest.raises(Unauthorized):
        known.name("Bearer old")


def test_another_file_in_its_place_is_noticed(file: Path) -> None:
    file.write_text(_line("a", "old"))
    known = _keys(file)
    put = file.with_suffix(".new")
    put.write_text(_line("b", "new"))
    os.utime(put, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    put.replace(file)
    assert known.name("Bearer new") == "b"


@pytest.mark.parametrize("then", [None, "", "\n\n", "# all of them were revoked\n", "\ufeff"])
def test_a_file_removed_or_without_keys_admits_nobody(
    file: Path, then: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(_line("a", "abc"))
    known = _keys(file)
    file.unlink() if then is None else file.write_text(then)
    assert not _is_admitted(known, "abc")
    assert not _is_admitted(known, "abc")
    reason = (
        f"MGEO_API_KEYS_FILE={file}: there is no such file; `python -m service key NAME` writes "
        "lines for one"
        if then is None
        else "the file holds no key"
    )
    assert _said(caplog) == [("ERROR", "no API key is admitted any more", {"reason": reason})]
    assert known.warning() == f"no API key is admitted: {reason}"
    assert (known.admitted(), known.unreadable_seconds()) == (0, 0)
    file.write_text(_line("b", "def"))
    assert known.name("Bearer def") == "b"
    assert not _is_admitted(known, "abc")
    assert known.warning() is None


def _no_line(file: Path) -> None:
    file.write_text("nonsense\n")


def _cut_line(file: Path) -> None:
    file.write_text(_line("a", "x")[:-5])


def _not_utf8(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF16_LE + _line("a", "abc").encode("utf-16-le"))


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


_NO_LINE = (
    ", line 1: a name and 64 hexadecimal digits are expected; `python -m service key NAME` writes "
    "such a line"
)
_NO_FILE = ": it is not a regular file; name one"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_no_line, _NO_LINE),
        (_cut_line, _NO_LINE),
        (_not_utf8, ": it is not UTF-8 text; save it as UTF-8"),
        (_directory, _NO_FILE),
        (_pipe, _NO_FILE),
        (_loop, ": it cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read_keeps_the_last_keys_for_a_bounded_time(
    tmp_path: Path, clock: Clock, spoil: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(_line("a", "abc"))
    known = _keys(file, grace=60)
    spoil(file)
    assert _is_admitted(known, "abc")
    clock.now += 59
    assert _is_admitted(known, "abc")
    assert known.unreadable_seconds() == pytest.approx(59)
    reason = f"MGEO_API_KEYS_FILE={file}{why}"
    assert known.warning() == f"the last API keys are admitted, for a while: {reason}"
    clock.now += 1
    assert not _is_admitted(known, "abc")
    assert known.admitted() == 0
    assert known.unreadable_seconds() == pytest.approx(60)
    assert not _is_admitted(known, "abc")
    assert known.warning() == f"no API key is admitted: {reason}"
    assert _said(caplog) == [
        (
            "ERROR",
            "API keys cannot be read; the last ones are admitted for a while",
            {"reason": reason, "seconds_left": 60},
        ),
        ("ERROR", "no API key is admitted any more", {"reason": reason}),
    ]
    file.rmdir() if file.is_dir() else file.unlink()
    file.write_text(_line("a", "abc"))
    assert _is_admitted(known, "abc")
    assert known.unreadable_seconds() == 0


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_permission_lost_is_noticed_though_the_file_is_as_it_was(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(_line("a", "abc"))
    file.parent.chmod(0o755)
    known = _keys(file, grace=60)
    file.chmod(0)
    with _as_nobody():
        assert _is_admitted(known, "abc")
        clock.now += 61
        assert not _is_admitted(known, "abc")
    reason = f"MGEO_API_KEYS_FILE={file}: permission denied; let the service's user read it"
    assert logged_here(caplog)[0].__dict__["reason"] == reason
    file.chmod(0o644)
    assert _is_admitted(known, "abc")


def test_what_failed_for_another_reason_than_the_file_is_tried_again(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(_line("a", "abc"))
    known = _keys(file, grace=60)
    file.write_text(_line("a", "abc") + _line("b", "def"))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", lambda *_: (_ for _ in ()).throw(OSError(24, "too many")))
        assert _is_admitted(known, "abc")
    clock.now += 61  # the file has not changed since
    assert _is_admitted(known, "abc")
    assert _is_admitted(known, "def")


def test_a_file_is_read_again_once_and_only_if_it_has_changed(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "_SETTLE_SECONDS", 0.05)
    caplog.set_level(logging.INFO)
    file.write_text(_line("a", "abc"))
    known = _keys(file)
    before = clock.now
    assert known.admitted() == 1
    assert (_said(caplog), clock.now) == ([], before)
    file.write_text(_line("a", "abc") + _line("b", "def"))
    for _ in range(3):
        assert known.admitted() == 2
    assert _said(caplog) == [("INFO", "API keys read again", {"keys": 2})]
    assert clock.now == pytest.approx(before + 0.05), "one look whether it is still written to"


def test_a_secret_of_kubernetes_is_exchanged_by_its_links(tmp_path: Path) -> None:
    for version, key in (("v1", "old"), ("v2", "new")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "keys").write_text(_line("a", key))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "keys").symlink_to("..data/keys")
    known = _keys(tmp_path / "keys")
    assert _is_admitted(known, "old")
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert _is_admitted(known, "new")
    assert not _is_admitted(known, "old")
    (tmp_path / "..data").unlink()  # the secret is gone
    assert not _is_admitted(known, "new")


def test_a_file_is_read_once_it_is_written_as_a_whole(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = "".join(_line("a", str(number)) for number in range(100))
    parts = [whole[:end] for end in range(0, len(whole), len(whole) // 5)] + [whole]
    file.write_text(_line("a", "99"))
    known = _keys(file)

    def sleep(_: float) -> None:
        if parts:
            file.write_text(parts.pop(0))

    monkeypatch.setattr(clock, "sleep", sleep)
    file.write_text(parts.pop(0))
    assert _is_admitted(known, "99")
    assert known.admitted() == 100
    assert not parts
    # That it was read again is no warning.
    assert not [one for one in logged_here(caplog) if one.levelno >= logging.WARNING]


def test_whoever_comes_after_a_silence_waits_for_the_look(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_SETTLE_SECONDS", 0.1)
    file.write_text(_line("a", "old"))
    known = _keys(file)
    file.write_text(_line("a", "new"))
    admitted: list[bool] = []
    threads = [
        threading.Thread(target=lambda: admitted.append(_is_admitted(known, "old")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert admitted == [False] * 8


@pytest.mark.parametrize(
    "written",
    [
        lambda line: codecs.BOM_UTF8 + line.encode(),
        lambda line: line.replace("\n", "\r\n").encode(),
        lambda line: ("a " + line.split()[1].upper()).encode(),
        lambda line: (line.rstrip() + " # of the billing team, 计费\n").encode(),
        lambda line: ("  # indented\n\t" + line.replace(" ", "\t\t")).encode(),
        lambda line: (line + line).encode(),
    ],
    ids=["BOM", "CRLF", "capitals", "comment behind", "indented", "twice"],
)
def test_a_file_as_editors_and_people_write_it_is_read(file: Path, written: Any) -> None:
    file.write_bytes(written(_line("a", "abc")))
    assert _keys(file).name("Bearer abc") == "a"


def test_one_key_under_two_names_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(_line("a", "abc") + _line("b", "abc") + _line("b", "def"))
    _keys(file)
    assert _said(caplog) == [("WARNING", "one API key has several names", {"names": "a, b"})]


_NOBODY = (
    "admits nobody: add a line of `python -m service key NAME`, or unset the variable to admit "
    "everybody$"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", _NOBODY),
        ("# only words\n", _NOBODY),
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
        _keys(file)
    assert "sk-live" not in str(caught.value)


def test_a_missing_file_stops_the_start(file: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such file"):
        _keys(file)


@pytest.mark.parametrize("name", ["", "a b", "路", "-a", "a" * 65])
def test_a_name_that_the_file_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name a key"):
        keys.make(name)
