"""Tensors of the Open Inference Protocol: as JSON, and as its binary extension has them.

In the binary form a message is a JSON header, followed by the bytes of those tensors that carry a
`binary_data_size`, in their order: numbers little-endian, and each element of a BYTES tensor behind
its length in four bytes.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from service.errors import InvalidBody, InvalidField
from service.http import shapes

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header that gives the length of the JSON in bytes, where tensors follow it."""

Datatype = Literal["BYTES", "FP32", "BOOL"]

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class InferOutput:
    """One tensor of an answer.

    Attributes:
        name: What it is called.
        datatype: The protocol's name of its elements' type.
        shape: Its dimensions.
        values: Its elements in row-major order: str, float or bool.
    """

    name: str
    datatype: Datatype
    shape: Sequence[int]
    values: Sequence[Any]

    def described(self) -> dict[str, Any]:
        """The tensor without its data."""
        return {"name": self.name, "shape": list(self.shape), "datatype": self.datatype}

    def raw(self) -> bytes:
        """Its data in the binary form."""
        if self.datatype == "BYTES":
            texts = [text.encode() for text in self.values]
            return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
        code = "f" if self.datatype == "FP32" else "?"
        return struct.pack(f"<{len(self.values)}{code}", *self.values)


def split(body: bytes, header_length: str | None) -> tuple[object, memoryview]:
    """The JSON of a message, and the bytes that follow it.

    Raises:
        InvalidBody: There is no JSON, or not as much as the header says.
    """
    if header_length is None:
        return shapes.decode(body), memoryview(b"")
    # Not int(): it takes signs, spaces and other scripts' digits.
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 12):
        raise InvalidBody(f"{HEADER_LENGTH} must be a number of bytes")
    length = int(header_length)
    if length > len(body):
        raise InvalidBody(f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes")
    return shapes.decode(body[:length]), memoryview(body)[length:]


def texts(raw: memoryview, name: str) -> list[str]:
    """The elements of a BYTES tensor in the binary form.

    Raises:
        InvalidField: An element is cut off, or is not UTF-8.
    """
    elements: list[str] = []
    at = 0
    while at < len(raw):
        place = f"{name}[{len(elements)}]"
        if at + _LENGTH.size > len(raw):
            raise InvalidField(f"{place}: the tensor ends within its length")
        [length] = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise InvalidField(f"{place} has {length} bytes, but {len(raw) - at} are left")
        try:
            elements.append(str(raw[at : at + length], "utf-8"))
        except UnicodeDecodeError:
            raise InvalidField(f"{place} is not UTF-8") from None
        at += length
    return elements


def flat(data: object, name: str) -> list[object]:
    """The elements of a tensor in JSON, which may be nested as its shape is, two levels at most.

    Raises:
        InvalidField: It is no list.
    """
    if not isinstance(data, list):
        raise InvalidField(f"{name}.data must be a list")
    flattened: list[object] = []
    for row in data:
        flattened.extend(row if isinstance(row, list) else [row])
    return flattened


def decoded(data: Sequence[object], name: str) -> list[object]:
    """The texts of elements in base64.

    Raises:
        InvalidField: One is no base64, or no text in UTF-8.
    """
    texts: list[object] = []
    for index, value in enumerate(data):
        try:
            texts.append(base64.b64decode(cast("str", value), validate=True).decode())
        except (ValueError, TypeError):
            raise InvalidField(f"{name}[{index}] is not UTF-8 text in base64") from None
    return texts


def message(
    head: Mapping[str, Any], outputs: Sequence[InferOutput], binary: frozenset[str]
) -> tuple[bytes, int | None]:
    """An answer, and the length of its JSON if bytes follow it.

    Args:
        head: Its members besides `outputs`.
        outputs: Its tensors.
        binary: Names of those that are sent in the binary form.
    """
    described, raws = [], []
    for output in outputs:
        if output.name in binary:
            raw = output.raw()
            described.append(output.described() | {"parameters": {"binary_data_size": len(raw)}})
            raws.append(raw)
        else:
            described.append(output.described() | {"data": list(output.values)})
    header = json.dumps({**head, "outputs": described}, ensure_ascii=False).encode()
    return b"".join([header, *raws]), len(header) if raws else None
