"""An inference request of the Open Inference Protocol as pairs, and scores as its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NotRequired, TypedDict

from service.errors import InvalidField, MissingFields, TooLarge
from service.http import schemas, tensors
from service.http.schemas import Limits, Pair
from service.http.shapes import (
    Address,
    Anything,
    Flag,
    Listed,
    Maybe,
    Object,
    Schema,
    Shape,
    Text,
    Whole,
)
from service.http.tensors import Datatype, InferOutput
from service.scoring.checkpoint import LABELS
from service.scoring.score import Score

INPUTS = ("address1", "address2")
OUTPUTS: dict[str, tuple[Datatype, tuple[int, ...]]] = {
    "similarity": ("FP32", ()),
    "label": ("BYTES", ()),
    "probabilities": ("FP32", (len(LABELS),)),
    "truncated": ("BOOL", ()),
    "unread": ("FP32", ()),
}
"""Each tensor of an answer: its type, and its dimensions behind that of the pairs."""

_MOST_LISTED = 64
"""Bound on what the protocol lists, far above what there is: the mistake is named, not its size."""

_TEXT, _BASE64 = ("str", "np", "pd"), "base64"
"""Content types of MLServer's clients: those that leave the text as it is, and another."""

_UNSUPPORTED = ("classification", "sequence_id", "shared_memory_region", "timeout")
"""Parameters of Triton's extensions that change what is asked for: refused, not passed over."""


class OutputTensor(TypedDict):
    """A tensor of an answer."""

    name: str
    shape: list[int]
    datatype: str
    data: NotRequired[Annotated[list[Any], {"description": "Row-major, in one list."}]]
    parameters: NotRequired[dict[str, Any]]


class InferAnswer(TypedDict):
    """The answer, one row for each pair."""

    model_name: str
    model_version: str
    parameters: Annotated[
        dict[str, str], {"description": "`backend`: what ran the model, as in `MGEO_BACKEND`."}
    ]
    id: NotRequired[str]
    outputs: list[OutputTensor]


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any]
    data: object


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Infer:
    """A request, read. Attributes: as those of the document."""

    id: str | None
    parameters: dict[str, Any]
    inputs: list[_Input]
    outputs: list[_Wanted] | None


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters of a request or tensor: those of the binary extension checked, others kept."""

    required: ClassVar[bool] = False

    content_types: tuple[str, ...] = _TEXT

    known: ClassVar[dict[str, Shape[object]]] = {
        "binary_data": Flag("Whether to give this tensor in the binary form.", default=False),
        "binary_data_output": Flag("The same for all tensors.", default=False),
        "binary_data_size": Maybe(Whole(0, 2**31)),
    }

    def schema(self) -> Schema:
        """An object or null."""
        known = {name: shape.schema() for name, shape in self.known.items()}
        known["content_type"] = {"enum": [*self.content_types, None]}
        return {"type": ["object", "null"], "properties": known}

    def read(self, value: object, name: str) -> dict[str, Any]:
        """The parameters; none if null.

        Raises:
            InvalidField: It is no object, or asks for what is not supported.
        """
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidField(f"{name} must be an object")
        for parameter in _UNSUPPORTED:
            if parameter in value:
                raise InvalidField(f"{name}.{parameter} is not supported; leave it out")
        kind = value.get("content_type")
        if kind is not None and kind not in self.content_types:
            known = ", ".join(self.content_types)
            raise InvalidField(f"{name}.content_type must be one of {known}")
        checked = {
            parameter: self.known[parameter].read(value[parameter], f"{name}.{parameter}")
            for parameter in value.keys() & self.known.keys()
        }
        return value | checked


def body() -> Shape[Infer]:
    """The JSON of an inference request."""
    shape = Listed(Whole(1, 1_000_000), _MOST_LISTED, "[pairs], or [pairs, 1].")
    data = Anything(
        {"type": "array", "description": "The texts, in one list or nested as the shape says."}
    )
    wanted = Object(
        "WantedOutput", {"name": Text("", tuple(OUTPUTS)), "parameters": _Parameters()}, _Wanted
    )
    tensor = Object(
        "InputTensor",
        {
            "name": Text("", INPUTS),
            "shape": shape,
            "datatype": Text("", ("BYTES",)),
            "parameters": _Parameters((*_TEXT, _BASE64)),
            "data": data,
        },
        _Input,
    )
    example = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [schemas.EXAMPLE[name]]}
        for name in INPUTS
    ]
    return Object(
        "Infer",
        {
            "id": Maybe(Text("Repeated in the answer.")),
            "parameters": _Parameters(),
            "inputs": Listed(tensor, _MOST_LISTED, "Both addresses, in any order."),
            "outputs": Maybe(
                Listed(wanted, _MOST_LISTED, "The tensors to return; all if empty.", True)
            ),
        },
        Infer,
        {"inputs": example},
    )


def pairs(inputs: list[_Input], raw: memoryview, limits: Limits) -> list[Pair]:
    """The pairs of a request.

    Args:
        inputs: Its tensors.
        raw: What follows its JSON.
        limits: Bounds on it.

    Raises:
        RequestError: The two tensors are not what they should be.
    """
    columns: dict[str, list[str]] = {}
    address = Address("", limits.address_chars)
    for tensor in inputs:
        if tensor.name in columns:
            raise InvalidField(f"{tensor.name} is given twice")
        data: list[object]
        size = tensor.parameters.get("binary_data_size")
        if size is not None:
            if tensor.data is not None:
                raise InvalidField(f"{tensor.name} has both data and binary_data_size")
            if size > len(raw):
                raise InvalidField(f"{tensor.name} has {size} bytes, but {len(raw)} are left")
            data = [*tensors.texts(raw[:size], tensor.name)]
            raw = raw[size:]
        else:
            data = tensors.flat(tensor.data, tensor.name)
        _check_length(tensor, len(data), limits)
        if tensor.parameters.get("content_type") == _BASE64:
            data = tensors.decoded(data, tensor.name)
        columns[tensor.name] = [
            address.read(value, f"{tensor.name}[{index}]") for index, value in enumerate(data)
        ]
    if missing := [name for name in INPUTS if name not in columns]:
        raise MissingFields(f"the input {missing[0]} is missing")
    if raw:
        raise InvalidField(f"{len(raw)} bytes follow the last tensor")
    first, second = (columns[name] for name in INPUTS)
    if len(first) != len(second):
        raise InvalidField(f"address1 has {len(first)} elements and address2 {len(second)}")
    return list(zip(first, second, strict=True))


def _check_length(tensor: _Input, length: int, limits: Limits) -> None:
    if tensor.shape[1:] not in ([], [1]):
        raise InvalidField(f"{tensor.name}: a shape of [pairs] or [pairs, 1] is expected")
    if tensor.shape[0] > limits.batch_pairs:
        raise TooLarge(
            f"{tensor.name} has {tensor.shape[0]} elements; the limit is {limits.batch_pairs}"
        )
    if length != tensor.shape[0]:
        raise InvalidField(f"{tensor.name} has {length} elements, its shape says {tensor.shape[0]}")


def _wanted(asked: Infer) -> tuple[list[str], frozenset[str]]:
    """Names of the tensors to give, and of those to give in the binary form."""
    by_default = asked.parameters.get("binary_data_output")
    wanted = asked.outputs or [_Wanted(name, {}) for name in OUTPUTS]
    names = [output.name for output in wanted]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidField(f"the output {twice[0]} is asked for twice")
    parameters = {output.name: output.parameters for output in wanted}
    binary = {name for name, given in parameters.items() if given.get("binary_data", by_default)}
    return list(parameters), frozenset(binary)


def answer(
    head: Mapping[str, Any], asked: Infer, scores: Sequence[Score]
) -> tuple[bytes, int | None]:
    """The answer to a request, and the length of its JSON if tensors follow it.

    Args:
        head: Its members before `outputs`.
        asked: The request.
        scores: What each pair got.
    """
    values: dict[str, list[Any]] = {
        "similarity": [score.similarity for score in scores],
        "label": [score.label for score in scores],
        "probabilities": [score.probabilities[label] for score in scores for label in LABELS],
        "truncated": [score.truncated for score in scores],
        "unread": [score.unread for score in scores],
    }
    names, binary = _wanted(asked)
    outputs = [
        InferOutput(name, OUTPUTS[name][0], [len(scores), *OUTPUTS[name][1]], values[name])
        for name in names
    ]
    if asked.id is not None:
        head = {**head, "id": asked.id}
    return tensors.message(head, outputs, binary)
