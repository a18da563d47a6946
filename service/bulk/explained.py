"""`--explain`: in what two addresses differ, appended to each row beside its result."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from service.bulk.run import RowScorer
from service.bulk.tables import Chunk, decoded, text
from service.comparison import explaining
from service.comparison.explaining import Explain
from service.errors import BulkError

if TYPE_CHECKING:
    from service.comparison.divisions import Place

Seconds = Callable[[Chunk, tuple[int, int], Sequence[Any]], Sequence[object]]
"""The second address of each row of a chunk, by the columns of the addresses and the results."""


def asked(flags: argparse.Namespace) -> Explain:
    """What the flags ask for.

    Raises:
        BulkError: A default is no province or city, or it is given without `--explain`.
    """
    return explaining.asked(
        getattr(flags, "explain", False),
        getattr(flags, "default_province", None),
        getattr(flags, "default_city", None),
        prefix="--default-",
        remedy="give --explain",
        error=BulkError,
    )


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
        found = explaining.of((text(decoded(first)), text(decoded(second))), self._default)
        assert found is not None  # noqa: S101 - it is asked for
        differences = json.dumps(found["differences"], ensure_ascii=False)
        return self._result(*cells, " ".join(found["conflicts"]), differences, None)
