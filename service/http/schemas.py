"""The bodies of requests and answers: what the code checks and builds, and the document shows.

A body is declared as a shape, which reads it; an answer as a TypedDict, which mypy holds the code
to. `openapi.py` makes the document from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

from service.errors import RequestError
from service.http.shapes import Address, Object, Shape, Slots
from service.scoring.checkpoint import Label
from service.scoring.score import Score

if TYPE_CHECKING:
    from service.scoring.model import Model as LoadedModel

Pair = tuple[str, str]

EXAMPLE = {
    "address1": "杭州市西湖区文三路478号华星时代广场A座",
    "address2": "文三路478号华星时代广场",
}
"""A pair of made-up addresses."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a request's content.

    Attributes:
        address_chars: Longest address, in characters.
        batch_pairs: Most pairs in a batch request.
    """

    address_chars: int
    batch_pairs: int


def pair(limits: Limits) -> Shape[Pair]:
    """The body of `/predict`."""
    return Object(
        "Pair",
        {
            "address1": Address("The address that one has.", limits.address_chars),
            "address2": Address("The candidate it is compared with.", limits.address_chars),
        },
        lambda first, second: (first, second),
        EXAMPLE,
    )


def batch(limits: Limits) -> Shape[list[Pair | RequestError]]:
    """The body of `/predict/batch`: each pair, or what is wrong with it, in order."""
    pairs = Slots(
        pair(limits),
        limits.batch_pairs,
        "The pairs to score. One that is not a pair gets its problem in its place.",
    )
    return Object("Batch", {"pairs": pairs}, lambda slots: slots, {"pairs": [EXAMPLE]})


_Share = Annotated[float, {"minimum": 0, "maximum": 1}]


class Probabilities(TypedDict):
    """The model's probability of each label; they sum to 1."""

    exact_match: _Share
    partial_match: _Share
    not_match: _Share


class Model(TypedDict):
    """Which model answered, and what kind of model that is if it says so itself."""

    name: str
    version: Annotated[
        str,
        {"description": "The first 12 hex digits of a sha256 over the model's files."},
    ]
    backend: Annotated[
        str,
        {
            "description": "What ran it, and in which precision, as in `MGEO_BACKEND`; `torch` is "
            "fp32."
        },
    ]
    description: NotRequired[str]


class Prediction(TypedDict):
    """One pair's answer."""

    similarity: Annotated[
        float,
        {"minimum": 0, "maximum": 1, "description": "P(exact_match) + 0.5 P(partial_match)."},
    ]
    label: Annotated[Label, {"description": "The most probable label."}]
    probabilities: Probabilities
    truncated: Annotated[bool, {"description": "Whether the pair was longer than the model reads."}]
    unread: Annotated[
        float,
        {
            "minimum": 0,
            "maximum": 1,
            "description": "Share of the characters of an address that the model does not know, "
            "the larger one of both. Above 0 the answer is about the rest: look at such a match. "
            "Where text is normalised (MGEO_NORMALIZE) and the addresses differ in such "
            "characters, it is never exact_match.",
        },
    ]


class PredictionByModel(Prediction):
    """One pair's answer, and the model that gave it."""

    model: Model


class Problem(TypedDict):
    """What is wrong: RFC 9457, with the original script's `error` member."""

    type: Annotated[str, {"description": "Stable: `urn:mgeo:problem:` and a name."}]
    title: str
    status: int
    detail: Annotated[str, {"description": "Names the field and its limit, never its value."}]
    error: Annotated[str, {"description": "The title again, as the original script had it."}]


class BatchAnswer(TypedDict):
    """The answer to a batch."""

    results: Annotated[
        list[Prediction | Problem],
        {"description": "One for each pair, in order: its prediction, or its problem."},
    ]
    model: Model


class Health(TypedDict):
    """That the listener answers."""

    status: Annotated[str, {"const": "healthy"}]


def prediction(score: Score) -> Prediction:
    """One pair's answer."""
    return {
        "similarity": score.similarity,
        "label": score.label,
        "probabilities": _probabilities(score),
        "truncated": score.truncated,
        "unread": score.unread,
    }


def result(outcome: Score | RequestError) -> Prediction | Problem:
    """What stands in one pair's place in the answer to a batch."""
    return problem(outcome) if isinstance(outcome, RequestError) else prediction(outcome)


def identity(model: LoadedModel) -> Model:
    """Which model answers."""
    checkpoint = model.checkpoint
    named: Model = {
        "name": checkpoint.name,
        "version": checkpoint.version,
        "backend": model.backend.name,
    }
    if checkpoint.description:
        named["description"] = checkpoint.description
    return named


def problem(error: RequestError) -> Problem:
    """An error's document."""
    return {
        "type": f"urn:mgeo:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "error": error.title,
    }


def _probabilities(score: Score) -> Probabilities:
    return {
        "exact_match": score.probabilities["exact_match"],
        "partial_match": score.probabilities["partial_match"],
        "not_match": score.probabilities["not_match"],
    }
