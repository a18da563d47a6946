"""Clusters of matching rows: no chains, and no members that contradict each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Set
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.matching.clusters import clusters


def anywhere(row: int) -> str:
    """The same address for all rows: none contradicts another."""
    return "学府路"


def test_a_chain_is_cut_where_its_ends_do_not_match() -> None:
    chain = [(row, row + 1, 0.9) for row in range(6)]
    found = clusters(8, chain, {}, anywhere)
    assert all(cluster.is_cut for cluster in found)
    for cluster in found:
        for row in cluster.similarities:
            assert row == cluster.representative or abs(row - cluster.representative) == 1


def test_a_clique_stays_whole() -> None:
    clique = [(one, other, 0.9) for one, other in itertools.combinations(range(2, 6), 2)]
    [found] = clusters(9, clique, {}, anywhere)
    assert (set(found.similarities), found.is_cut) == ({2, 3, 4, 5}, False)


edges = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11), st.floats(0.5, 1)).filter(
        lambda edge: edge[0] < edge[1]
    ),
    max_size=30, unique_by=lambda edge: edge[:2],
)  # fmt: skip


def at_two_numbers(row: int) -> str:
    """Of two addresses that contradict each other, the one of this row."""
    return f"学府路{row % 2 + 1}号"


@pytest.mark.parametrize("address", [anywhere, at_two_numbers])
@given(edges=edges, random=st.randoms(use_true_random=False))
def test_each_member_matches_its_representative_and_contradicts_no_other(
    address: Callable[[int], str], edges: list[tuple[int, int, float]], random: Random
) -> None:
    """Laws: no row in two clusters, every member matches its representative, order is nothing."""
    found = clusters(12, edges, {}, address)
    rows = [row for cluster in found for row in cluster.similarities]
    assert len(rows) == len(set(rows))
    pairs = {frozenset(edge[:2]): edge[2] for edge in edges}
    for cluster in found:
        assert len(cluster.similarities) > 1
        for row, similarity in cluster.similarities.items():
            if row != cluster.representative:
                assert pairs[frozenset((row, cluster.representative))] == similarity
        others = cluster.similarities.keys() - {cluster.representative}
        assert len({address(row) for row in others}) == 1
        assert len(others) <= 2 or _hang_together(others, pairs)
    shuffled = [*edges]
    random.shuffle(shuffled)
    assert clusters(12, shuffled, {}, address) == found


def _hang_together(rows: Set[int], pairs: Mapping[frozenset[int], float]) -> bool:
    """Whether each of the rows is reached from the first by matches between them."""
    reached = {min(rows)}
    for _ in rows:
        reached |= {row for row in rows if any(frozenset((row, one)) in pairs for one in reached)}
    return reached == rows


def test_a_short_text_does_not_join_rows_that_have_nothing_but_it_in_common() -> None:
    """村村25号 matches house 25 of villages whose rows do not match each other."""
    villages = [(0, row, 0.7 + row / 100) for row in range(1, 8)]
    [found] = clusters(9, [*villages, (3, 4, 0.95)], {}, anywhere)
    assert (set(found.similarities), found.is_cut) == ({0, 3, 4}, True)
    [found] = clusters(9, villages, {}, anywhere)
    assert set(found.similarities) == {0, 7}


def test_a_short_text_does_not_join_places_that_contradict_each_other() -> None:
    addresses = [
        "老百姓大药房",
        "杭州市西湖区文三路478号老百姓大药房",
        "成都市文三路478号老百姓大药房",
        "成都市武侯区文三路478号老百姓大药房",
        "文三路12号老百姓大药房",
    ]
    edges = [(0, 1, 0.6), (0, 2, 0.8), (0, 3, 0.7), (0, 4, 0.9), (2, 3, 0.95)]
    [found] = clusters(5, edges, {}, addresses.__getitem__)
    assert (found.similarities, found.is_cut) == ({0: 0.8, 2: 1.0, 3: 0.95}, True)


@given(edges, st.dictionaries(st.integers(0, 11), st.integers(1, 3), max_size=6))
def test_rows_of_one_text_are_together(edges, more) -> None:  # type: ignore[no-untyped-def]
    """Law: later rows of a text are where the first one is, as similar as it is."""
    numbers = itertools.count(12)
    same = {row: list(itertools.islice(numbers, times)) for row, times in more.items()}
    found = clusters(next(numbers), edges, same, anywhere)
    of_row = {row: cluster for cluster in found for row in cluster.similarities}
    assert sum(len(cluster.similarities) for cluster in found) == len(of_row)
    for first, others in same.items():
        similarities = of_row[first].similarities
        if of_row[first].representative != first:
            assert {similarities[row] for row in others} == {similarities[first]}
        assert all(of_row[row] is of_row[first] for row in others)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0.5, 1)), min_size=12, max_size=12),
    st.dictionaries(st.integers(0, 11), st.integers(1, 3), max_size=6),
)
def test_rows_of_one_text_are_as_rows_that_match_alike(places, more) -> None:  # type: ignore[no-untyped-def]
    """Law, where all rows of a place match: to leave later rows of a text out is to have every pair
    of them and of what matches."""
    edges = [
        (one, other, places[one][1])
        for one, other in itertools.combinations(range(12), 2)
        if places[one][0] == places[other][0]
    ]
    numbers = itertools.count(12)
    same = {row: list(itertools.islice(numbers, times)) for row, times in more.items()}
    count = next(numbers)
    every = [(one, other, 1.0) for one, its in same.items() for other in its]
    every += [(*pair, 1.0) for its in same.values() for pair in itertools.combinations(its, 2)]
    every += [
        (one, other, value)
        for first, second, value in edges
        for one in (first, *same.get(first, ()))
        for other in (second, *same.get(second, ()))
    ]
    assert clusters(count, edges, same, anywhere) == clusters(count, every, {}, anywhere)
