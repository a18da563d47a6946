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


def clusters(count: int, edges: Sequence[tuple[int, int, float]]) -> list[Cluster]:
    """The clusters of two or more rows, sorted by their first row.

    Args:
        count: Number of rows; rows are numbered from 0.
        edges: The rows that match, as (row, row, similarity); each pair once.
    """
    # Imported here: only the extra `match` installs scipy.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not edges:
        return []
    first, second, similarity = zip(*edges, strict=True)
    graph = coo_matrix((np.ones(len(edges), np.int8), (first, second)), (count, count))
    _, component = connected_components(graph, directed=False)
    linked: dict[int, dict[int, float]] = defaultdict(dict)
    for one, other, value in zip(first, second, similarity, strict=True):
        linked[one][other] = linked[other][one] = value
    members: dict[int, list[int]] = defaultdict(list)
    for row in sorted(linked):
        members[component[row]].append(row)
    found = [cluster for rows in members.values() for cluster in _stars(rows, linked)]
    return sorted(found, key=lambda cluster: min(cluster.similarities))


def _stars(rows: Sequence[int], linked: Similarities) -> Iterator[Cluster]:
    left = set(rows)
    while left:
        chosen = max(sorted(left), key=lambda row: _weight(row, linked, left))
        around = {row: value for row, value in linked[chosen].items() if row in left}
        if not around:
            return  # none of the rest matches another of the rest
        is_cut = len(around) + 1 < len(rows)
        yield Cluster(chosen, dict(sorted({chosen: 1.0, **around}.items())), is_cut)
        left -= {chosen, *around}


def _weight(row: int, linked: Similarities, left: set[int]) -> tuple[int, float]:
    values = [value for other, value in linked[row].items() if other in left]
    return len(values), round(sum(values), 6)
