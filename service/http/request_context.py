"""What a request's headers say of its answer: by when, by which model, and whether computed anew.

The header of the deadline is the one that Envoy, and with it Istio and others, puts on each request
that it routes, "so that the upstream host receiving the request can make decisions based on the
request timeout" (Envoy's documentation of the router filter). Behind such a proxy no client has to
know of it. It counts from the request's arrival, so no two clocks must agree.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import get_current_span

from service.errors import BadRequest
from service.scoring.job import NEVER
from service.scoring.scorer import RequestContext
from service.scoring.split import ANY_MODEL, ModelSelector

HEADER = "X-Envoy-Expected-Rq-Timeout-Ms"

VERSION = "X-Mgeo-Version"
"""Names the model that is to answer: as it is declared, or by its version."""

SESSION = "X-Session-Id"
"""Names requests that belong together, so that one model answers all of them."""

FRESH = "Cache-Control"
"""With `no-cache` the model computes the answer, even if the cache has it."""

VERSION_PATTERN = "[a-z0-9][a-z0-9._-]{0,39}"
SESSION_PATTERN = "[!-~]{1,128}"
"""What these two may be: ids of any kind, and nobody's text."""

# Keys of the WSGI environment that the server adds.
BEGAN = "mgeo.began_ns"
"""Monotonic time of the request's first byte."""
ARRIVED = "mgeo.arrived_ns"
"""Monotonic time of its last byte."""
ON_HANG_UP = "mgeo.on_hang_up"
"""Takes what is to be called if the client hangs up before its answer."""
ON_ANSWERED = "mgeo.on_answered"
"""Takes what is to be called once it is known whether the answer was sent, and told that."""

_NAMES = {
    f"HTTP_{name}": name
    for name in (header.upper().replace("-", "_") for header in (HEADER, VERSION, SESSION, FRESH))
}
"""By the key of each header in the environment, what the server's parser calls it."""

_KEY, _VERSION_KEY, _SESSION_KEY, _FRESH_KEY = _NAMES


def of_headers(headers: Mapping[str, str]) -> RequestContext:
    """What the headers of a request say that nobody waits for yet.

    Args:
        headers: By their names in capitals, with `_` for `-`.

    Raises:
        BadRequest: A header is not what it should be.
    """
    return of({key: headers[name] for key, name in _NAMES.items() if name in headers})


def of(environ: Mapping[str, Any], route: ModelSelector = ANY_MODEL) -> RequestContext:
    """The context of the request with this WSGI environment.

    Args:
        environ: The environment.
        route: Which model its route names, if it does.

    Raises:
        BadRequest: A header is not what it should be.
    """
    selector, expires_ns, patience = route, NEVER, ""
    version, session = environ.get(_VERSION_KEY), environ.get(_SESSION_KEY)
    if version is not None or session is not None:
        if version is not None and not re.fullmatch(VERSION_PATTERN, version):
            raise BadRequest(f"{VERSION} must match {VERSION_PATTERN}")
        if session is not None and not re.fullmatch(SESSION_PATTERN, session):
            raise BadRequest(f"{SESSION} must be 1 to 128 visible ASCII characters")
        # What the route names holds, whatever a header says.
        selector = ModelSelector(session or "", route.model, route.version or version or "")
    given = environ.get(_KEY)
    if given is not None and (milliseconds := _shortest(given)):
        began: int = environ.get(BEGAN) or time.perf_counter_ns()
        expires_ns, patience = began + milliseconds * 1e6, f"{milliseconds:g} ms ({HEADER})"
    return RequestContext(
        expires_ns=expires_ns,
        patience=patience,
        on_hang_up=environ.get(ON_HANG_UP),
        selector=selector,
        fresh="no-cache" in environ.get(_FRESH_KEY, "").lower(),
        trace=get_current_span().get_span_context(),
    )


def _shortest(given: str) -> float:
    """The shortest of the times that the proxies on the way gave, in milliseconds; 0 for none.

    Each of them may put the header there, and 0 is how Envoy says that it sets no limit. There is
    no longest one: the service's own limit holds beside it.

    Raises:
        BadRequest: One of them is no number.
    """
    parts = [part.strip() for part in given.split(",")]
    # isdecimal: of what float() takes, no sign, no exponent, no blank.
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise BadRequest(f"{HEADER} must be a whole number of milliseconds; leave it out for none")
    return min(filter(None, map(float, parts)), default=0.0)
