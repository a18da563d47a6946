"""An explanation of a pair, as requests and files have it: when it is asked for, and what it says.

A process that explains nothing does not load the comparison and its table of divisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from service.answers import Explanation

if TYPE_CHECKING:
    from service.comparison.divisions import Place

Explain: TypeAlias = "tuple[Place, ...] | None"
"""The default place of addresses that name none; None where no explanation is asked for."""


def asked(
    explain: bool,
    province: str | None,
    city: str | None,
    *,
    prefix: str,
    remedy: str,
    error: type[Exception],
) -> Explain:
    """What a caller asks for.

    Args:
        explain: Whether it wants an explanation.
        province: The province of addresses that name none.
        city: Likewise the city.
        prefix: What the caller writes before `province` and `city`, such as `--default-`.
        remedy: How the caller asks for an explanation, such as `give --explain`.
        error: Raised with one line that says what is wrong.

    Raises:
        error: A default is no province or city, or it is given without asking for an explanation.
    """
    if not explain:
        for level, value in (("province", province), ("city", city)):
            if value is not None:
                raise error(f"{prefix}{level} is for an explanation: {remedy} with it")
        return None
    from service.comparison.compare import default_place

    try:
        return default_place(province, city)
    except ValueError as wrong:
        raise error(f"{prefix}{wrong}") from None


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
