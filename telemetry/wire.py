"""Protobuf's wire format, as far as it takes to put messages together from parts made before.

A message's encoding is its fields' one after the other, in any order, so parts that the library has
serialised can be kept and joined: https://protobuf.dev/programming-guides/encoding/. What is here
is only what stands before a field's value; numbers and types come from the descriptors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

Field = Callable[[bytes], bytes]
"""Makes an encoded message into a field of the message that it is part of."""

_I64, _LEN, _I32 = 1, 2, 5
_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: _I64,
    FieldDescriptor.TYPE_FIXED64: _I64,
    FieldDescriptor.TYPE_FIXED32: _I32,
    FieldDescriptor.TYPE_BYTES: _LEN,
    FieldDescriptor.TYPE_MESSAGE: _LEN,
}


def encoded(message: Any) -> bytes:
    """What the library makes of a message."""
    made: bytes = message.SerializeToString()
    return made


def head(message: type[Any], name: str, width: int) -> bytes:
    """What stands before the value of a field, if that has always as many bytes."""
    tag, wire_type = _tag(message, name)
    return tag + _varint(width) if wire_type == _LEN else tag


def nested(message: type[Any], name: str) -> Field:
    """What makes a message into the field of that name."""
    tag, _ = _tag(message, name)

    def field(value: bytes) -> bytes:
        return b"%b%b%b" % (tag, _varint(len(value)), value)

    return field


def _tag(message: type[Any], name: str) -> tuple[bytes, int]:
    field = message.DESCRIPTOR.fields_by_name[name]
    wire_type = _WIRE_TYPES[field.type]
    return _varint(field.number << 3 | wire_type), wire_type


@lru_cache(maxsize=4096)  # most lengths come again
def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
