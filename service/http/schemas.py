"""The bodies of requests and answers: what the code checks and builds, and the document shows.

A body is declared as a shape, which reads it; an answer as a TypedDict, which mypy holds the code
to. `openapi.py` makes the document from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, TypedDict

from flask import request

from service.answers import BatchAnswer as BatchAnswer
from service.answers import Explanation as Explanation
from service.answers import Label as Label
from service.answers import Model as Model
from service.answers import Prediction as Prediction
from service.answers import PredictionByModel as PredictionByModel
from service.answers import Probabilities as Probabilities
from service.answers import Problem as Problem
from service.comparison import explaining
from service.comparison.explaining import Explain
from service.errors import InvalidField, RequestError, UnsupportedMediaType
from service.http import shapes, statuses
from service.http.shapes import Address, Flag, Maybe, Object, Shape, Slots, Text
from service.scoring.score import Score

if TYPE_CHECKING:
    from service.scoring.model import LoadedModel

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
        rerank_texts: Most candidates to rerank.
    """

    address_chars: int
    batch_pairs: int = 1
    rerank_texts: int = 1


def json_body() -> object:
    """The request's body, decoded.

    Raises:
        UnsupportedMediaType: It is not declared as JSON, or it is compressed.
        InvalidBody: It is not JSON.
    """
    if not request.is_json:
        raise UnsupportedMediaType("the Content-Type must be application/json")
    return shapes.decode(raw_body())


def raw_body() -> bytes:
    """The request's body as it came.

    Raises:
        UnsupportedMediaType: It is compressed.
    """
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("compressed bodies are not taken; leave Content-Encoding out")
    return request.get_data(cache=False)


def address(limits: Limits) -> Address:
    """An address that somebody has."""
    return Address("The address you have.", limits.address_chars)


def pair(limits: Limits) -> Shape[Pair]:
    """Two addresses."""
    return Object("Pair", _addresses(limits), lambda first, second: (first, second), EXAMPLE)


def _addresses(limits: Limits) -> dict[str, Shape[object]]:
    return {
        "address1": address(limits),
        "address2": Address("The candidate it is compared with.", limits.address_chars),
    }


@dataclass(frozen=True, slots=True)
class PairRequest:
    """The body of `/predict`, read."""

    pair: Pair
    explain: Explain


def pair_request(limits: Limits) -> Shape[PairRequest]:
    """The body of `/predict`."""
    return Object(
        "PairRequest",
        {**_addresses(limits), **EXPLANATION},
        lambda first, second, *asked: PairRequest((first, second), explanation(*asked)),
        EXAMPLE,
    )


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The body of `/predict/batch`, read: each pair, or what is wrong with it, in order."""

    slots: list[Pair | RequestError]
    explain: Explain


def batch(limits: Limits) -> Shape[BatchRequest]:
    """The body of `/predict/batch`."""
    pairs = Slots(
        pair(limits),
        limits.batch_pairs,
        "The pairs to score. One that is not a pair gets its problem in its place.",
    )
    return Object(
        "Batch",
        {"pairs": pairs, **EXPLANATION},
        lambda slots, *asked: BatchRequest(slots, explanation(*asked)),
        {"pairs": [EXAMPLE]},
    )


EXPLANATION: Final[Mapping[str, Shape[object]]] = {
    "explain": Flag("Say in what the two addresses differ.", default=False),
    "default_province": Maybe(
        Text("The province of addresses that name none, for `explain`: 浙江省 or 浙江.")
    ),
    "default_city": Maybe(
        Text("The city of addresses that name none, for `explain`: 杭州市 or 杭州.")
    ),
}
"""Fields of a body that ask for an explanation beside the score, the last ones."""


def explanation(explain: bool, province: str | None, city: str | None) -> Explain:
    """What the fields of `EXPLANATION` ask for.

    Raises:
        InvalidField: A default is no province or city, or it is given without `explain`.
    """
    return explaining.asked(
        explain,
        province,
        city,
        prefix="default_",
        remedy="send explain as true",
        error=InvalidField,
    )


class Health(TypedDict):
    """That the listener answers."""

    status: Annotated[str, {"const": "healthy"}]


def prediction(score: Score, explained: Explanation | None = None) -> Prediction:
    """One pair's answer."""
    made: Prediction = {
        "similarity": score.similarity,
        "label": score.label,
        "probabilities": _probabilities(score),
        "truncated": score.truncated,
        "unread": score.unread,
    }
    if explained is not None:
        made["explanation"] = explained
    return made


def result(outcome: Score | RequestError, pair: Pair, explain: Explain) -> Prediction | Problem:
    """What stands in one pair's place in the answer to a batch."""
    if isinstance(outcome, RequestError):
        return problem(outcome)
    return prediction(outcome, explaining.of(pair, explain))


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
        "status": statuses.of(error),
        "detail": str(error),
        "error": error.title,
    }


def _probabilities(score: Score) -> Probabilities:
    return {
        "exact_match": score.probabilities["exact_match"],
        "partial_match": score.probabilities["partial_match"],
        "not_match": score.probabilities["not_match"],
    }
