"""Rows of addresses in, the best entries of a register out: candidates, then the model.

To a scorer the candidates of a chunk of rows are a chunk of pairs. So the model runs as it does for
`score`, here or in a service, and candidates of the next rows are found while it computes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.bulk import columns
from service.bulk.run import RowScorer
from service.bulk.tables import DIGITS, Chunk, Result, Rows
from service.http.schemas import Limits
from service.matching.table import ADDRESS, fault_of
from service.retrieval.ranking import MATCHING, ranked
from service.retrieval.register import CANDIDATES, Retriever

MATCH, NO_MATCH = "match", "no_match"
ANSWERS = (MATCH, NO_MATCH)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidates are answers.

    Attributes:
        top: How many answers a row has at most.
        threshold: Similarity from which an entry is an answer, from 0 to 1; None where the label
            decides.
        candidates: Entries that the model looks at.
        labels: With which an entry is an answer, where they decide.
    """

    top: int = 1
    threshold: float | None = None
    candidates: int = CANDIDATES
    labels: Collection[str] = MATCHING

    def is_answer(self, similarity: float, label: str) -> bool:
        """Whether an entry of such a similarity and label is one."""
        if self.threshold is None:
            return label in self.labels
        return similarity >= self.threshold


def fields(top: int) -> dict[str, type]:
    """The cells that are appended to a row, and their types but for None.

    match_id, match_address, similarity and label are the best answer's; without an answer the
    entry is left out, and the latter two are those of the best candidate.
    """
    found: dict[str, type] = {
        "answer": str, "match_id": str, "match_address": str, "similarity": float, "label": str,
        "margin": float, "candidates": int,
    }  # fmt: skip
    for place in range(2, top + 1):
        found |= {
            f"match_id_{place}": str,
            f"match_address_{place}": str,
            f"similarity_{place}": float,
            f"label_{place}": str,
        }
    return found | {"error": str}


def result_of(top: int) -> type[Any]:
    """A named tuple of these cells, each None if it is not given."""
    names = fields(top)
    made = NamedTuple("Matched", [(name, kind) for name, kind in names.items()])  # type: ignore[misc]
    made.__new__.__defaults__ = (None,) * len(names)
    return made


@dataclass(frozen=True, slots=True)
class _Asked:
    """A chunk of rows, and what is asked of the model for them.

    Attributes:
        chunk: The rows.
        faults: Why a row cannot be looked up.
        places: Of each row's candidates.
    """

    chunk: Chunk
    faults: list[str | None]
    places: list[list[int]]


class Matcher:
    """Makes matches of rows; see `run.RowScorer`.

    Args:
        scorer: The model.
        register: Where entries are looked for.
        choice: Which of them are answers.
        most_chars: Longest address, in characters.

    Attributes:
        identity: What results depend on.
        chunk_rows: Rows to take at a time.
        seconds: That candidates were looked for, beside the model's work.
    """

    def __init__(
        self, scorer: RowScorer[Result], register: Retriever, choice: Choice, most_chars: int
    ) -> None:
        self._scorer, self._register, self._choice = scorer, register, choice
        self._limits = Limits(most_chars)
        self._result = result_of(choice.top)
        self.chunk_rows = max(1, scorer.chunk_rows // choice.candidates)
        self.seconds = 0.0
        self.identity: Mapping[str, object] = {
            **scorer.identity,
            "register": register.version,
            "choice of answers": [choice.top, choice.threshold, choice.candidates],
        }

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Any]]]:
        """Each chunk with its results, in order.

        Args:
            chunks: The rows.
            pair: The column of the address, twice.
            report: Told of rows that are done.
        """
        asked: deque[_Asked] = deque()

        def pairs() -> Iterator[Chunk]:
            for chunk in chunks:
                asked.append(one := self._asked(chunk, pair[0]))
                yield Rows(self._cells(one, pair[0]), {})

        for _, results in self._scorer.score(pairs(), (0, 1), lambda rows: None):
            one = asked.popleft()
            yield one.chunk, self._results(one, results)
            report(len(one.chunk))

    def _asked(self, chunk: Chunk, column: int) -> _Asked:
        read = columns.addresses(chunk, column, self._limits, ADDRESS)
        faults = [fault_of(address) for address in read]
        wanted = [address for address, fault in zip(read, faults, strict=True) if fault is None]
        begun = time.perf_counter()
        found = iter(self._register.candidates(wanted, self._choice.candidates))
        self.seconds += time.perf_counter() - begun
        return _Asked(chunk, faults, [[] if fault else next(found).tolist() for fault in faults])

    def _cells(self, asked: _Asked, column: int) -> list[list[object]]:
        return [
            [address, self._register.entry(place).address]
            for address, places in zip(asked.chunk.values(column), asked.places, strict=True)
            for place in places
        ]

    def _results(self, asked: _Asked, results: Sequence[Result]) -> list[Any]:
        made, begin = [], 0
        for fault, places in zip(asked.faults, asked.places, strict=True):
            own = results[begin : begin + len(places)]
            begin += len(places)
            made.append(self._result(error=fault) if fault else self._matched(places, own))
        return made

    def _matched(self, places: Sequence[int], results: Sequence[Result]) -> Any:
        best = ranked(zip(places, results, strict=True))
        if results and not best:
            return self._result(error=results[0].error)
        if not best:
            return self._result(answer=NO_MATCH, candidates=0)
        first, margin = best[0].score, best[0].margin
        cells: dict[str, object] = {
            "answer": NO_MATCH,
            "similarity": first.similarity,
            "label": first.label,
            "margin": None if margin is None else round(margin, DIGITS),
            "candidates": len(best),
        }
        answers = [one for one in best[: self._choice.top] if self._is_answer(one.score)]
        for number, one in enumerate(answers, 1):
            end = "" if number == 1 else f"_{number}"
            entry = self._register.entry(one.candidate)
            cells |= {
                f"match_id{end}": entry.id,
                f"match_address{end}": entry.address,
                f"similarity{end}": one.score.similarity,
                f"label{end}": one.score.label,
            }
        if answers:
            cells["answer"] = MATCH
        return self._result(**cells)

    def _is_answer(self, result: Result) -> bool:
        return self._choice.is_answer(result.similarity or 0.0, result.label or "")
