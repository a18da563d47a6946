"""What a JSON value may be: each shape reads a value, and says as JSON Schema what it reads.

One declaration serves both, so the OpenAPI document cannot promise what the service refuses.
Errors name the field and its limit, never its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from service.errors import InvalidBody, InvalidField, MissingFields, RequestError, TooLarge

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Schema = dict[str, Any]
"""A JSON Schema of the 2020-12 dialect, which is OpenAPI 3.1's."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Shape(Protocol[T_co]):
    """What one value may be.

    Attributes:
        required: Whether a field of this shape must be there.
    """

    required: ClassVar[bool]

    def schema(self) -> Schema:
        """The JSON Schema of the values that `read` takes; `title` makes it a named one."""

    def read(self, value: object, name: str) -> T_co:
        """The value, checked.

        Args:
            value: As decoded from JSON; None where the field is absent.
            name: What errors call it.

        Raises:
            RequestError: It is something else.
        """


@dataclass(frozen=True, slots=True)
class Address:
    """An address: text with something in it.

    Attributes:
        description: For the document.
        max_chars: Longest one, in characters.
        may_be_blank: Whether there may be nothing in it.
    """

    required: ClassVar[bool] = True

    description: str
    max_chars: int
    may_be_blank: bool = False

    def schema(self) -> Schema:
        """A string with at least one character that is not white space, unless it may be blank."""
        text: Schema = {
            "type": "string",
            "description": self.description,
            "maxLength": self.max_chars,
        }
        if self.may_be_blank:
            return text
        return text | {
            "minLength": 1,
            # ECMAScript's `\s` lacks these five, which Python strips.
            "pattern": r"[^\s\u001c-\u001f\u0085]",
        }

    def read(self, value: object, name: str) -> str:
        """The address as it was sent.

        Raises:
            MissingFields: It is absent, null or blank.
            InvalidField: It is not text, or too long.
        """
        if value is None:
            raise MissingFields(f"{name} is missing")
        text = _text(value, name)
        if not (self.may_be_blank or text.strip()):
            raise MissingFields(f"{name} is empty")
        if len(text) > self.max_chars:
            raise InvalidField(f"{name} has {len(text)} characters; the limit is {self.max_chars}")
        return text


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false; absent or null is the default."""

    required: ClassVar[bool] = False

    description: str
    default: bool

    def schema(self) -> Schema:
        """A boolean or null."""
        return {
            "type": ["boolean", "null"],
            "description": self.description,
            "default": self.default,
        }

    def read(self, value: object, name: str) -> bool:
        """The flag, or its default.

        Raises:
            InvalidField: It is something else.
        """
        if value is None:
            return self.default
        if not isinstance(value, bool):
            raise InvalidField(f"{name} must be true or false")
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A string, or one of a few.

    Attributes:
        description: For the document.
        choices: What it may be; any string if there are none.
    """

    required: ClassVar[bool] = True

    description: str
    choices: tuple[str, ...] = ()

    def schema(self) -> Schema:
        """A string."""
        schema: Schema = {"type": "string", "description": self.description}
        return schema | ({"enum": list(self.choices)} if self.choices else {})

    def read(self, value: object, name: str) -> str:
        """The text.

        Raises:
            InvalidField: It is something else.
        """
        text = _text(value, name)
        if self.choices and text not in self.choices:
            raise InvalidField(f"{name} must be one of {', '.join(self.choices)}")
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    required: ClassVar[bool] = True

    low: int
    high: int

    def schema(self) -> Schema:
        """An integer."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def read(self, value: object, name: str) -> int:
        """The number.

        Raises:
            InvalidField: It is something else, or out of bounds.
        """
        # JSON Schema takes 1.0 for an integer.
        whole = isinstance(value, float) and value.is_integer()
        if isinstance(value, bool) or not (whole or isinstance(value, int)):
            raise InvalidField(f"{name} must be a whole number")
        number = int(cast(float, value))
        if not self.low <= number <= self.high:
            raise InvalidField(f"{name} must be from {self.low} to {self.high}")
        return number


@dataclass(frozen=True, slots=True)
class Anything:
    """A value that whoever uses it checks."""

    required: ClassVar[bool] = False

    described: Mapping[str, Any]

    def schema(self) -> Schema:
        """Whatever was said of it."""
        return dict(self.described)

    def read(self, value: object, name: str) -> object:
        """The value."""
        return value


@dataclass(frozen=True, slots=True)
class Maybe(Generic[T]):
    """A field that may be absent or null."""

    required: ClassVar[bool] = False

    shape: Shape[T]

    def schema(self) -> Schema:
        """Null, or what the shape takes."""
        return {"anyOf": [self.shape.schema(), {"type": "null"}]}

    def read(self, value: object, name: str) -> T | None:
        """None, or what the shape reads."""
        return None if value is None else self.shape.read(value, name)


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A list, each item of one shape.

    Attributes:
        item: The shape of each.
        max_items: Most of them.
        description: For the document.
        may_be_empty: Whether there may be none.
    """

    required: ClassVar[bool] = True

    item: Shape[T]
    max_items: int
    description: str
    may_be_empty: bool = False

    def schema(self) -> Schema:
        """An array of the items."""
        return {
            "type": "array",
            "description": self.description,
            "minItems": 0 if self.may_be_empty else 1,
            "maxItems": self.max_items,
            "items": self.item.schema(),
        }

    def read(self, value: object, name: str) -> list[T]:
        """The items; an error names the one at fault.

        Raises:
            InvalidBody: It is no list.
            MissingFields: It is empty.
            TooLarge: There are too many.
            RequestError: An item is not what it should be.
        """
        items = _list(value, name, self.max_items)
        if not (items or self.may_be_empty):
            raise MissingFields(f"{name} is empty")
        return [self.item.read(item, f"{name}[{index}]") for index, item in enumerate(items)]


@dataclass(frozen=True, slots=True)
class Slots(Generic[T]):
    """A list in which a bad item becomes its error and spoils no other.

    Attributes: as those of `Listed`.
    """

    required: ClassVar[bool] = True

    item: Shape[T]
    max_items: int
    description: str

    def schema(self) -> Schema:
        """An array of anything: the list is taken whatever is in it."""
        return {
            "type": "array",
            "description": self.description,
            "maxItems": self.max_items,
            "items": {"anyOf": [self.item.schema(), {}]},
        }

    def read(self, value: object, name: str) -> list[T | RequestError]:
        """Each item, or what is wrong with it, in order.

        Raises:
            InvalidBody: It is no list.
            TooLarge: There are too many items.
        """
        slots: list[T | RequestError] = []
        for item in _list(value, name, self.max_items):
            try:
                slots.append(self.item.read(item, ""))
            except RequestError as error:
                slots.append(error)
        return slots


@dataclass(frozen=True, slots=True)
class Object(Generic[T]):
    """An object with known fields; others are ignored.

    Attributes:
        title: Its name in the document.
        fields: The shape of each field.
        build: Makes the result from the fields' values, in their order.
        example: One that the service takes, of made-up addresses.
    """

    required: ClassVar[bool] = True

    title: str
    fields: Mapping[str, Shape[object]]
    build: Callable[..., T]
    example: Any = None

    def schema(self) -> Schema:
        """An object with the fields."""
        schema: Schema = {
            "title": self.title,
            "type": "object",
            "properties": {name: shape.schema() for name, shape in self.fields.items()},
            "required": [name for name, shape in self.fields.items() if shape.required],
        }
        if self.example is not None:
            schema["examples"] = [self.example]
        return schema

    def read(self, value: object, name: str) -> T:
        """What `build` makes of it.

        Raises:
            InvalidBody: It is no object.
            RequestError: A field is not what it should be.
        """
        if not isinstance(value, dict):
            names = [field for field, shape in self.fields.items() if shape.required]
            place = f"{name}: " if name else ""
            raise InvalidBody(f"{place}a JSON object with {' and '.join(names)} is expected")
        prefix = f"{name}." if name else ""
        return self.build(
            *[shape.read(value.get(field), prefix + field) for field, shape in self.fields.items()]
        )


def decode(body: bytes) -> object:
    """Decode a JSON body.

    Raises:
        InvalidBody: It is not JSON, or holds NaN or Infinity, which JSON has not.
    """
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except UnicodeDecodeError:
        raise InvalidBody(f"the body is not UTF-8, as JSON must be{_encoding(body)}") from None
    except json.JSONDecodeError as error:
        # Its message is the parser's own and repeats nothing of the body.
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidBody(f"the body is not JSON: {error.msg} at {where}") from None
    except (ValueError, RecursionError):  # numbers of thousands of digits, NaN, lists in lists
        raise InvalidBody(
            "the body is not JSON that can be read: it holds NaN, Infinity, a number of thousands "
            "of digits, or hundreds of lists within another"
        ) from None


def _encoding(body: bytes) -> str:
    try:
        body.decode("gb18030")
    except UnicodeDecodeError:
        return "; encode it in UTF-8"
    return ": it may be GBK; encode it in UTF-8"


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidField(f"{name} must be a string")
    if _SURROGATE.search(value):
        raise InvalidField(f"{name} holds half of a surrogate pair, which is no character")
    return value


def _list(value: object, name: str, limit: int) -> list[object]:
    if not isinstance(value, list):
        raise InvalidBody(f"{name} must be a list")
    if len(value) > limit:
        raise TooLarge(f"{name} has {len(value)} entries; the limit is {limit}")
    return value


def _refuse_constant(_: str) -> object:
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""One for all bodies: `json.loads` makes one for each."""
