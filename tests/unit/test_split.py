"""The policy of the split: by weight, the same for the same key, and moved as little as can be."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scoring import split

KEYS = [split.key_of_session(f"session {number}") for number in range(10_000)]
WEIGHTS = st.lists(st.just(0.0) | st.floats(1e-3, 1e6), min_size=2, max_size=8).filter(any)


def _named(weights: list[float]) -> list[tuple[str, float]]:
    return [(f"model-{number}", weight) for number, weight in enumerate(weights)]


def _shares(weights: list[float]) -> list[float]:
    picked = Counter(split.pick(key, _named(weights)) for key in KEYS)
    return [picked[index] / len(KEYS) for index in range(len(weights))]


@pytest.mark.parametrize(
    "weights", [[90, 10], [1, 1], [99, 1], [5, 3, 2], [1e6, 1e6], [0, 1], [0.7, 0.2, 0.1]]
)
def test_ten_thousand_requests_are_split_by_weight_to_a_hundredth(weights: list[float]) -> None:
    expected = [weight / sum(weights) for weight in weights]
    assert _shares(weights) == pytest.approx(expected, abs=0.01)


def test_pairs_are_split_by_weight_as_sessions_are() -> None:
    keys = [split.key_of_pairs([(f"文三路{n}号", f"{n}号文三路")]) for n in range(10_000)]
    picked = Counter(split.pick(key, _named([90, 10])) for key in keys)
    assert picked[1] / len(keys) == pytest.approx(0.1, abs=0.01)


@given(WEIGHTS)
def test_a_model_without_weight_gets_nothing(weights: list[float]) -> None:
    for key in KEYS[:20]:
        assert weights[split.pick(key, _named(weights))] > 0


@given(WEIGHTS, st.integers(0, 7), st.floats(1, 1000))
def test_more_weight_takes_keys_from_others_and_moves_no_other(
    weights: list[float], number: int, factor: float
) -> None:
    grown = number % len(weights)
    after = [w * factor if i == grown else w for i, w in enumerate(weights)]
    for key in KEYS[:50]:
        was, is_now = split.pick(key, _named(weights)), split.pick(key, _named(after))
        assert is_now in (was, grown)


@given(WEIGHTS)
def test_the_order_of_the_list_decides_nothing(weights: list[float]) -> None:
    named = _named(weights)
    turned = named[::-1]
    for key in KEYS[:20]:
        assert named[split.pick(key, named)] == turned[split.pick(key, turned)]


@given(st.text(), st.text())
def test_the_two_addresses_of_a_pair_count_in_either_order(one: str, other: str) -> None:
    assert split.key_of_pairs([(one, other)]) == split.key_of_pairs([(other, one)])


def test_other_pairs_have_other_keys() -> None:
    requests = [
        [("ab", "c")], [("a", "bc")], [("abc", "")], [("ab", "c"), ("d", "e")],
        [("d", "e"), ("ab", "c")], [],
    ]  # fmt: skip
    assert len({split.key_of_pairs(pairs) for pairs in requests}) == len(requests)


def test_replicas_of_any_release_decide_alike() -> None:
    """By value: another hash would move every session when it is rolled out."""
    weights = _named([1, 1, 1])
    assert [split.pick(key, weights) for key in KEYS[:12]] == [1, 0, 1, 2, 2, 1, 0, 0, 1, 0, 2, 2]
