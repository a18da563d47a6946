"""The fields of a body that ask for an explanation beside the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.comparison import explaining
from service.comparison.explaining import Explain
from service.errors import InvalidField
from service.http.shapes import Flag, Maybe, Shape, Text

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
        InvalidField: A default is no province or city, or it is given without `explain`.
    """
    return explaining.asked(
        explain,
        province,
        city,
        prefix="default_",
        remedy="send explain as true",
        error=InvalidField,
    )
