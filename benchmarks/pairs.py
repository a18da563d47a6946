"""Generated address pairs with the token lengths of real ones, and the requests made of them.

Only the standard library: the load generator imports this at every start.

No pair is sent twice: four characters of each are a counter. So a cache of results can flatter no
figure, whatever its setting, and the service is measured as it is installed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

Pair = tuple[str, str]
Kind = Literal["single", "batch", "rerank"]
"""`single` and `batch` are this service's two bodies; `rerank` is infinity's."""

CHARACTERS = (
    "省市区县镇乡村街道路巷弄号楼栋幢单元室层座东南西北中大小上下新老城山江河湖海"
    "花园广场公寓科技学府文化人民和平建设明长青金星光华桥"
)
"""In the bundled model's vocabulary and in the random one's, so each is one token in both."""

LENGTHS = (
    (0.0, 11), (0.05, 19), (0.1, 22), (0.2, 26), (0.3, 29), (0.4, 32), (0.5, 35), (0.6, 38),
    (0.7, 42), (0.8, 46), (0.9, 52), (0.95, 57), (0.99, 67), (1.0, 85),
)  # fmt: skip
"""Quantiles of a pair's tokens, `[CLS]` and both `[SEP]` counted: 18,996 real labelled pairs, a
Chinese character as one token and up to three digits or letters as one."""

FIRST_SHARE = 0.55
"""Of a pair's tokens, those of its first address, on average: 18.3 of 33.2."""

_SPECIAL = 3
_COUNTER = 4
_BASE = len(CHARACTERS)


def pair_tokens(share: float) -> int:
    """The token count that `share` (0 to 1) of real pairs do not exceed."""
    for (low, fewest), (high, most) in pairwise(LENGTHS):
        if share <= high:
            return round(fewest + (most - fewest) * (share - low) / (high - low))
    raise ValueError(f"a share is between 0 and 1, not {share}")


def counter(number: int) -> str:
    """Four characters for a number below 64 ** 4: no two numbers have the same."""
    characters = ""
    for _ in range(_COUNTER):
        number, digit = divmod(number, _BASE)
        characters += CHARACTERS[digit]
    if number:
        raise ValueError(f"the counter ends at {_BASE**_COUNTER}")
    return characters


def pair(number: int) -> Pair:
    """The pair of this number, always the same. Its first address begins with the counter."""
    source = random.Random(number)  # noqa: S311 - addresses, no secrets
    tokens = pair_tokens(source.random()) - _SPECIAL
    first = round(tokens * min(0.8, max(0.2, source.gauss(FIRST_SHARE, 0.12))))
    first = max(first, _COUNTER)
    rest = max(tokens - first, 2)
    return counter(number) + _text(source, first - _COUNTER), _text(source, rest)


def pairs(first: int, count: int) -> list[Pair]:
    """`count` pairs from number `first` on."""
    return [pair(number) for number in range(first, first + count)]


def _text(source: random.Random, tokens: int) -> str:
    if tokens < 6:
        return "".join(source.choices(CHARACTERS, k=tokens))
    number = str(source.randint(1, 999))  # one token in the random vocabulary
    before = source.randint(2, tokens - 3)
    characters = source.choices(CHARACTERS, k=tokens - 1)
    return "".join(characters[:before]) + number + "".join(characters[before:])


def body(kind: Kind, chosen: Sequence[Pair]) -> bytes:
    """The body of one request."""
    document: object
    if kind == "rerank":
        [(query, candidate)] = chosen
        document = {"query": query, "documents": [candidate]}
    else:
        objects = [{"address1": one, "address2": other} for one, other in chosen]
        document = objects[0] if kind == "single" else {"pairs": objects}
    return json.dumps(document, ensure_ascii=False).encode()


def requests(
    host: str,
    path: str,
    kind: Kind,
    pairs_per_request: int,
    *,
    first: int,
    distinct: int = 512,
    headers: Mapping[str, str] | None = None,
) -> Callable[[], bytes]:
    """A source of HTTP requests, each with pairs that no other request has.

    The load generator shares the machine with what it measures, so a request is not encoded when
    it is sent: `distinct` bodies are, beforehand, and each request replaces the counters in one.

    Args:
        host: For the Host header.
        path: Route.
        kind: Form of the body.
        pairs_per_request: Pairs in each.
        first: Number of the first pair; the caller leaves room for all that it sends.
        distinct: Bodies of different lengths to go through in turn.
        headers: Further headers of each.
    """
    further = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    bodies: list[list[bytes]] = []
    for number in range(distinct):
        chosen = pairs(number * pairs_per_request, pairs_per_request)
        encoded = body(kind, chosen)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"{further}Content-Length: {len(encoded)}\r\n\r\n"
        ).encode()
        pieces, rest = [], encoded
        for one, _ in chosen:
            before, rest = rest.split(one[:_COUNTER].encode(), 1)
            pieces.append(before)
        bodies.append([head + pieces[0], *pieces[1:], rest])
    encoded_digits = [character.encode() for character in CHARACTERS]
    high = [one + other for other in encoded_digits for one in encoded_digits]
    state = [first, 0]

    def following() -> bytes:
        number, turn = state
        state[0], state[1] = number + pairs_per_request, (turn + 1) % distinct
        pieces = bodies[turn]
        if pairs_per_request == 1:
            low, up = number % 4096, number // 4096
            return b"".join((pieces[0], high[low], high[up], pieces[1]))
        parts: list[bytes] = []
        for offset in range(pairs_per_request):
            low, up = (number + offset) % 4096, (number + offset) // 4096
            parts += (pieces[offset], high[low], high[up])
        parts.append(pieces[-1])
        return b"".join(parts)

    return following
