"""Text as a model was trained to read it: characters that say the same become one character.

`plain` follows Unicode's own tables: compatibility forms (NFKC), numeric values, and the ideographs
that stand for radicals (EquivalentUnifiedIdeograph.txt). A short list of look-alikes, as PDF files
and OCR produce them, is added. It needs nothing but the standard library, so that training can
prepare its text by the same function.

Numbers never merge: `1②` is read as `1 2` and not as `12`. What is invisible is left out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Characters that are read as they are. I, V and X may be Roman numbers.
_NOT_PLAIN: Final = re.compile(
    "[^ !-HJ-UWYZ\\[-~·‘’“”、。〇《》「」【】\u4e00-\u5dfe\u5e00-\u9fa5]"
)

# Where a number that one character stands for may meet another number, and a sign a word: BERT
# would take an emoji and the number beside it for one word, unknown as a whole.
_EDGE, _SIDE = "\x1f", "\x1e"
_TOUCHING: Final = re.compile(
    f"(?<=[0-9.,/])[{_EDGE}{_SIDE}]*{_EDGE}[{_EDGE}{_SIDE}]*(?=[0-9])"
    f"|(?<=[0-9A-Za-z]){_EDGE}*{_SIDE}|{_SIDE}{_EDGE}*(?=[0-9A-Za-z])"
)

_RADICALS: Final = (
    "⺁⺂⺃⺄⺅⺆⺇⺈⺉⺊⺋⺌⺍⺎⺏⺐⺑⺒⺓⺔⺕⺖⺗⺘⺙⺛⺜⺝⺞⺠⺡⺢⺣⺤⺥⺦⺧⺨⺩⺪⺫⺬⺭⺮⺯⺰⺱⺲⺳⺴⺵⺶⺷⺸⺹⺺⺻⺼"
    "⺽⺾⺿⻀⻁⻂⻃⻄⻅⻆⻇⻈⻉⻊⻋⻌⻍⻎⻏⻐⻑⻒⻓⻔⻕⻖⻗⻘⻙⻚⻛⻜⻝⻞⻟⻠⻡⻢⻣⻤⻥⻦⻧⻨⻩⻪⻫⻬⻭⻮⻯⻰⻱⻲"
)
_IDEOGRAPHS: Final = (
    "厂乛乚乙亻冂𠘨刀刂卜㔾小小兀尣尢𡯂巳幺彑𫜹忄心扌攵旡日月歺民氵氺灬爫爫丬牛犭王𤴔目示礻𥫗糹纟罓罒㓁冗𦉫羊𦍌𦍋耂肀聿肉"
    "𦥑艹艹艹虎衤覀西见角𧢲讠贝𧾷车辶辶辶邑钅長镸长门𨸏阝雨青韦页风飞食𩙿飠饣𩠐马骨鬼鱼鸟卤麦黄黾斉齐歯齿竜龙龜亀"
)

_LOOK_ALIKES: Final = dict(zip(_RADICALS, _IDEOGRAPHS, strict=True)) | {
    **dict.fromkeys("−─━╌╍⁃˗", "-"),
    **dict.fromkeys("・‧•∙⋅᛫", "·"),
    **dict.fromkeys("〔〖〘〚⦅", "("),
    **dict.fromkeys("〕〗〙〛⦆", ")"),
    **dict.fromkeys("〜〰∼", "~"),
    "巿": "市",
    "\u2044": "/",
    "∕": "/",
    "∶": ":",
    "♯": "#",
    "№": "No.",
}

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20dd-\u20e4\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
"""What Unicode has as ignorable beside the category Cf, and marks that enclose, as of a keycap."""

_NAMED_LETTER: Final = re.compile(
    "(?:NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL|REGIONAL INDICATOR SYMBOL) LETTER ([A-Z])"
)

# Typed as letters. `I`, `V` and `X` alone are mostly letters, as of a building.
_ROMAN: Final = {
    name: str(number)
    for number, name in enumerate(
        ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"], 1
    )
}
_TYPED_ROMAN: Final = re.compile(
    "(?<![0-9A-Za-z])(?<![A-Za-z] )(?:[IVX]{2,4}(?![0-9A-Za-z]| [A-Za-z])|[IVX](?=期))"
)

_HAN_NUMBERS: Final = "一二三四五六七八九十百零〇"
_ZERO: Final = re.compile(f"(?<=[{_HAN_NUMBERS}])[○◯]|[○◯](?=[{_HAN_NUMBERS}])")
_LONG_VOWEL: Final = re.compile("(?<=[0-9A-Za-z])ー(?=[0-9])")

_HAN: Final = re.compile("[\u4e00-\u9fff]")
_FOREIGN_WORD: Final = re.compile("[\u0370-\u052f]+")
_LATIN: Final = str.maketrans("АВЕЅІЈКМНОРСТУХΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABESIJKMHOPCTYXABEZHIKMNOPTYX")
"""Capitals of Cyrillic and Greek that look like Latin ones."""

_IN_CONTEXT: Final = re.compile("[IVXー○◯\u0370-\u052f]")
"""Characters whose neighbours decide what they are."""

_KEPT_BELOW: Final = 0x10000
"""Readings of these are kept: what a client sends cannot make the table grow without end."""


class _Readings(dict[str, str]):
    """The reading of each character, found when it is first asked for."""

    def __missing__(self, char: str) -> str:
        reading = _reading(char)
        if ord(char) < _KEPT_BELOW:
            self[char] = reading
        return reading


def plain(text: str) -> str:
    """The text with compatibility forms, look-alikes and Roman numbers in their plain form.

    A text that is plain already is returned as it is, at the price of one search. `plain` of its
    own result changes nothing.
    """
    if _NOT_PLAIN.search(text) is None:
        return text
    read = _NOT_PLAIN.sub(lambda found: _READINGS[found[0]], text)
    if _EDGE in read or _SIDE in read:
        read = _TOUCHING.sub(" ", read).replace(_EDGE, "").replace(_SIDE, "")
    read = unicodedata.normalize("NFC", read)
    return read if _IN_CONTEXT.search(read) is None else _in_context(read)


def _in_context(text: str) -> str:
    """What the characters beside another one make of it."""
    text = _LONG_VOWEL.sub("-", _ZERO.sub("〇", text))
    if _HAN.search(text):  # in a text of another alphabet they are what they look like
        text = _FOREIGN_WORD.sub(_latin, text)
    return _TYPED_ROMAN.sub(lambda found: _ROMAN.get(found[0], found[0]), text)


def _latin(word: re.Match[str]) -> str:
    latin = word[0].translate(_LATIN)
    return latin if latin.isascii() else word[0]


def _reading(char: str) -> str:
    """What one character is read as, with `_EDGE` or `_SIDE` where it must not touch others."""
    category = unicodedata.category(char)
    if category == "Cf" or _INVISIBLE.match(char):
        return ""
    if category in ("Cc", "Zl", "Zp"):
        return " " if char.isspace() and char not in (_EDGE, _SIDE) else ""
    if category == "Nd":  # of any script and style: they are written side by side as our own are
        return str(unicodedata.decimal(char))
    if category == "Pd":
        return _LOOK_ALIKES.get(char, "-")
    reading = _number(char) if category in ("No", "Nl") else _letter(char)
    if reading is None:
        reading = _LOOK_ALIKES.get(char) or unicodedata.normalize("NFKC", char)
        reading = "".join(_LOOK_ALIKES.get(one, one) for one in reading)
    if reading != char and (reading[:1].isdigit() or reading[-1:].isdigit() or reading[-1:] == "."):
        return f"{_EDGE}{reading}{_EDGE}"
    return f"{_SIDE}{char}{_SIDE}" if category == "So" and reading == char else reading


def _number(char: str) -> str | None:
    """The number of a circled, Roman or other single character; None if it is better spelled."""
    value = unicodedata.numeric(char, None)
    spelled = unicodedata.normalize("NFKC", char)
    if char == "〇" or value is None or value != int(value) or spelled[-1] in ").":
        return None
    # L, C, D and M are letters far more often than 50, 100, 500 and 1000.
    return None if spelled.upper() in ("L", "C", "D", "M") else str(int(value))


def _letter(char: str) -> str | None:
    """The letter in a sign that Unicode gives no decomposition for."""
    if not "\U0001f100" <= char <= "\U0001f1ff":
        return None
    found = _NAMED_LETTER.fullmatch(unicodedata.name(char, ""))
    return found and found[1]


_READINGS: Final = _Readings()
