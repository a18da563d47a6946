"""A batch of unequal pairs as arrays, and its division into parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.scoring.backends.layout import (
    MASKED,
    Padding,
    computed_tokens,
    grid,
    on_grid,
    packed,
    padded,
    rounded,
    shares,
)
from service.scoring.tokens import TokenizedPair


@given(st.lists(st.integers(1, 500), min_size=4, max_size=60), st.integers(1, 4))
def test_shares_hold_each_pair_once_and_take_about_equally_long(
    lengths: list[int], parts: int
) -> None:
    found = shares(lengths, parts)
    assert sorted(index for part in found for index in part) == list(range(len(lengths)))
    tokens = [sum(lengths[index] for index in part) for part in found]
    assert len(found) == parts
    assert min(tokens) > 0
    # The part that got the last pair had the least before: no other can be more than that above it.
    assert max(tokens) - min(tokens) <= max(lengths)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=9))
def test_padding_keeps_each_pair_and_marks_the_rest(sizes: list[tuple[int, int]]) -> None:
    pairs = [TokenizedPair(list(range(1, a + b + 1)), a, False) for a, b in sizes]
    ids, types, mask = padded(pairs, pad=99)
    assert ids.shape == types.shape == mask.shape == (len(pairs), max(a + b for a, b in sizes))
    for row, (pair, (a, b)) in enumerate(zip(pairs, sizes, strict=True)):
        assert ids[row, : a + b].tolist() == pair.ids
        assert set(ids[row, a + b :].tolist()) <= {99}
        assert types[row].sum() == b
        assert mask[row].tolist() == [1] * (a + b) + [0] * (ids.shape[1] - a - b)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=9))
def test_packing_puts_each_token_where_attention_finds_it(sizes: list[tuple[int, int]]) -> None:
    pairs = [
        TokenizedPair(list(range(100 * n, 100 * n + a + b)), a, False)
        for n, (a, b) in enumerate(sizes, 1)
    ]
    batch = packed(pairs, pad=7)
    tokens = sum(len(pair.ids) for pair in pairs)
    longest = max(len(pair.ids) for pair in pairs)
    assert batch.ids.shape == (rounded(tokens),)
    assert batch.slots.shape == (len(pairs), rounded(longest))
    assert set(batch.ids[tokens:].tolist()) <= {7}
    for row, pair in enumerate(pairs):
        size = len(pair.ids)
        slots = batch.slots[row, :size]
        assert batch.ids[slots].tolist() == pair.ids
        assert batch.types[slots].tolist() == [0] * pair.first + [1] * (size - pair.first)
        assert batch.positions[slots].tolist() == list(range(size))
        # There and back again.
        assert batch.back[slots].tolist() == [row * rounded(longest) + n for n in range(size)]
        assert set(batch.bias[row, 0, 0, :size].tolist()) == {0.0}
        assert set(batch.bias[row, 0, 0, size:].tolist()) <= {float(MASKED)}


@given(st.integers(1, 100_000))
def test_sizes_are_rounded_up_a_little_so_that_few_shapes_occur(size: int) -> None:
    assert size <= rounded(size) <= max(size + 3, size * 17 / 16)
    assert rounded(rounded(size)) == rounded(size)


@given(st.integers(1, 300), st.integers(1, 512), st.integers(1, 9000))
def test_the_grid_has_every_batch_that_the_budget_allows(
    pairs: int, longest: int, most: int
) -> None:
    rows, length = on_grid(pairs, longest)
    assert pairs <= rows < max(2, 1.5 * pairs)
    assert longest <= length < max(longest + 8, 1.25 * longest)
    assert on_grid(rows, length) == (rows, length)
    assert computed_tokens(pairs, pairs * longest, longest, Padding.GRID) == rows * length
    shapes = grid(most, 512)
    assert len(set(shapes)) == len(shapes)
    assert ((rows, length) in shapes) == (rows * length <= most or rows == 1)
