"""`explain`: what a request may ask for beside the score, and the answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from service.answers import Explanation
from service.errors import InvalidField
from service.http.shapes import Flag, Maybe, Shape, Text

if TYPE_CHECKING:  # a service that explains nothing does not load it
    from service.comparison.divisions import Place

Explain: TypeAlias = "tuple[Place, ...] | None"
"""Where addresses are that do not say so; None where no explanation is asked for."""

FIELDS: Final[Mapping[str, Shape[object]]] = {
    "explain": Flag("Say in what the two addresses differ.", default=False),
    "default_province": Maybe(
        Text("The province of addresses that name none, for `explain`: 浙江省 or 浙江.")
    ),
    "default_city": Maybe(
        Text("The city of addresses that name none, for `explain`: 杭州市 or 杭州.")
    ),
}
"""Fields of a body, the last ones."""


def read(explain: bool, province: str | None, city: str | None) -> Explain:
    """What these fields ask for.

    Raises:
        InvalidField: A default is no province or city, or nothing is to be explained by it.
    """
    if not explain:
        for name, value in (("default_province", province), ("default_city", city)):
            if value is not None:
                raise InvalidField(f"{name} is for an explanation: send explain as true with it")
        return None
    from service.comparison.compare import default_place

    try:
        return default_place(province, city)
    except ValueError as error:
        raise InvalidField(f"default_{error}") from None


def of(pair: tuple[str, str], explain: Explain) -> Explanation | None:
    """In what two addresses differ, if that is asked for."""
    if explain is None:
        return None
    from service.comparison.compare import compare

    found = compare(*pair, explain)
    return {
        "conflicts": list(found.conflicts),
        "differences": [
            {"kind": one.kind, "address1": one.first, "address2": one.second}
            for one in found.differences
        ],
    }
