"""Characters that say the same are read as the same, and numbers stay what they are."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.scoring.readable import plain

SAME = [
    ("恒大名都Ⅱ期", "恒大名都2期"),
    ("恒大名都II期", "恒大名都2期"),
    ("恒大名都ⅱ期", "恒大名都2期"),
    ("I期3栋", "1期3栋"),
    ("Ⅺ区", "11区"),
    ("②号楼", "2号楼"),
    ("⑫号楼", "12号楼"),
    ("㉑号楼", "21号楼"),
    ("❷号楼", "2号楼"),  # no decomposition, but a value
    ("⓶号楼", "2号楼"),
    ("⓴号楼", "20号楼"),
    ("㊁号楼", "2号楼"),
    ("⑴栋", "(1)栋"),
    ("㈠区", "(一)区"),
    ("2️⃣号楼", "2号楼"),  # a keycap
    ("１２号（Ａ座）", "12号(A座)"),
    ("1２号", "12号"),
    ("𝟏𝟐号", "12号"),  # mathematical digits
    ("٥号", "5号"),
    ("५号", "5号"),
    ("Ⓑ座", "B座"),
    ("🅱座", "B座"),
    ("𝐁座", "B座"),
    ("В座", "B座"),  # Cyrillic
    ("Β座", "B座"),  # Greek
    ("⼤连路⼀号", "大连路一号"),  # Kangxi radicals
    ("⻓沙⻄站", "长沙西站"),  # the other radicals, as PDF files give them
    ("⺠生路⻋站", "民生路车站"),
    ("蓮花路" + "\uf9fc", "蓮花路識"),  # a CJK compatibility ideograph
    ("杭州巿西湖区", "杭州市西湖区"),  # U+5DFF, another character
    ("文三路🏠5号A🏠座", "文三路🏠 5号A 🏠座"),  # the number is no part of a word
    ("80㎡", "80m2"),
    ("5½号", "5 1/2号"),
    ("№5", "No. 5"),
    ("5－2号", "5-2号"),
    ("5–2号", "5-2号"),
    ("5—2号", "5-2号"),
    ("5−2号", "5-2号"),
    ("5ー2号", "5-2号"),
    ("5～7号", "5~7号"),
    ("5〜7号", "5~7号"),
    ("二○一室", "二〇一室"),
    ("文三・路", "文三·路"),
    ("〔2020〕", "(2020)"),
    ("文三\u200b路\u2060478\ufeff号", "文三路478号"),
    ("文三\u202e路\u00ad478号", "文三路478号"),
    ("文三\u3000路\u00a0478号", "文三 路 478号"),
]
DIFFERENT = [
    ("恒大名都Ⅱ期", "恒大名都Ⅲ期"),
    ("②号楼", "③号楼"),
    ("1②号楼", "12号楼"),
    ("①②号楼", "12号楼"),
    ("1Ⅱ", "12"),
    ("⒈2", "12"),
    ("5½号", "51/2号"),
    ("80㎡3", "80m23"),
    ("十㊀号", "十一号"),
    ("𝟏②", "12"),
    ("5²", "52"),
]
KEPT = [
    "杭州市西湖区文三路478号华星时代广场A座",
    "ул. Ленина, 5",  # another alphabet stays itself
    "Λεωφόρος 5",
    "I座",
    "X区",
    "XI AN ROAD 12",
    "MIX广场",
    "VIP楼",
    "二〇一室",
    "𠮷野家",
    "",
    "   ",
]


@pytest.mark.parametrize(("text", "expected"), SAME)
def test_what_says_the_same_is_read_as_the_same(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_says_another_thing_stays_apart(first: str, second: str) -> None:
    assert plain(first) != plain(second)


@pytest.mark.parametrize("text", KEPT)
def test_plain_text_is_kept(text: str) -> None:
    assert plain(text) == text


_COMPATIBILITY = [
    chr(code)
    for code in range(0x20000)
    if unicodedata.category(chr(code)) in ("No", "Nl", "Nd") or code in range(0x2E80, 0x3400)
]
TEXT = st.lists(
    st.sampled_from(_COMPATIBILITY)
    | st.sampled_from("0123456789IVXabc号期路（）—～\u200b\u0301\x1f")
    | st.characters(codec="utf-8"),
    max_size=20,
).map("".join)


@given(TEXT)
@example("II\u2160")
@example("\x1f1\x1f2")
@example("Ⅹ®②")
def test_reading_a_second_time_changes_nothing(text: str) -> None:
    once = plain(text)
    assert plain(once) == once


@given(st.integers(0, 99), st.sampled_from(_COMPATIBILITY), st.integers(0, 99))
def test_a_number_never_joins_one_that_a_single_character_stands_for(
    before: int, char: str, after: int
) -> None:
    if unicodedata.category(char) == "Nd":
        return  # a digit among digits
    numbers = re.findall(r"\d+", plain(f"{before}{char}{after}"))
    assert (numbers[0], numbers[-1]) == (str(before), str(after))


@given(st.text("0123456789", min_size=1, max_size=5), st.sampled_from("０𝟎𝟘٠०"))
def test_digits_of_another_style_are_the_same_number(digits: str, zero: str) -> None:
    styled = "".join(chr(ord(zero) + int(digit)) for digit in digits)
    assert plain(f"文三路{styled}号") == f"文三路{digits}号"
