"""Which pairs get no score: an address is missing, or the model could not tell it from others."""

from __future__ import annotations

from typing import Final

from service.errors import MissingFields, NotAnAddress, RequestError, Unreadable
from service.scoring.placeholders import is_placeholder
from service.scoring.tokens import TokenizedPair

MOST_UNREAD: Final = 0.5
"""Share of an address that may be unread where the other one has other characters there."""

REFUSALS: Final = (MissingFields, NotAnAddress, Unreadable)
"""The kinds of them."""

FIELDS: Final = ("address1", "address2")


def of(pair: tuple[str, str], tokens: TokenizedPair) -> RequestError | None:
    """Why a pair is not scored; None if it is.

    Args:
        pair: As the client sent it.
        tokens: As the model would read it.
    """
    if not tokens.is_readable:
        return MissingFields("an address has no readable character")
    for field, text in zip(FIELDS, pair, strict=True):
        if is_placeholder(text):
            return NotAnAddress(
                f"{field} is a placeholder such as N/A, or has no letter and no digit: "
                "give an address, or leave this pair out"
            )
    if tokens.unread_differs and tokens.unread > MOST_UNREAD:
        return Unreadable(
            f"{tokens.unread:.0%} of an address are characters that the model does not know, and "
            "the other address has others there: write both in Chinese characters"
        )
    return None
