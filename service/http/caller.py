"""Who waits for an answer: how long, as its request says, and whether it still does.

The header is the one that Envoy, and with it Istio and others, puts on each request that it routes,
"so that the upstream host receiving the request can make decisions based on the request timeout"
(Envoy's documentation of the router filter). Behind such a proxy no client has to know of it. It
counts from the request's arrival, so no two clocks must agree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from service.errors import BadRequest
from service.scoring.scorer import Caller

HEADER = "X-Envoy-Expected-Rq-Timeout-Ms"

# Keys of the WSGI environment that the server adds.
BEGAN = "mgeo.began_ns"
"""Monotonic time of the request's first byte."""
ARRIVED = "mgeo.arrived_ns"
"""Monotonic time of its last byte."""
ON_HANG_UP = "mgeo.on_hang_up"
"""Takes what is to be called if the client hangs up before its answer."""

_KEY = "HTTP_" + HEADER.upper().replace("-", "_")

LONGEST_MS = 3_600_000
"""An hour: the most that a client may say."""


def of(environ: Mapping[str, Any]) -> Caller:
    """The caller of the request with this WSGI environment.

    Raises:
        BadRequest: The header is not a whole number of milliseconds, 1 to an hour.
    """
    hang_up = {"on_hang_up": environ[ON_HANG_UP]} if ON_HANG_UP in environ else {}
    given = environ.get(_KEY)
    if given is None:
        return Caller(**hang_up)
    # isdecimal: of what int() takes, no sign, no underscore, no blank.
    if not (given.isascii() and given.isdecimal() and len(given) <= 7):
        raise BadRequest(f"{HEADER} must be a whole number of milliseconds")
    milliseconds = int(given)
    if not 1 <= milliseconds <= LONGEST_MS:
        raise BadRequest(f"{HEADER} must be from 1 to {LONGEST_MS} milliseconds")
    began: int = environ.get(BEGAN) or time.perf_counter_ns()
    return Caller(expires_ns=began + milliseconds * 1e6, **hang_up)
