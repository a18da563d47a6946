"""What a request's body may be, and the answers' shapes.

Errors name the field and its limit, never its value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidBody, InvalidField, MissingFields, RequestError, TooLarge
from service.scoring.checkpoint import Checkpoint
from service.scoring.scorer import Score

FIELDS = ("address1", "address2")

_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a request's content.

    Attributes:
        address_chars: Longest address, in characters.
        batch_pairs: Most pairs in a batch request.
    """

    address_chars: int
    batch_pairs: int


def parse_json(body: bytes) -> object:
    """Decode a JSON body.

    Raises:
        InvalidBody: It is not JSON, or holds NaN or Infinity, which JSON has not.
    """
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # also raised for bad UTF-8 and over-long numbers
        raise InvalidBody("the body is not valid JSON") from None


def parse_pair(value: object, limits: Limits) -> tuple[str, str]:
    """The two addresses of a pair.

    Raises:
        InvalidBody: The value is not an object.
        MissingFields: An address is absent, null or blank.
        InvalidField: An address is not text, or too long.
    """
    if not isinstance(value, dict):
        raise InvalidBody("a JSON object with address1 and address2 is expected")
    first, second = (_address(value, name, limits) for name in FIELDS)
    return first, second


def parse_batch(value: object, limits: Limits) -> list[tuple[str, str] | RequestError]:
    """Each pair of a batch, or what is wrong with it, in order.

    Raises:
        InvalidBody: The value is not an object with a list `pairs`.
        TooLarge: There are too many pairs.
    """
    pairs = value.get("pairs") if isinstance(value, dict) else None
    if not isinstance(pairs, list):
        raise InvalidBody("a JSON object with a list `pairs` is expected")
    if len(pairs) > limits.batch_pairs:
        raise TooLarge(f"pairs has {len(pairs)} entries; the limit is {limits.batch_pairs}")
    parsed: list[tuple[str, str] | RequestError] = []
    for pair in pairs:
        try:
            parsed.append(parse_pair(pair, limits))
        except RequestError as error:
            parsed.append(error)
    return parsed


def prediction(score: Score) -> dict[str, Any]:
    """One pair's answer."""
    return {
        "similarity": score.similarity,
        "label": score.label,
        "probabilities": score.probabilities,
        "truncated": score.truncated,
    }


def result(outcome: Score | RequestError) -> dict[str, Any]:
    """What stands in one pair's place in the answer to a batch."""
    return problem(outcome) if isinstance(outcome, RequestError) else prediction(outcome)


def identity(checkpoint: Checkpoint) -> dict[str, Any]:
    """Which model answered, and what kind of model that is if it says so itself."""
    named = {"name": checkpoint.name, "version": checkpoint.version}
    if checkpoint.description:
        named["description"] = checkpoint.description
    return named


def problem(error: RequestError) -> dict[str, Any]:
    """An error's document: RFC 9457, with the original script's `error` member."""
    return {
        "type": f"urn:mgeo:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "error": error.title,
    }


def _address(pair: dict[Any, Any], name: str, limits: Limits) -> str:
    address = pair.get(name)
    if address is None:
        raise MissingFields(f"{name} is missing")
    if not isinstance(address, str):
        raise InvalidField(f"{name} must be a string")
    if not address.strip():
        raise MissingFields(f"{name} is empty")
    if len(address) > limits.address_chars:
        raise InvalidField(
            f"{name} has {len(address)} characters; the limit is {limits.address_chars}"
        )
    if _SURROGATE.search(address):
        raise InvalidField(f"{name} holds half of a surrogate pair, which is no character")
    return address


def _refuse_constant(_: str) -> object:
    raise ValueError
