"""`POST /rerank`: one address against many candidates, in text-embeddings-inference's shape.

Its clients find what they know: the request's fields, the answer as a list sorted by score, and
`error` with `error_type` in an error. The statuses of errors are those of all routes here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from service.errors import InvalidField, QueueFull, RequestError
from service.http import caller, problems, schemas
from service.http.bodies import json_body
from service.http.openapi import SCORING, Api, Operation
from service.http.schemas import Limits
from service.http.shapes import Address, Flag, Listed, Object, Shape
from service.scoring.refusal import REFUSALS
from service.scoring.score import Score
from service.scoring.scorer import Scorer
from telemetry.spans import Timeline

_SMALLEST = 2.0**-24
"""Half a step of the model's 32-bit numbers below 1: keeps the raw score of a 0 or 1 finite."""


@dataclass(frozen=True, slots=True)
class Query:
    """The body of `/rerank`, read. Attributes: as those of the document."""

    query: str
    texts: list[str]
    raw_scores: bool
    return_text: bool
    truncate: bool


class Rank(TypedDict):
    """One candidate."""

    index: Annotated[int, {"minimum": 0, "description": "Its place in `texts`."}]
    score: Annotated[
        float, {"description": "Its similarity to the query, from 0 to 1; see `raw_scores`."}
    ]
    text: NotRequired[Annotated[str, {"description": "The candidate, with `return_text`."}]]
    unread: NotRequired[
        Annotated[
            float,
            {
                "minimum": 0,
                "maximum": 1,
                "description": "Share of an address that the model cannot read; only above 0.",
            },
        ]
    ]


class RerankProblem(schemas.Problem):
    """What is wrong, with the members of text-embeddings-inference."""

    error_type: NotRequired[
        Annotated[
            str,
            {
                "enum": ["validation", "overloaded", "unhealthy", "backend"],
                "description": "Absent from what the listener refuses before the route is known.",
            },
        ]
    ]


def body(limits: Limits) -> Shape[Query]:
    """The body of `/rerank`."""
    return Object(
        "Rerank",
        {
            "query": Address("The address that one has.", limits.address_chars),
            "texts": Listed(
                Address("A candidate.", limits.address_chars),
                limits.batch_pairs,
                "The candidates that it is compared with.",
            ),
            "raw_scores": Flag(
                "Give the number whose logistic function is the similarity, not the similarity.",
                default=False,
            ),
            "return_text": Flag("Repeat each candidate in the answer.", default=False),
            "truncate": Flag(
                "Score what the model reads of a pair that is too long; false refuses it.",
                default=True,
            ),
        },
        Query,
        {
            "query": schemas.EXAMPLE["address1"],
            "texts": [schemas.EXAMPLE["address2"], "滨江区江南大道1088号"],
        },
    )


def add_routes(api: Api, scorer: Scorer, limits: Limits) -> None:
    """Add `/rerank`."""
    blueprint = Blueprint("rerank", __name__)
    problems.register(blueprint, problem)
    shape = body(limits)

    @api.route(
        Operation(
            method="POST",
            path="/rerank",
            tag="Predictions",
            summary="Sort candidates by their similarity to one address.",
            description="In the shape of text-embeddings-inference.",
            body=shape,
            answer=list[Rank],
            errors=SCORING,
            problem=RerankProblem,
        ),
        blueprint,
    )
    def rerank() -> Response:
        timeline: Timeline = g.timeline
        scorer.require_ready()
        asked = shape.read(json_body(), "")
        pairs = [(asked.query, text) for text in asked.texts]
        answer = scorer.score(pairs, timeline, caller.of(request.environ))
        scores = [_checked(index, asked, one) for index, one in enumerate(answer.outcomes)]
        order = sorted(range(len(scores)), key=lambda index: -scores[index].similarity)
        return jsonify([_rank(index, asked, scores[index]) for index in order])

    api.mount(blueprint)


def problem(error: RequestError) -> RerankProblem:
    """An error's document: `error` says what is wrong, `error_type` of what kind it is."""
    kind = "validation"
    if error.status >= 500:
        kind = "unhealthy" if error.status == 503 else "backend"
    elif error.status == QueueFull.status:
        kind = "overloaded"
    return {**schemas.problem(error), "error": str(error), "error_type": kind}


def _checked(index: int, asked: Query, outcome: Score | RequestError) -> Score:
    if isinstance(outcome, REFUSALS):
        raise type(outcome)(f"query or texts[{index}]: {outcome}")
    if isinstance(outcome, RequestError):
        raise outcome
    if outcome.truncated and not asked.truncate:
        raise InvalidField(
            f"query and texts[{index}] are longer than the model reads; set truncate to true"
        )
    return outcome


def _rank(index: int, asked: Query, score: Score) -> Rank:
    similarity = score.similarity
    rank: Rank = {"index": index, "score": _logit(similarity) if asked.raw_scores else similarity}
    if asked.return_text:
        rank["text"] = asked.texts[index]
    if score.unread:
        rank["unread"] = score.unread
    return rank


def _logit(share: float) -> float:
    bounded = min(max(share, _SMALLEST), 1 - _SMALLEST)
    return math.log(bounded / (1 - bounded))
