"""The body of the request that is being answered."""

from __future__ import annotations

from flask import request

from service.errors import UnsupportedMediaType
from service.http import shapes


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
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("compressed bodies are not taken; leave Content-Encoding out")
    return request.get_data(cache=False)
