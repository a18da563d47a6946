"""Clusters of rows in which every member matches one representative.

A connected component of matching pairs may be a chain: each link can hold a small mistake, and its
two ends can be different places. So each component is split into stars. The row that matches most
others becomes a representative, the rows that match it become its cluster, and the same is done
with the rest.

A short text such as "4号老百姓大药房" matches shops in many cities. So rows that contradict each
other, as `comparison.compare` says, are not put around one representative. "村村25号" matches house
25 of many villages, which contradict each other in nothing that is certain, but do not match each
other either. So the rows around a representative must hang together without it.
"""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.comparison.compare import compare
from service.matching.same_texts import SameTexts

Similarities = Mapping[int, Mapping[int, float]]
"""Adjacency of the matching rows: row, then matching row, to similarity. Symmetric."""

Contradict = Callable[[int, int], bool]
"""Whether the addresses of two rows contradict each other."""

_FEW: Final = 2
"""Rows around a representative that need not match each other: of three ways to write a place, two
often do not. docs/matching.md has what this costs and saves."""

_Weight = tuple[int, float]
"""Size of a star and sum of its similarities, both negative."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows that are the same place.

    Attributes:
        representative: The row that all others match.
        similarities: By row, each member's similarity to the representative; 1 for itself.
        is_cut: Whether the cluster was split off a larger connected component.
    """

    representative: int
    similarities: Mapping[int, float]
    is_cut: bool


def clusters(
    count: int,
    edges: Sequence[tuple[int, int, float]],
    same: SameTexts,
    address: Callable[[int], str],
) -> list[Cluster]:
    """The clusters of two or more rows, sorted by their first row.

    Args:
        count: Number of rows; rows are numbered from 0.
        edges: The rows that match, as (row, row, similarity); each pair once. Of rows with the same
            text only the first has edges.
        same: The others with its text. They match it, and all that it matches.
        address: The address of a row that has edges.
    """
    linked: dict[int, dict[int, float]] = defaultdict(dict)
    for one, other, value in edges:
        linked[one][other] = linked[other][one] = value

    @functools.cache
    def contradict(one: int, other: int) -> bool:
        return bool(compare(address(one), address(other)).conflicts)

    alone = [row for row in same if row not in linked]
    parts = [*_components(count, edges), *([row] for row in alone)]
    found = [cluster for rows in parts for cluster in _stars(rows, linked, same, contradict)]
    return sorted(found, key=lambda cluster: min(cluster.similarities))


def _components(count: int, edges: Sequence[tuple[int, int, float]]) -> Iterator[list[int]]:
    """The rows of each connected component, sorted."""
    # Imported here: only the extra `match` installs scipy.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not edges:
        return
    first, second, _ = zip(*edges, strict=True)
    graph = coo_matrix((np.ones(len(edges), np.int8), (first, second)), (count, count))
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for row in sorted({*first, *second}):
        members[component[row]].append(row)
    yield from members.values()


def _stars(
    rows: Sequence[int], linked: Similarities, same: SameTexts, contradict: Contradict
) -> Iterator[Cluster]:
    """Split a component: again and again the largest star becomes a cluster and is taken away."""
    left = set(rows)
    stars: dict[int, dict[int, float]] = {}
    weights: dict[int, _Weight] = {}
    heap: list[tuple[_Weight, int]] = []

    def look_at(row: int) -> None:
        stars[row] = _star(row, linked, left, contradict)
        weights[row] = _weight(_with_same(stars[row], same))
        heapq.heappush(heap, (weights[row], row))

    for row in rows:
        look_at(row)
    while heap:
        weight, row = heapq.heappop(heap)
        if row not in left or weight != weights[row]:
            continue  # it was looked at again since
        members = _with_same(stars[row], same)
        if len(members) == 1:
            return  # none of the rest matches another of the rest
        yield Cluster(row, dict(sorted(members.items())), len(stars[row]) < len(rows))
        left -= stars[row].keys()
        # Only the stars of rows beside those that are gone are others now.
        for beside in {other for one in stars[row] for other in linked.get(one, {})} & left:
            look_at(beside)


def _star(
    row: int, linked: Similarities, left: set[int], contradict: Contradict
) -> dict[int, float]:
    """The row, and those of `left` that it matches, most similar first; with similarities to it.

    A row that contradicts a more similar one is not among them. Nor is one that, among many, hangs
    together with fewer than another does.
    """
    star = {row: 1.0}
    matching = ((other, value) for other, value in linked.get(row, {}).items() if other in left)
    for other, value in sorted(matching, key=lambda match: (-match[1], match[0])):
        # Of two that match, the model has said that they are one place.
        if not any(contradict(other, known) for known in star if known != row):
            star[other] = value
    if len(star) <= 1 + _FEW:
        return star
    kept = {row, *_largest_group([other for other in star if other != row], linked)}
    return {other: value for other, value in star.items() if other in kept}


def _largest_group(rows: Sequence[int], linked: Similarities) -> Set[int]:
    """The largest group of rows that their matches join; of two as large, that of the first row."""
    # Imported here: only the extra `match` installs scipy.
    from scipy.cluster.hierarchy import DisjointSet

    groups, known = DisjointSet(rows), set(rows)
    for row in rows:
        for other in linked[row].keys() & known:
            groups.merge(row, other)
    group: set[int] = groups.subset(max(rows, key=groups.subset_size))
    return group


def _with_same(star: Mapping[int, float], same: SameTexts) -> dict[int, float]:
    """A star with all rows of its texts."""
    return {member: value for row, value in star.items() for member in (row, *same.get(row, ()))}


def _weight(similarities: Mapping[int, float]) -> _Weight:
    """The largest star has the least weight, for a heap."""
    return -len(similarities), -round(sum(similarities.values()), 6)
