"""Encodings of text files: their names, and which of them bytes are in."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable

_NAMES = {
    "utf-8": "utf-8",
    "ascii": "utf-8",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "utf-16": "utf-16-le",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "utf-32": "utf-32-le",
    "utf-32-le": "utf-32-le",
    "utf-32-be": "utf-32-be",
}
"""The encoding that files are read in, for each name of Python's. It may be a superset: GB18030 has
all of GBK and GB2312."""

KNOWN = "utf-8, gb18030 (also gbk, gb2312, cp936), big5, utf-16, utf-16-be or utf-32"

_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-32-le": codecs.BOM_UTF32_LE,  # before UTF-16's, which it begins with
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}

_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_NARROW = ("utf-8", "gb18030", "big5hkscs")

_ENOUGH, _CLEARLY, _HARDLY = 0.6, 0.9, 0.7
"""Shares of common characters in a text. From the first on an encoding is suggested, from the
second on it is certain, and below the third it is doubted."""

_SAMPLE = 100_000
"""Characters that are looked at."""

_IDEOGRAPH = re.compile("[\u4e00-\u9fff]")
_USUAL = re.compile("[\t\r\n -~\u2018-\u201d\u3000-\u303f\u4e00-\u9fff\uff00-\uff5e]")


def normalized(name: str) -> str | None:
    """The encoding that a name means, as files are read by it, or None if it is not known."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return None
    return _NAMES.get(found.removesuffix("-sig"))


def shown(encoding: str) -> str:
    """An encoding's name in messages, which `--encoding` takes too."""
    return {"big5hkscs": "big5"}.get(encoding, encoding)


def of_bom(begin: bytes) -> tuple[str, bytes] | None:
    """The encoding that a file's first bytes name, and these bytes."""
    for encoding, bom in _BOMS.items():
        if begin.startswith(bom):
            return encoding, bom
    return None


def mistaken(begin: bytes, encoding: str) -> str | None:
    """The encoding that a file without a BOM is in, where it plainly is not the one given.

    Text in GB18030 decodes as Big5 and the other way about, and much of UTF-8 as GB18030: without
    an error, and into other characters.

    Args:
        begin: The first bytes, which may end within a character.
        encoding: The one given.
    """

    def share(other: str) -> float:
        return _share_common([begin], other, is_whole=False)

    if encoding in _WIDE:
        return None if share(encoding) > 0 else max(_NARROW, key=share)
    wide = next((e for e in _WIDE if b"\0" in begin and share(e) > _CLEARLY), None)
    if wide or encoding == "utf-8":
        return wide
    if share("utf-8") > 0 and _IDEOGRAPH.search(begin.decode("utf-8", "ignore")):
        return "utf-8"
    [other] = {"gb18030", "big5hkscs"} - {encoding}
    return other if share(encoding) < _HARDLY and share(other) > _CLEARLY else None


def likely(blocks: Callable[[], Iterable[bytes]]) -> str | None:
    """The encoding that all of a file decodes in, and that its characters are common in."""
    shares = {e: _share_common(blocks(), e) for e in (*_NARROW, *_WIDE[:2])}
    best = max(shares, key=lambda encoding: shares[encoding])
    return best if shares[best] > _ENOUGH else None


def _share_common(blocks: Iterable[bytes], encoding: str, *, is_whole: bool = True) -> float:
    """Share of the text's characters, from 0 to 1, that are common in texts of this encoding.

    0 if it is not in this encoding at all. ASCII says nothing, except in UTF-16 and UTF-32.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    sample = ""
    try:
        for block in blocks:
            decoded = decoder.decode(block)
            if len(sample) < _SAMPLE:
                sample += decoded if encoding in _WIDE else re.sub("[\x01-\x7f]", "", decoded)
        if is_whole:
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return 0
    if encoding == "utf-8":
        return 1  # nothing else decodes so
    if encoding in _WIDE:
        # A line end has a NUL there, which no other text has.
        return len(_USUAL.findall(sample)) / len(sample) if re.search("[\r\n]", sample) else 0
    return sum(map(_COMMON[encoding], sample)) / max(1, len(sample))


def _is_in_gb2312(character: str) -> bool:
    return bool(character.encode("gb2312", "ignore"))


def _is_in_big5_level_1(character: str) -> bool:
    return b"\xa1" <= character.encode("big5", "ignore")[:1] <= b"\xc6"


_COMMON = {"gb18030": _is_in_gb2312, "big5hkscs": _is_in_big5_level_1}
