"""`POST /rerank`: one address against many candidates, in the two shapes that clients send.

With `texts` it is text-embeddings-inference's: the answer is a list sorted by score. With
`documents` it is the one that Cohere, Jina and vLLM share: `results` with a `relevance_score`. An
error has `error` with `error_type` in both. The statuses of errors are those of all routes here.
The paths are those that clients append to the address of a server, and each takes both shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, NotRequired, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from service.answers import Rank as Rank
from service.answers import Unread
from service.errors import InvalidField, QueueFull, RequestError, Unreadable
from service.http import problems, request_context, schemas, statuses
from service.http.openapi import SCORING, Api, Operation
from service.http.schemas import Limits
from service.http.shapes import Address, Flag, Listed, Maybe, Object, Schema, Shape, Text, Whole
from service.scoring import refusal
from service.scoring.refusal import REFUSALS
from service.scoring.score import Score
from service.scoring.scorer import Answer, Scorer
from service.scoring.split import ModelSelector
from service.scoring.timeline import Timeline

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
"""The first is text-embeddings-inference's, the second Jina's and Cohere's old one, the third
Cohere's new one. vLLM has all three."""

_ENDS = ("Right", "right")
_SMALLEST = 2.0**-24
"""Half a step of the model's 32-bit numbers below 1: keeps the raw score of a 0 or 1 finite."""


_OTHERS = {
    "top_k": "the field for that is top_n",
    "rank_fields": "join the fields of a candidate yourself",
    "return_embeddings": "this model has none",
    "max_chunks_per_doc": "a candidate is one address, and is not divided",
    "max_tokens_per_doc": "MGEO_MAX_TOKENS sets what the model reads",
    "max_tokens_per_query": "MGEO_MAX_TOKENS sets what the model reads",
    "truncate_prompt_tokens": "MGEO_MAX_TOKENS sets what the model reads",
    "truncation": "the field for that is truncate",
    "truncation_side": "the field for that is truncation_direction",
    "relevant_spans": "a candidate is compared as a whole",
    "activation": "the field for that is raw_scores",
    "use_activation": "the field for that is raw_scores",
    "normalize": "the field for that is raw_scores",
    "instruction": "this model takes none",
    "mm_processor_kwargs": "this model reads text alone",
}
"""What Cohere, Jina, vLLM and others take and this does not: it would change the answer."""

_NOT_BESIDE_TEXTS = {
    "documents": "send the candidates once, as texts or as documents",
    "return_documents": "the field for that is return_text",
    **_OTHERS,
}
_NOT_BESIDE_DOCUMENTS = {"return_text": "the field for that is return_documents", **_OTHERS}
"""The same, and the words of the other shape."""


@dataclass(frozen=True, slots=True)
class RerankQuery:
    """The body of `/rerank`, read.

    Attributes:
        called: What the body calls the candidates: `texts` or `documents`.
        texts: The candidates.
        repeats: Whether they are repeated in the answer.
        Others: As those of the document.
    """

    called: str
    query: str
    texts: list[str]
    raw_scores: bool
    repeats: bool
    truncate: bool
    truncation_direction: str | None
    top_n: int | None
    model: str | None


class RerankProblem(schemas.Problem):
    """What is wrong, with the members of text-embeddings-inference."""

    error_type: NotRequired[
        Annotated[
            str,
            {
                "enum": ["validation", "overloaded", "unhealthy", "backend"],
                "description": "Absent if the listener refused it before the route was known.",
            },
        ]
    ]


class Document(TypedDict):
    """A candidate, as it was sent."""

    text: str


class BilledUnits(TypedDict):
    """What a call costs."""

    search_units: Annotated[int, {"const": 0}]


class Meta(TypedDict):
    """That nothing is billed: a client of Cohere's may look for it in every answer."""

    billed_units: BilledUnits


class RankedDocument(TypedDict):
    """One of the documents."""

    index: Annotated[int, {"minimum": 0, "description": "Its place in `documents`."}]
    relevance_score: Annotated[
        float, {"description": "Its similarity to the query, from 0 to 1; see `raw_scores`."}
    ]
    document: NotRequired[Document]
    unread: NotRequired[Unread]


class RankedDocuments(TypedDict):
    """The answer to `documents`."""

    results: Annotated[list[RankedDocument], {"description": "The most similar one first."}]
    model: Annotated[str, {"description": "The name of the model that answered."}]
    meta: Meta


@dataclass(frozen=True, slots=True)
class _Document:
    """A candidate as a string, or as an object with its `text`."""

    required: ClassVar[bool] = True

    text: Address

    def schema(self) -> Schema:
        """One of two."""
        text = self.text.schema()
        wrapped: Schema = {
            "type": "object",
            "properties": {"text": text},
            "required": ["text"],
            "additionalProperties": False,
        }
        return {"anyOf": [text, wrapped]}

    def read(self, value: object, name: str) -> str:
        """The candidate.

        Raises:
            RequestError: It is neither, or has other fields, which would be passed over.
        """
        if not isinstance(value, dict):
            return self.text.read(value, name)
        if value.keys() - {"text"}:
            raise InvalidField(f"{name} has other fields beside text: join them yourself")
        return self.text.read(value.get("text"), f"{name}.text")


class Body:
    """The body of `/rerank`: one of the two shapes, by the name of the candidates."""

    required: ClassVar[bool] = True

    def __init__(self, limits: Limits) -> None:
        text = Address(
            "A candidate; without a readable address it has the score 0.",
            limits.address_chars,
            may_be_blank=True,
        )
        self._texts = _asked(limits, "Rerank", "texts", text, "return_text")
        self._documents = _asked(
            limits, "RerankDocuments", "documents", _Document(text), "return_documents"
        )

    def schema(self) -> Schema:
        """One of two objects."""
        both = [self._texts.schema(), self._documents.schema()]
        return {"anyOf": both, "examples": both[0]["examples"]}

    def read(self, value: object, name: str) -> RerankQuery:
        """What is asked.

        Raises:
            RequestError: It is no such body, or has a field that would be passed over.
        """
        fields = value if isinstance(value, dict) else {}
        if fields.get("texts") is None and fields.get("documents") is not None:
            return self._documents.read(_own(value, _NOT_BESIDE_DOCUMENTS), name)
        return self._texts.read(_own(value, _NOT_BESIDE_TEXTS), name)


def _asked(
    limits: Limits, title: str, candidates: str, candidate: Shape[str], repeated: str
) -> Object[RerankQuery]:
    return Object(
        title,
        {
            "query": Address("The address you have.", limits.address_chars),
            candidates: Listed(
                candidate,
                limits.rerank_texts,
                "The candidates that it is compared with.",
            ),
            "raw_scores": Flag(
                "Return the log-odds of the similarity instead of the similarity.",
                default=False,
            ),
            repeated: Flag("Repeat each candidate in the answer.", default=False),
            "truncate": Flag(
                "Score the part of a too long pair that the model reads; false refuses the pair.",
                default=True,
            ),
            "truncation_direction": Maybe(
                Text("Which end of a too long pair is cut; this model reads the beginning.", _ENDS)
            ),
            "top_n": Maybe(Whole(1, 2**31)),
            "model": Maybe(Text("The model that answers, if there are several.")),
        },
        partial(RerankQuery, candidates),
        {
            "query": schemas.EXAMPLE["address1"],
            candidates: [schemas.EXAMPLE["address2"], "滨江区江南大道1088号"],
        },
    )


def add_routes(api: Api, scorer: Scorer, limits: Limits) -> None:
    """Add `/rerank` by all of its paths."""
    blueprint = Blueprint("rerank", __name__)
    problems.register(blueprint, problem)
    shape = Body(limits)

    def rerank() -> Response:
        timeline: Timeline = g.timeline
        scorer.require_ready()
        asked = shape.read(schemas.json_body(), "")
        # One job, however many: one model, one deadline and one place in the queue, which hands
        # them out in batches and lets single pairs go before them.
        pairs = [(asked.query, text) for text in asked.texts]
        who = request_context.of(request.environ, ModelSelector(model=asked.model or ""))
        scored = scorer.score(pairs, timeline, who)
        _check_query(asked, scored)
        scores = [_checked(index, asked, one) for index, one in enumerate(scored.outcomes)]
        ranks = [_rank(index, asked, score) for index, score in enumerate(scores)]
        ranks.sort(key=lambda rank: -rank["score"])
        best = ranks[: asked.top_n]
        if asked.called == "texts":
            return jsonify(best)
        answer: RankedDocuments = {
            "results": [_of_document(rank) for rank in best],
            "model": scored.model.checkpoint.name,
            "meta": {"billed_units": {"search_units": 0}},
        }
        return jsonify(answer)

    for path in PATHS:
        operation = Operation(
            method="POST",
            path=path,
            tag="Predictions",
            summary="Sort candidates by their similarity to one address.",
            description="In the shape of text-embeddings-inference, or of Cohere and Jina.",
            body=shape,
            answer=list[Rank] | RankedDocuments,
            errors=SCORING,
            problem=RerankProblem,
        )
        api.route(operation, blueprint)(rerank)
    api.mount(blueprint)


def problem(error: RequestError) -> RerankProblem:
    """An error's document: `error` says what is wrong, `error_type` of what kind it is."""
    kind = "validation"
    status = statuses.of(error)
    if status >= 500:
        kind = "unhealthy" if status == 503 else "backend"
    elif status == statuses.of(QueueFull):
        kind = "overloaded"
    return {**schemas.problem(error), "error": str(error), "error_type": kind}


def _check_query(asked: RerankQuery, answer: Answer) -> None:
    """Refuse a query that nothing can be compared with.

    Raises:
        RequestError: It is one, by a pair of itself, or no candidate could be told from it.
    """
    refused = [outcome for outcome in answer.outcomes if isinstance(outcome, REFUSALS)]
    if not refused:
        return
    itself = (asked.query, asked.query)
    [tokens] = answer.model.tokenizer.encode([itself])
    if fault := refusal.of(itself, tokens):
        raise type(fault)(f"query: {str(fault).removeprefix('address1 ')}")
    if len(refused) == len(answer.outcomes) and isinstance(refused[0], Unreadable):
        raise Unreadable(f"query or {asked.called}[0]: {refused[0]}")


def _own(body: object, refused: Mapping[str, str]) -> object:
    """The body, unless it has a field of another reranker that would be passed over.

    Args:
        body: As it came.
        refused: Such fields, and what to do about each.

    Raises:
        InvalidField: It has.
    """
    if isinstance(body, dict):
        for name, instead in refused.items():
            if body.get(name) not in (None, False):
                raise InvalidField(f"{name} is not supported: {instead}")
    return body


def _checked(index: int, asked: RerankQuery, outcome: Score | RequestError) -> Score | None:
    """What a candidate got; None if there is no address in it that can be read.

    Raises:
        RequestError: It could not be scored.
    """
    if isinstance(outcome, REFUSALS):
        return None
    if isinstance(outcome, RequestError):
        raise outcome
    if outcome.truncated and not asked.truncate:
        raise InvalidField(
            f"query and {asked.called}[{index}] are longer than the model reads; "
            "set truncate to true"
        )
    return outcome


def _rank(index: int, asked: RerankQuery, score: Score | None) -> Rank:
    similarity = 0.0 if score is None else score.similarity
    rank: Rank = {"index": index, "score": _logit(similarity) if asked.raw_scores else similarity}
    if asked.repeats:
        rank["text"] = asked.texts[index]
    if score is not None and score.unread:
        rank["unread"] = score.unread
    return rank


def _of_document(rank: Rank) -> RankedDocument:
    """The same in the other shape."""
    ranked: RankedDocument = {"index": rank["index"], "relevance_score": rank["score"]}
    if "text" in rank:
        ranked["document"] = {"text": rank["text"]}
    if "unread" in rank:
        ranked["unread"] = rank["unread"]
    return ranked


def _logit(share: float) -> float:
    bounded = min(max(share, _SMALLEST), 1 - _SMALLEST)
    return math.log(bounded / (1 - bounded))
