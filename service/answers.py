"""Types of the answers of the prediction routes, for the server and its client.

The distribution of the client has this file too (`packages/client`), so it imports nothing else
of the service. `service/http/openapi.py` builds the OpenAPI document from these declarations.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict, get_args

Label = Literal["exact_match", "partial_match", "not_match"]

_Share = Annotated[float, {"minimum": 0, "maximum": 1}]


class Probabilities(TypedDict):
    """The model's probability of each label; they sum to 1."""

    exact_match: _Share
    partial_match: _Share
    not_match: _Share


class Model(TypedDict):
    """The model that answered, with its own description if it has one."""

    name: str
    version: Annotated[
        str,
        {"description": "The first 12 hex digits of a sha256 over the model's files."},
    ]
    backend: Annotated[
        str,
        {
            "description": "The backend that ran the model, with its precision, as in "
            "`MGEO_BACKEND`; `torch` is fp32."
        },
    ]
    description: NotRequired[str]


PartKind = Literal[
    "province", "city", "district", "town", "road", "lane", "number", "building", "unit", "floor",
    "room", "name",
]  # fmt: skip
PART_KINDS: tuple[PartKind, ...] = get_args(PartKind)
"""Kinds of parts of an address, largest first; `name` is any part of no other kind."""


class Difference(TypedDict):
    """A part that differs, or that only one address has."""

    kind: Annotated[
        PartKind,
        {"description": "`name` is any part of no other kind, such as an estate or a shop."},
    ]
    address1: Annotated[
        str | None,
        {
            "description": "The part of the first address, in half width and simplified "
            "characters; null if it has none."
        },
    ]
    address2: Annotated[str | None, {"description": "The same for the second address."}]


class Explanation(TypedDict):
    """With `explain`: the parts in which two addresses differ, by their texts alone. In `/match`,
    `address1` is the address of the request, and `address2` the entry.
    """

    conflicts: Annotated[
        list[PartKind],
        {
            "description": "Kinds of parts that both addresses have and that cannot be the same, "
            "from the largest to the smallest."
        },
    ]
    differences: Annotated[
        list[Difference], {"description": "All parts that differ, in the same order."}
    ]


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
            "description": "Share of an address's characters that the model does not know; the "
            "larger of the two. Above 0 the answer is about the rest, so check such a match. If "
            "text is normalised (MGEO_NORMALIZE) and the addresses differ in such characters, "
            "the label is never exact_match.",
        },
    ]
    explanation: NotRequired[Explanation]


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


Unread = Annotated[
    float,
    {
        "minimum": 0,
        "maximum": 1,
        "description": "Share of an address that the model cannot read; only above 0.",
    },
]


class Rank(TypedDict):
    """One candidate."""

    index: Annotated[int, {"minimum": 0, "description": "Its place in `texts`."}]
    score: Annotated[
        float, {"description": "Its similarity to the query, from 0 to 1; see `raw_scores`."}
    ]
    text: NotRequired[Annotated[str, {"description": "The candidate, with `return_text`."}]]
    unread: NotRequired[Unread]
