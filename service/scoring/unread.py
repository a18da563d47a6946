"""What of a text the tokenizer hands the model as nothing, or as the one token for all it lacks."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

STAND_INS: Final = frozenset("?*\ufffd□■▯〓")
"""What stands for a character that an encoding, a font or a mask has taken away."""

_NEVER_LOST: Final = re.compile(
    "[^\t\n\r !-)+->@-~\u00a0-\u02ff\u2000-\u206f\u3000-\u3012\u3014-\u3029"
    "\u3400-\u4db5\u4e00-\u9fa5\uff01-\uff5e]"
)
"""Finds the characters that a tokenizer may drop without a trace, and `STAND_INS`."""


class Unread(NamedTuple):
    """What is not read of one text.

    Attributes:
        share: Of its characters, from 0 to 1; blanks and what is invisible do not count.
        characters: These characters, in order and lower case.
    """

    share: float
    characters: str


NOTHING: Final = Unread(0.0, "")


def may_be_lost(text: str) -> bool:
    """Whether a character could be lost that no unknown token tells of. Takes one search."""
    return _NEVER_LOST.search(text) is not None


def of(text: str, spans: list[tuple[int, int]], end: int) -> Unread:
    """What is not read of a text.

    Args:
        text: As the tokenizer was given it.
        spans: Start and end of each token that the vocabulary has, in characters.
        end: Where the model's view of the text ends; what was cut off does not count.
    """
    read = {at for start, stop in spans for at in range(start, stop)}
    lost: list[str] = []
    visible = 0
    for at, char in enumerate(text[:end]):
        category = unicodedata.category(char)
        if category[0] == "Z" or category in ("Cc", "Cf"):
            continue
        if category[0] == "M":
            # Without the vowel sign of a letter that is not read two words would be one.
            lost += [char] if lost and at - 1 not in read else []
            continue
        visible += 1
        # A private or unassigned character is dropped, also within the span of a token.
        if at not in read or char in STAND_INS or category in ("Co", "Cn"):
            lost.append(char)
    return Unread(min(1.0, len(lost) / visible), "".join(lost).lower()) if lost else NOTHING
