"""Explanations of pairs, for requests and for files.

The comparison and its table of divisions are loaded only when an explanation is requested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from service.answers import Explanation

if TYPE_CHECKING:
    from service.comparison.divisions import Place

Explain: TypeAlias = "tuple[Place, ...] | None"
"""The division to assume for addresses that name none; None if no explanation is requested."""


def asked(
    explain: bool,
    province: str | None,
    city: str | None,
    *,
    prefix: str,
    remedy: str,
    error: type[Exception],
) -> Explain:
    """Check the parameters of an explanation.

    Args:
        explain: Whether an explanation is requested.
        province: The province to assume for addresses that name none; None for any.
        city: The city to assume; None for any.
        prefix: Put before `province` and `city` in errors, such as `--default-`.
        remedy: How to request an explanation, for errors, such as `give --explain`.
        error: The class of error to raise.

    Raises:
        error: A default is no known province or city, or no explanation is requested.
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
    """The explanation of a pair; None if none is requested."""
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
