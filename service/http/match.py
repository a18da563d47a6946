"""`POST /match`: one address against the register that the service has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, TypedDict

from flask import Response, g, jsonify, request

from service.answers import Explanation
from service.comparison import explaining
from service.comparison.explaining import Explain
from service.errors import NoRegister, RequestError
from service.http import request_context, schemas
from service.http.openapi import SCORING, Api, Operation
from service.http.schemas import Limits
from service.http.shapes import Maybe, Object, Shape, Text, Whole
from service.retrieval.ranking import MATCHING, Ranked, ranked
from service.retrieval.register import CANDIDATES, Entry
from service.scoring.checkpoint import Label
from service.scoring.refusal import REFUSALS, placeholder_error
from service.scoring.score import Score
from service.scoring.scorer import Scorer
from service.scoring.split import ModelSelector
from service.scoring.timeline import Timeline
from telemetry.recording import Instruments

if TYPE_CHECKING:
    from service.retrieval.served import ServedRegister

_TOP = 5


@dataclass(frozen=True, slots=True)
class MatchQuery:
    """The body of `/match`, read. Attributes: as those of the document."""

    address: str
    top: int | None
    model: str | None
    explain: Explain


class Candidate(TypedDict):
    """An entry of the register that the model scored."""

    id: Annotated[str, {"description": "Its id in the register."}]
    address: Annotated[str, {"description": "The address as the register has it."}]
    similarity: Annotated[
        float,
        {"minimum": 0, "maximum": 1, "description": "P(exact_match) + 0.5 P(partial_match)."},
    ]
    label: Annotated[Label, {"description": "The most probable label."}]
    margin: Annotated[
        float | None,
        {
            "description": "Its similarity less that of the next candidate, which may be the more "
            "similar one; null for the last."
        },
    ]
    explanation: NotRequired[Explanation]


class Register(TypedDict):
    """Which register answered."""

    version: Annotated[str, {"description": "Version of its content, as `index info` shows it."}]
    entries: Annotated[int, {"minimum": 0}]


class MatchAnswer(TypedDict):
    """The answer to a search."""

    answer: Annotated[
        Literal["match", "no_match"],
        {"description": "Whether the first candidate has another label than `not_match`."},
    ]
    candidates: Annotated[
        list[Candidate],
        {"description": "Best first: by similarity and by the order of the search."},
    ]
    scored: Annotated[int, {"minimum": 0, "description": "Entries that the model scored."}]
    register: Register
    model: schemas.Model


def body(limits: Limits) -> Shape[MatchQuery]:
    """The body of `/match`."""
    return Object(
        "Match",
        {
            "address": schemas.address(limits),
            "top": Maybe(Whole(1, CANDIDATES)),
            "model": Maybe(Text("The model that answers, if there are several.")),
            **schemas.EXPLANATION,
        },
        lambda address, top, model, *asked: MatchQuery(
            address, top, model, schemas.explanation(*asked)
        ),
        {"address": schemas.EXAMPLE["address2"], "top": _TOP},
    )


def add_routes(
    api: Api,
    scorer: Scorer,
    limits: Limits,
    register: ServedRegister | None,
    instruments: Instruments,
) -> None:
    """Add `/match`."""
    shape = body(limits)

    @api.route(
        Operation(
            method="POST",
            path="/match",
            tag="Predictions",
            summary="Find one address in the register.",
            body=shape,
            answer=MatchAnswer,
            errors=(*SCORING, NoRegister),
        )
    )
    def match() -> Response:
        timeline: Timeline = g.timeline
        scorer.require_ready()
        asked = shape.read(schemas.json_body(), "")
        if register is None:
            raise NoRegister("MGEO_REGISTER is not set, so there is no register to look in")
        if error := placeholder_error("address", asked.address):
            raise error
        current = register.current()
        timeline.enter("retrieve")
        [places] = current.candidates([asked.address], CANDIDATES)
        found = [current.entry(int(place)) for place in places]
        timeline.attributes["retrieve"] = {
            "mgeo.candidates": len(found),
            "mgeo.register_version": current.version,
        }
        pairs = [(asked.address, entry.address) for entry in found]
        who = request_context.of(request.environ, ModelSelector(model=asked.model or ""))
        scored = scorer.score(pairs, timeline, who)
        best = ranked(_scored(found, scored.outcomes), _is_answer)
        is_match = bool(best) and _is_answer(best[0].score)
        kind: Literal["match", "no_match"] = "match" if is_match else "no_match"
        instruments.match.add(1, {"answer": kind if found else "nothing_found"})
        instruments.match_candidates.add(len(best))
        answer: MatchAnswer = {
            "answer": kind,
            "candidates": [_candidate(one, asked) for one in best[: asked.top or _TOP]],
            "scored": len(best),
            "register": {"version": current.version, "entries": len(current)},
            "model": schemas.identity(scored.model),
        }
        return jsonify(answer)


def _is_answer(score: Score) -> bool:
    return score.label in MATCHING


def _scored(
    entries: Sequence[Entry], outcomes: Sequence[Score | RequestError]
) -> list[tuple[Entry, Score]]:
    """Entries with their scores, without those that have no readable address.

    Raises:
        RequestError: The model failed on one, or could read none.
    """
    scored: list[tuple[Entry, Score]] = []
    refused: RequestError | None = None
    for entry, outcome in zip(entries, outcomes, strict=True):
        if isinstance(outcome, Score):
            scored.append((entry, outcome))
        elif isinstance(outcome, REFUSALS):
            refused = outcome
        else:
            raise outcome
    if refused and not scored:
        raise refused
    return scored


def _candidate(one: Ranked[Entry, Score], asked: MatchQuery) -> Candidate:
    entry, score, margin = one
    found: Candidate = {
        "id": entry.id,
        "address": entry.address,
        "similarity": score.similarity,
        "label": score.label,
        "margin": margin,
    }
    if explained := explaining.of((asked.address, entry.address), asked.explain):
        found["explanation"] = explained
    return found
