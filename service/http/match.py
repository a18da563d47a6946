"""`POST /match`: one address against the register that the service has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, TypedDict

from flask import Response, g, jsonify, request

from service.answers import Explanation
from service.errors import NoRegister, NotAnAddress, RequestError
from service.http import explanation, request_context, schemas
from service.http.explanation import Explain
from service.http.openapi import SCORING, Api, Operation
from service.http.schemas import Limits
from service.http.shapes import Maybe, Object, Shape, Text, Whole
from service.retrieval.register import CANDIDATES, Entry
from service.scoring.checkpoint import Label
from service.scoring.refusal import REFUSALS, is_placeholder
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
    """An entry of the register that the model has looked at."""

    id: Annotated[str, {"description": "Its id in the register."}]
    address: Annotated[str, {"description": "The address as the register has it."}]
    similarity: Annotated[
        float,
        {"minimum": 0, "maximum": 1, "description": "P(exact_match) + 0.5 P(partial_match)."},
    ]
    label: Annotated[Label, {"description": "The most probable label."}]
    margin: Annotated[
        float | None,
        {"description": "How much more similar it is than the next one; null for the last."},
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
    candidates: Annotated[list[Candidate], {"description": "The most similar one first."}]
    scored: Annotated[int, {"minimum": 0, "description": "Entries that the model has looked at."}]
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
            **explanation.FIELDS,
        },
        lambda address, top, model, *asked: MatchQuery(
            address, top, model, explanation.read(*asked)
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
        if is_placeholder(asked.address):
            raise NotAnAddress("address is a placeholder such as N/A; give an address")
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
        answer = scorer.score(pairs, timeline, who)
        ranked = _ranked(found, answer.outcomes)
        is_match = bool(ranked) and ranked[0][1].label != "not_match"
        kind: Literal["match", "no_match"] = "match" if is_match else "no_match"
        instruments.match.add(1, {"answer": kind if found else "nothing_found"})
        instruments.match_candidates.add(len(ranked))
        told: MatchAnswer = {
            "answer": kind,
            "candidates": _candidates(ranked, asked),
            "scored": len(ranked),
            "register": {"version": current.version, "entries": len(current)},
            "model": schemas.identity(answer.model),
        }
        return jsonify(told)


def _ranked(
    entries: Sequence[Entry], outcomes: Sequence[Score | RequestError]
) -> list[tuple[Entry, Score]]:
    """Entries with their scores, the most similar first; of two equals the likelier one.

    One without a readable address is left out.

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
    return sorted(scored, key=lambda one: -one[1].similarity)


def _candidates(ranked: Sequence[tuple[Entry, Score]], asked: MatchQuery) -> list[Candidate]:
    nexts = [score.similarity for _, score in ranked[1:]]
    made: list[Candidate] = []
    for (entry, score), following in zip(ranked[: asked.top or _TOP], [*nexts, None], strict=False):
        one: Candidate = {
            "id": entry.id,
            "address": entry.address,
            "similarity": score.similarity,
            "label": score.label,
            "margin": score.similarity - following if following is not None else None,
        }
        if explained := explanation.of((asked.address, entry.address), asked.explain):
            one["explanation"] = explained
        made.append(one)
    return made
