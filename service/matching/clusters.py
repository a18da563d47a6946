"""From pairs that match to clusters whose members all match one of them.

What is connected by pairs may be a chain whose ends are two places: each link may be a small
mistake. So a component is taken apart into stars: the member that matches most others is the
representative, what matches it is its cluster, and what is left is looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Similarities = Mapping[int, Mapping[int, float]]
"""Of each member, those that it matches and how similar they are, in both directions."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows that are one place.

    Attributes:
        representative: The row that all others match.
        similarities: Of each member to it, 1 for itself, by row.
        is_cut: Whether other rows were connected with it and are apart now.
    """

    representative: int
    similarities: Mapping[int, float]
    is_cut: bool


def clusters(count: int, edges: Sequence[tuple[int, int, float]]) -> list[Cluster]:
    """The clusters of two and more of `count` rows, by their first row.

    Args:
        count: Rows in all.
        edges: Two rows that match, and their similarity; each pair once.
    """
    # Here, not above: only the extra `match` brings it.
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
