"""The body of the request that is being answered."""

from __future__ import annotations

from flask import request

from service.errors import UnsupportedMediaType
from service.http import shapes


def json_body() -> object:
    """The request's body, decoded.

    Raises:
        UnsupportedMediaType: It is not declared as JSON.
        InvalidBody: It is not JSON.
    """
    if not request.is_json:
        raise UnsupportedMediaType("the Content-Type must be application/json")
    return shapes.decode(request.get_data(cache=False))
