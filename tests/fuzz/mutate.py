"""Makes bad input from good: of bytes, and of JSON values. The same chance gives the same input."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

_BYTES = (
    b"\0",
    b"\xff",
    b"\r\n",
    b"\n",
    b" ",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"\\",
    b"\xed\xa0\x80",
    b"-",
    b"9",
)
"""Bytes that mean something to a parser."""

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1e308, -1e-308, 0.5, "", " ",
    "\0", "\ud800", "\u200b", "\U0001f3e0", "路" * 600, "a" * 70_000, "NaN", "1", [], {}, [[]],
    [None] * 300, {"": ""}, "../../etc/passwd", "%s%n", "\r\nX: y", float("nan"), float("inf"),
)  # fmt: skip
"""Values that are rarely expected."""


def of_bytes(chance: Random, data: bytes) -> bytes:
    """`data` with a few places changed, cut out, repeated or put in."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(6):
            case 0 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(made):
                made[at] = chance.randrange(256)
            case 2:
                made[at:at] = chance.choice(_BYTES) * chance.choice((1, 1, 2, 50))
            case 3:
                del made[at : at + chance.choice((1, 2, 8, 100))]
            case 4:
                made[at:at] = made[at : at + chance.choice((1, 4, 40))] * chance.choice((1, 3))
            case 5 if chance.random() < 0.3:
                del made[at:]
    return bytes(made)


def of_json(chance: Random, value: Any) -> Any:
    """A copy of `value` with one to three places changed."""
    made = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 2, 3))):
        made = _changed(chance, made)
    return made


def written(chance: Random, value: Any) -> bytes:
    """`value` as JSON, in one of the ways that JSON may be written."""
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    data = text.encode("utf-8", "surrogatepass")
    return of_bytes(chance, data) if chance.random() < 0.1 else data


def _changed(chance: Random, value: Any) -> Any:
    inner: list[Any] = (
        list(value)
        if isinstance(value, dict)
        else list(range(len(value)))
        if isinstance(value, list)
        else []
    )
    # Deep inside more often than at the top, which everything checks.
    if inner and chance.random() < 0.8:
        key = chance.choice(inner)
        match chance.randrange(5):
            case 0:
                del value[key]
            case 1 if isinstance(value, dict):
                value[
                    chance.choice(("", "ADDRESS1", "pairs", "\ud83d", "x" * 300, str(key) + " "))
                ] = value[key]
            case 2 if isinstance(value, list):
                value[key:key] = [value[key]] * chance.choice((1, 2, 300))
            case _:
                value[key] = _changed(chance, value[key])
        return value
    if isinstance(value, str) and value and chance.random() < 0.4:
        at = chance.randrange(len(value))
        return (
            value[:at]
            + chr(chance.choice((0, 9, 0x3000, 0x200D, 0xFFFD, 0x1F3E0, chance.randrange(0xD7FF))))
            + value[at:]
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool) and chance.random() < 0.5:
        return chance.choice((-value, value + 1, value * 1000, float(value), str(value)))
    return copy.deepcopy(chance.choice(STRANGE))
