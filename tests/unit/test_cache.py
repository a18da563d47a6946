"""The result cache: what it keeps, what it forgets, and that it holds no address."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from service.scoring.cache import PairResult, ResultCache

RESULT = PairResult((0.2, 0.3, 0.5), truncated=False)
text = st.text(max_size=6)


@given(st.tuples(text, text), st.tuples(text, text))
def test_keys_are_equal_for_equal_pairs_only(one: tuple[str, str], other: tuple[str, str]) -> None:
    cache = ResultCache(1)
    assert (cache.key("v", one) == cache.key("v", other)) == (one == other)
    assert cache.key("v", one) != cache.key("w", one)
    assert cache.key("v", one) != ResultCache(1).key("v", one), "useless outside the process"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))), st.integers(1, 5))
def test_it_keeps_what_was_used_last(steps: list[tuple[bool, int]], room: int) -> None:
    cache = ResultCache(room)
    used: list[bytes] = []  # the last used at the end
    for is_put, number in steps:
        key = bytes([number])
        if is_put:
            cache.put(key, RESULT)
        assert (cache.get(key) is RESULT) == (is_put or key in used)
        if is_put or key in used:
            used = [*(other for other in used if other != key), key][-room:]
        assert len(cache) == len(used)


def test_it_holds_no_address() -> None:
    cache = ResultCache(10)
    address = "".join(["翠苑", "小区", "7幢"])
    cache.put(cache.key("v", (address, address)), RESULT)
    held, seen = [cache], set[int]()
    while held:
        value = held.pop()
        if id(value) not in seen and not isinstance(value, type):
            seen.add(id(value))
            assert address not in (value if isinstance(value, str) else ""), "kept"
            held += gc.get_referents(value)
