"""For each row, find candidates in a register, score them, and keep the best.

A row and its candidates become pairs, which any scorer of `score` takes: the local model or a
service. Candidates of the next rows are found while the model computes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.bulk import columns
from service.bulk.run import RowScorer
from service.bulk.tables import DIGITS, Chunk, Result, Rows
from service.http.schemas import Limits
from service.matching.choice import Choice
from service.matching.table import ADDRESS, fault_of
from service.retrieval.index import RULE
from service.retrieval.ranking import ORDER, ranked
from service.retrieval.register import Retriever

MATCH, NO_MATCH = "match", "no_match"
ANSWERS = (MATCH, NO_MATCH)


def fields(top: int) -> dict[str, type]:
    """Name and type of each column that `match` appends; any cell may be None as well.

    match_id, match_address, similarity and label belong to the best answer. Without an answer,
    similarity and label belong to the best candidate, and the other two are None.
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
    """The named tuple of `fields(top)`; each field defaults to None."""
    names = fields(top)
    made = NamedTuple("Matched", [(name, kind) for name, kind in names.items()])  # type: ignore[misc]
    made.__new__.__defaults__ = (None,) * len(names)
    return made


@dataclass(frozen=True, slots=True)
class _Asked:
    """A chunk of rows whose pairs are with the scorer.

    Attributes:
        chunk: The rows.
        faults: Of each row, why it cannot be looked up; None if it can.
        places: Of each row, the places of its candidates in the register.
    """

    chunk: Chunk
    faults: list[str | None]
    places: list[list[int]]


class Matcher:
    """Matches rows against a register; implements `run.RowScorer`.

    Args:
        scorer: Scores the pairs of rows and candidates.
        register: Finds the candidates.
        choice: Which candidates are answers.
        most_chars: Longest address, in characters.

    Attributes:
        identity: What the results depend on, as JSON.
        chunk_rows: Best number of rows in a chunk.
        seconds: Time spent on finding candidates so far; the model computes meanwhile.
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
            "choice of answers": [choice.top, choice.rule, choice.candidates],
            "order of answers": ORDER,
            "way of searching": RULE,
        }

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Any]]]:
        """Yield each chunk with its results, in order.

        Args:
            chunks: The rows.
            pair: The column of the address, twice.
            report: Called with the number of rows that were finished.
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
        best = ranked(zip(places, results, strict=True), self._choice.is_answer)
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
        answers = [one for one in best[: self._choice.top] if self._choice.is_answer(one.score)]
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
