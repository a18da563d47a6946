"""`--explain`: in what two addresses differ, appended to each row beside its result."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from service.bulk.run import RowScorer
from service.bulk.tables import Chunk, text
from service.errors import BulkError
from service.http import explanation

if TYPE_CHECKING:
    from service.comparison.divisions import Place

Seconds = Callable[[Chunk, tuple[int, int], Sequence[Any]], Sequence[object]]
"""The second address of each row of a chunk, by the columns of the addresses and the results."""


def asked(flags: argparse.Namespace) -> tuple[Place, ...] | None:
    """Where addresses are that do not say so; None where nothing is to be explained.

    Raises:
        BulkError: A default is no province or city, or nothing is to be explained by it.
    """
    province = getattr(flags, "default_province", None)
    city = getattr(flags, "default_city", None)
    if not getattr(flags, "explain", False):
        for level, value in (("province", province), ("city", city)):
            if value is not None:
                raise BulkError(f"--default-{level} is for an explanation: give --explain with it")
        return None
    from service.comparison.compare import default_place

    try:
        return default_place(province, city)
    except ValueError as error:
        raise BulkError(f"--default-{error}") from None


def with_explanation(result: type[Any], types: Sequence[type]) -> tuple[type[Any], list[type]]:
    """A named tuple of a result's cells with two more before `error`, and the types of them all."""
    names = [*result._fields[:-1], "conflicts", "differences", "error"]
    kinds = [*types[:-1], str, str, types[-1]]
    made = NamedTuple("Explained", list(zip(names, kinds, strict=True)))  # type: ignore[misc]
    made.__new__.__defaults__ = (None,) * len(names)
    return made, kinds


class ExplainingScorer:
    """Adds explanations to another scorer's results; see `run.RowScorer`.

    Args:
        scorer: The other one.
        result: Makes a result of its cells, two of them more than the other's.
        seconds: Finds the second address of each row, None where there is none.
        default: Where addresses are that do not say so.
    """

    def __init__(
        self,
        scorer: RowScorer[Any],
        result: Callable[..., Any],
        seconds: Seconds,
        default: tuple[Place, ...],
    ) -> None:
        self._scorer, self._result, self._seconds = scorer, result, seconds
        self._default = default
        self.chunk_rows = scorer.chunk_rows
        self.identity: Mapping[str, object] = {
            **scorer.identity,
            "choice of explanations": [list(place) for place in default],
        }

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Any]]]:
        """Each chunk with its results, in order."""
        for chunk, results in self._scorer.score(chunks, pair, report):
            firsts = chunk.values(pair[0])
            rows = zip(results, firsts, self._seconds(chunk, pair, results), strict=True)
            yield chunk, [self._explained(*row) for row in rows]

    def _explained(self, result: Any, first: object, second: object) -> Any:
        *cells, error = result
        if error is not None or second is None:
            return self._result(*cells, None, None, error)
        found = explanation.of((text(first), text(second)), self._default)
        assert found is not None  # noqa: S101 - it is asked for
        differences = json.dumps(found["differences"], ensure_ascii=False)
        return self._result(*cells, " ".join(found["conflicts"]), differences, None)
