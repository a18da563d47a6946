"""The index of a register: TF-IDF weights in a sparse matrix of terms by entries.

A term's weight is its inverse document frequency. Each entry's vector is divided by its norm to the
power `_LENGTH`, not by the whole norm as for the cosine. A query often has more parts than the
entry that is meant, and with the whole norm short entries would win too often.

Terms that more than a tenth of the entries have are dropped. With them a query takes three times
as long and finds no more (`python -m benchmarks.retrieval`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.errors import RegisterError
from service.retrieval.terms import AREAS_COUNT, TERMS, sought, terms

try:
    import scipy.sparse
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction import FeatureHasher
    from sparse_dot_topn import sp_matmul_topn
except ModuleNotFoundError as error:
    raise RegisterError(
        f"a register needs {error.name}, which is not installed: "
        "run `make`, or install mgeo-inference[match]"
    ) from None

COLUMNS: Final = 2**21
"""Terms are hashed to columns below this. With a million terms, some share a column."""

_LENGTH: Final = 0.8
_MOST_ENTRIES: Final = 0.1
_MANY: Final = 100_000
"""In a register of more entries a search has two stages. The first looks at rare terms alone, and
the second adds the common ones to the scores of the first `_DEPTH` entries."""

_COMMON: Final = 0.01
"""Share of entries from which a term is common for this. A search would spend most of its work on
such terms."""

_DEPTH: Final = 1000
"""Entries that the first stage finds for an address, at least. docs/matching.md says what is lost
and saved."""

_FEW: Final = 1000
"""A register of at most this many entries drops no term: its counts are too small to tell common
terms from rare ones."""

RULE: Final = (TERMS, AREAS_COUNT, _LENGTH, _MOST_ENTRIES, _FEW, _MANY, _COMMON, _DEPTH)
"""What decides which candidates an address has, beside the entries. A run that was begun with one
rule is not resumed with another."""

_AT_ONCE: Final = 20_000
"""Addresses whose terms are counted together. It bounds the memory of a build."""

Found = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Places of entries and their scores, best match first."""


@dataclass(frozen=True, slots=True)
class Index:
    """The matrix of terms by entries, in CSR form, and the weight of each term.

    Attributes:
        starts: Offset of each term's row in `entries` and `values`. Shape (COLUMNS + 1,).
        entries: Places of the entries that have the term, ascending. Shape (non-zeros,).
        values: Normalised weight of the term in each of them. Shape (non-zeros,).
        weights: Weight of each term in a query, 0 for a dropped term. Shape (COLUMNS,).
        size: Number of entries.
    """

    starts: NDArray[np.int32]
    entries: NDArray[np.int32]
    values: NDArray[np.float32]
    weights: NDArray[np.float32]
    size: int

    def candidates(self, addresses: Sequence[str], most: int) -> list[NDArray[np.int32]]:
        """For each address, the places of at most `most` entries, best match first.

        An address that shares no term with any entry gets an empty array.
        """
        if not addresses:
            return []
        return [places for places, _ in self._found(self._asked(addresses), most)]

    def candidates_with_shares(
        self, addresses: Sequence[str], most: int
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """The same, and the share of each: its score, where 1 is an entry with that very address.

        An entry that leaves much out may have more than 1.
        """
        if not addresses:
            return []
        asked = self._asked(addresses)
        itself = _scaled(_weighed(_counted(map(_once, addresses)), self.weights))
        full = np.asarray(asked.multiply(itself).sum(axis=1)).ravel()
        found = self._found(asked, most)
        return [(places, scores / own) for (places, scores), own in zip(found, full, strict=True)]

    def _asked(self, addresses: Sequence[str]) -> csr_matrix:
        return _weighed(_counted(map(sought, addresses)), self.weights)

    def _found(self, asked: csr_matrix, most: int) -> list[Found]:
        if self.size <= _MANY:
            return self._product(asked, most)
        having = self.starts[asked.indices + 1] - self.starts[asked.indices]
        is_common = having > _COMMON * self.size
        rare, common = _where(asked, ~is_common), _where(asked, is_common)
        depth = max(_DEPTH, 4 * most)
        return [
            # Without enough entries that have its rare terms, a query is searched as a whole.
            self._product(asked[row], most)[0]
            if len(near[0]) < depth
            else self._with_common(common[row], near, most)
            for row, near in enumerate(self._product(rare, depth))
        ]

    def _product(self, asked: csr_matrix, most: int) -> list[Found]:
        matrix = csr_matrix((self.values, self.entries, self.starts), (COLUMNS, self.size))
        # sparse_dot_topn copies its second matrix: it gets the rows of these terms alone.
        used, columns = np.unique(asked.indices, return_inverse=True)
        narrow = csr_matrix((asked.data, columns, asked.indptr), (asked.shape[0], len(used)))
        found = sp_matmul_topn(narrow, matrix[used], top_n=most, sort=True, n_threads=1)
        return [
            (found.indices[begin:end], found.data[begin:end])
            for begin, end in itertools.pairwise(found.indptr)
        ]

    def _with_common(self, asked: csr_matrix, near: Found, most: int) -> Found:
        """The best `most` of the entries in `near`, with the common terms added to their scores."""
        places, scores = near
        order = np.argsort(places)  # a search for ascending places takes half of the time
        ascending, sums = places[order], scores[order]
        for term, weight in zip(asked.indices, asked.data, strict=True):
            row = slice(self.starts[term], self.starts[term + 1])
            having = self.entries[row]
            at = np.minimum(np.searchsorted(having, ascending), len(having) - 1)
            has = np.flatnonzero(having[at] == ascending)
            sums[has] += weight * self.values[row][at[has]]
        scores = np.empty_like(sums)
        scores[order] = sums
        best = np.argsort(-scores, kind="stable")[:most]
        return places[best], scores[best]


def _where(asked: csr_matrix, is_kept: NDArray[np.bool_]) -> csr_matrix:
    kept = asked.copy()
    kept.data *= is_kept
    kept.eliminate_zeros()
    return kept


def build(addresses: Iterable[str]) -> Index:
    """Build the index of a register's addresses; an entry's place is its position in them.

    Raises:
        RegisterError: There are no addresses.
    """
    counted = list(_in_parts(addresses))
    if not counted:
        raise RegisterError("no row has an address: a register needs one at least")
    matrix = scipy.sparse.vstack(counted, format="csr")
    del counted
    entries = matrix.shape[0]
    having = np.bincount(matrix.indices, minlength=COLUMNS)
    weights = np.log((entries + 1) / (having + 0.5)).astype(np.float32)
    if entries > _FEW:
        weights[having > _MOST_ENTRIES * entries] = 0
    by_term = _scaled(_weighed(matrix, weights)).tocsc()
    return Index(by_term.indptr, by_term.indices, by_term.data, weights, entries)


def _in_parts(addresses: Iterable[str]) -> Iterator[csr_matrix]:
    part: list[str] = []
    for address in addresses:
        part.append(address)
        if len(part) == _AT_ONCE:
            yield _counted(map(_once, part))
            part = []
    if part:
        yield _counted(map(_once, part))


def _once(address: str) -> list[tuple[str, float]]:
    return [(term, 1.0) for term in terms(address)]


def _counted(addresses: Iterable[list[tuple[str, float]]]) -> csr_matrix:
    """Sum of each term's counts in each address. Shape (addresses, COLUMNS)."""
    hasher = FeatureHasher(COLUMNS, input_type="pair", alternate_sign=False, dtype=np.float32)
    return hasher.transform(addresses)


def _weighed(counts: csr_matrix, weights: NDArray[np.float32]) -> csr_matrix:
    """Counts to weights, in place. A term that occurs n times counts 1 + ln n times."""
    often = 1 + np.log(np.maximum(counts.data, 1))
    counts.data = np.minimum(counts.data, often) * weights[counts.indices]
    counts.eliminate_zeros()
    return counts


def _scaled(matrix: csr_matrix) -> csr_matrix:
    """Weights in entries, divided by the power of each entry's length."""
    squares = np.asarray(matrix.power(2).sum(axis=1)).ravel()
    matrix.data /= np.repeat(squares ** (_LENGTH / 2), np.diff(matrix.indptr))
    return matrix
