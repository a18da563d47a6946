"""Clusters of rows in which every member matches one representative.

A connected component of matching pairs may be a chain: each link can hold a small mistake, and its
two ends can be different places. So each component is split into stars. The row that matches most
others becomes a representative, the rows that match it become its cluster, and the same is done
with the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.matching.same_texts import SameTexts

Similarities = Mapping[int, Mapping[int, float]]
"""Adjacency of the matching rows: row, then matching row, to similarity. Symmetric."""


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


def clusters(count: int, edges: Sequence[tuple[int, int, float]], same: SameTexts) -> list[Cluster]:
    """The clusters of two or more rows, sorted by their first row.

    Args:
        count: Number of rows; rows are numbered from 0.
        edges: The rows that match, as (row, row, similarity); each pair once. Of rows with the same
            text only the first has edges.
        same: The others with its text. They match it, and all that it matches.
    """
    linked: dict[int, dict[int, float]] = defaultdict(dict)
    for one, other, value in edges:
        linked[one][other] = linked[other][one] = value
    alone = [row for row in same if row not in linked]
    parts = [*_components(count, edges), *([row] for row in alone)]
    found = [cluster for rows in parts for cluster in _stars(rows, linked, same)]
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


def _stars(rows: Sequence[int], linked: Similarities, same: SameTexts) -> Iterator[Cluster]:
    left = set(rows)
    while left:
        chosen = max(sorted(left), key=lambda row: _weight(_around(row, linked, left, same)))
        similarities = _around(chosen, linked, left, same)
        if len(similarities) == 1:
            return  # none of the rest matches another of the rest
        taken = left & similarities.keys()
        yield Cluster(chosen, dict(sorted(similarities.items())), len(taken) < len(rows))
        left -= taken


def _around(row: int, linked: Similarities, left: set[int], same: SameTexts) -> dict[int, float]:
    """The row and all rows of `left` that it matches, with their similarities to it."""
    values = {row: 1.0}
    values |= {other: value for other, value in linked.get(row, {}).items() if other in left}
    return {member: value for at, value in values.items() for member in (at, *same.get(at, ()))}


def _weight(similarities: Mapping[int, float]) -> tuple[int, float]:
    return len(similarities), round(sum(similarities.values()), 6)
