"""The routes of the prediction listener, and the OpenAPI 3.1 document that is made from them.

A route is added together with its `Operation`, so that none is undocumented. Bodies and answers are
described by the very declarations that read and build them (`schemas.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from flask import Blueprint, Flask, Response, request
from flask.sansio.scaffold import Scaffold

from service import __version__
from service.errors import (
    BadRequest,
    EngineFailed,
    InternalError,
    InvalidBody,
    InvalidField,
    MissingFields,
    NotAnAddress,
    NotReady,
    QueueFull,
    RequestError,
    TimedOut,
    TooBusy,
    TooLarge,
    TooLate,
    TooSlow,
    Unauthorized,
    UnknownModel,
    Unreadable,
    UnsupportedMediaType,
)
from service.http import problems, request_context, schemas, statuses
from service.http.measure import HEALTH
from service.http.shapes import Schema, Shape

DOCUMENT = "/openapi.json"
"""Where the document is."""

OPEN = frozenset({*HEALTH, DOCUMENT})
"""Operations that need no API key where the service asks for one; all others do."""

Errors = tuple[type[RequestError], ...]
View = TypeVar("View", bound=Callable[..., Any])

ANY_ROUTE: Errors = (BadRequest, TooSlow, TooBusy, InternalError)
"""What every route may answer."""

SCORING: Errors = (
    InvalidBody, InvalidField, MissingFields, NotAnAddress, Unreadable, UnsupportedMediaType,
    TooLarge, QueueFull, TooLate, NotReady, TimedOut, EngineFailed, UnknownModel,
)  # fmt: skip
"""What a route that scores pairs may answer."""

_KEY = "key"
_JSON = "application/json"
_DEADLINE: Schema = {
    "name": request_context.HEADER,
    "in": "header",
    "description": "Milliseconds that the client waits; no work is done for it after that. The "
    "service's own limit applies too. 0 means that the client sets no limit.",
    "schema": {"type": "integer", "minimum": 0},
}
_SELECTORS: list[Schema] = [
    {
        "name": request_context.VERSION,
        "in": "header",
        "description": "The model that answers, if there are several: its declared name, or its "
        "version. Without it the traffic is split by weight.",
        "schema": {"type": "string", "pattern": f"^{request_context.VERSION_PATTERN}$"},
    },
    {
        "name": request_context.SESSION,
        "in": "header",
        "description": "Any text that is the same for all requests of a session: one model "
        "answers all of them. Without it the addresses decide, in whichever order they are.",
        "schema": {"type": "string", "pattern": f"^{request_context.SESSION_PATTERN}$"},
    },
]
_FRESH: Schema = {
    "name": request_context.FRESH,
    "in": "header",
    "description": "With `no-cache` the model computes the answer, even if the cache has it.",
    "schema": {"type": "string"},
}
_VALUES = ("const", "default", "enum", "examples")
"""Keywords that hold values and no schemas."""

_SCALARS: dict[object, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    Any: {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one route, as the document has it.

    Attributes:
        method: In capitals.
        path: As Flask writes it, parameters as `<name>`.
        tag: The group that it belongs to.
        summary: One line.
        description: What the summary leaves open.
        body: What it takes, if anything.
        answer: What it gives: a TypedDict or another type that JSON has.
        media_type: Of the answer.
        binary: Whether the answer and the body may also be `application/octet-stream`.
        errors: What it answers besides those of every route.
        problem: The form of its errors.
    """

    method: str
    path: str
    tag: str
    summary: str
    description: str = ""
    body: Shape[object] | None = None
    answer: Any = str
    media_type: str = _JSON
    binary: bool = False
    errors: Errors = ()
    problem: type = schemas.Problem

    @property
    def name(self) -> str:
        """A name of its own: the document's `operationId`, and Flask's endpoint."""
        return re.sub(r"\W+", "_", f"{self.method.lower()}{self.path}").strip("_")


class Api:
    """Adds routes to an app, and writes the document of those it has added.

    Args:
        app: The application of the prediction listener.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self.operations: list[Operation] = []

    def route(self, operation: Operation, on: Scaffold | None = None) -> Callable[[View], View]:
        """A decorator that makes a function answer `operation`.

        Args:
            operation: What is answered.
            on: The blueprint that the route belongs to, if not the app itself.
        """

        def add(view: View) -> View:
            self.operations.append(operation)
            scaffold = self._app if on is None else on
            scaffold.add_url_rule(operation.path, operation.name, view, methods=[operation.method])
            return view

        return add

    def mount(self, blueprint: Blueprint) -> None:
        """Put a blueprint's routes into the app, once all are added."""
        self._app.register_blueprint(blueprint)

    def serve_document(self) -> None:
        """Answer `GET /openapi.json` with all routes, later ones included."""
        rendered: list[bytes] = []

        @self.route(
            Operation(
                method="GET",
                path=DOCUMENT,
                tag="Documentation",
                summary="This document.",
                answer=dict[str, Any],
            )
        )
        def document() -> Response:
            if not rendered:
                rendered.append(render(self.operations))
            return revalidated(Response(rendered[0], mimetype=_JSON))


def revalidated(response: Response) -> Response:
    """A document that may change with the service's version or settings: asked for, sent if new."""
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


def render(operations: Sequence[Operation]) -> bytes:
    """The document as JSON, with line ends, so that two versions can be compared."""
    return json.dumps(document(operations), ensure_ascii=False, indent=2).encode() + b"\n"


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `operations`."""
    named: dict[str, Schema] = {}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = templated(operation.path)
        item = paths.setdefault(path, {})
        item[operation.method.lower()] = _operation(operation, path, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MGeo inference service",
            "version": __version__,
            "description": "Are two Chinese addresses the same place?",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(named.items())),
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
        },
    }


def templated(path: str) -> str:
    """A route's path as OpenAPI writes it, with parameters as `{name}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)


def schema_of(kind: Any) -> Schema:
    """The JSON Schema of a type: a TypedDict, list, dict, union, literal or scalar.

    What `Annotated` adds is taken as further keywords of the schema.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        described = schema_of(arguments[0])
        for keywords in arguments[1:]:
            described |= keywords
        return described
    if origin is NotRequired:
        return schema_of(arguments[0])
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if is_typeddict(kind):
        fields = get_type_hints(kind, include_extras=True)
        return {
            "title": kind.__name__,
            "description": " ".join((kind.__doc__ or "").split()),
            "type": "object",
            "properties": {name: schema_of(hint) for name, hint in fields.items()},
            # Not __required_keys__: it takes NotRequired in a postponed annotation for required.
            "required": [n for n, hint in fields.items() if get_origin(hint) is not NotRequired],
        }
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    raise TypeError(f"no JSON Schema for {kind!r}")


def _operation(operation: Operation, path: str, named: dict[str, Schema]) -> dict[str, Any]:
    written: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        written["description"] = operation.description
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    if TimedOut in operation.errors:
        parameters += [_DEADLINE, *_SELECTORS, _FRESH]
    if parameters:
        written["parameters"] = parameters
    raw: Schema = {"application/octet-stream": {}} if operation.binary else {}
    if operation.body:
        content = {_JSON: {"schema": _hoisted(operation.body.schema(), named)}, **raw}
        written["requestBody"] = {"required": True, "content": content}
    answer = _hoisted(schema_of(operation.answer), named)
    content = {operation.media_type: {"schema": answer}, **raw}
    written["responses"] = {
        "200": {"description": "The answer.", "content": content},
        **dict(_failures(operation, named)),
    }
    if operation.path not in OPEN:
        written["security"] = [{}, {_KEY: []}]  # without keys of its own, a service asks for none
    return written


def _failures(operation: Operation, named: dict[str, Schema]) -> Iterator[tuple[str, Any]]:
    by_status: dict[int, list[str]] = {}
    keyed: Errors = () if operation.path in OPEN else (Unauthorized,)
    for error in (*operation.errors, *keyed, *ANY_ROUTE):
        by_status.setdefault(statuses.of(error), []).append(error.title)
    schema = _hoisted(schema_of(operation.problem), named)
    for status, titles in sorted(by_status.items()):
        answer: dict[str, Any] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(dict.fromkeys(titles))}.",
            "content": {problems.MEDIA_TYPE: {"schema": schema}},
        }
        if status in (statuses.of(QueueFull), statuses.of(NotReady)):
            answer["headers"] = {
                "Retry-After": {
                    "description": "Seconds after which the same request may succeed.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
        yield str(status), answer


def _hoisted(schema: Any, named: dict[str, Schema]) -> Any:
    """`schema` with every titled part put into `named` and referred to."""
    if isinstance(schema, list):
        return [_hoisted(part, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {
        key: value if key in _VALUES else _hoisted(value, named) for key, value in schema.items()
    }
    title = inner.get("title")
    if not isinstance(title, str):  # a field may have that name
        return inner
    del inner["title"]
    if named.setdefault(title, inner) != inner:
        raise ValueError(f"two schemas are named {title}")
    return {"$ref": f"#/components/schemas/{title}"}
