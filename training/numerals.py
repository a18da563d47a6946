"""How people write numbers in Chinese addresses."""

from __future__ import annotations

DIGITS = "〇一二三四五六七八九"
FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def chinese(number: int) -> str:
    """Write 0 <= number < 10000 in Chinese numerals: 12 -> 十二, 105 -> 一百零五."""
    if not 0 <= number < 10000:
        raise ValueError(f"number must lie in 0..9999, got {number}")
    if number < 10:
        return "零" if number == 0 else DIGITS[number]
    text, gap = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            text += ("零" if gap and text else "") + DIGITS[digit] + name
            gap = False
        else:
            gap = bool(text)
    return text[1:] if text.startswith("一十") else text


def full_width(text: str) -> str:
    """Replace every ASCII graphic character by its full-width form."""
    return text.translate(FULL_WIDTH)
