"""No address leaves the process by telemetry, wherever a client puts one."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from telemetry import logs
from telemetry.privacy import ALLOWED_ATTRIBUTES
from tests.serving import Address, Service
from tests.telemetry.collector import Collector
from tests.telemetry.conftest import Start
from tests.telemetry.exposition import OPENMETRICS

CANARY = "杭州市西湖区文三路138号"
LATIN = "WensanRoad138"
FORMS = (
    CANARY.encode(),
    LATIN.encode(),
    LATIN.lower().encode(),
    quote(CANARY).encode(),
    json.dumps(CANARY)[1:-1].encode(),
    CANARY.encode("utf-8").decode("latin-1").encode(),
    CANARY[2:8].encode(),
)
"""The address as text, in a URL, escaped in JSON, mis-decoded from a header, and in part."""


def leaks(text: bytes | str) -> list[bytes]:
    searched = text if isinstance(text, bytes) else text.encode(errors="replace")
    return [form for form in FORMS if form in searched]


def test_what_is_searched_for_is_found() -> None:
    assert leaks(f"GET /{quote(CANARY)}") == [quote(CANARY).encode()]
    assert leaks("the road") == []


def test_a_span_arrives_without_what_a_client_wrote(collector: Collector, start: Start) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    state = TraceState([("vendor", LATIN)])
    linked = SpanContext(1, 2, is_remote=True, trace_state=state, trace_flags=TraceFlags(1))
    span = telemetry.tracer.start_span(
        f"GET /{CANARY}",
        context=set_span_in_context(NonRecordingSpan(linked)),
        kind=SpanKind.SERVER,
        links=[Link(linked, {"from": CANARY, "mgeo.pairs": 1})],
        attributes={"url.path": f"/{CANARY}", "http.request.method": "GET", CANARY: 1},
    )
    span.set_attributes({"user_agent.original": CANARY, "http.route": "/predict", "mgeo.pairs": 2})
    span.add_event("read", {"address": CANARY, "mgeo.tokens": 7})
    span.record_exception(ValueError(CANARY))
    span.set_status(Status(StatusCode.ERROR, CANARY))
    span.end()
    assert telemetry.shutdown(5)

    assert leaks(collector.wire()) == []
    [arrived] = collector.spans
    assert arrived.name == "GET /predict"
    assert arrived.attributes == {
        "http.request.method": "GET",
        "http.route": "/predict",
        "mgeo.pairs": 2,
    }
    assert arrived.events == [
        ("read", {"mgeo.tokens": 7}),
        ("exception", {"exception.type": "ValueError"}),
    ]
    assert arrived.links == [{"mgeo.pairs": 1}]
    assert arrived.status == StatusCode.ERROR.value


_STATE = SpanContext(
    1, 2, is_remote=True, trace_state=TraceState([("vendor", LATIN)]), trace_flags=TraceFlags(1)
)


@pytest.mark.parametrize(
    "put",
    [
        pytest.param(lambda span: span.set_attribute("note", CANARY), id="attribute"),
        pytest.param(lambda span: span.add_event("read", {"address": CANARY}), id="event"),
        pytest.param(lambda span: span.set_status(Status(StatusCode.ERROR, CANARY)), id="status"),
        pytest.param(lambda span: span.add_link(_STATE), id="a link's state"),
        pytest.param(
            lambda span: span.add_link(SpanContext(1, 2, is_remote=True), {"from": CANARY}),
            id="a link's attribute",
        ),
        pytest.param(None, id="the state of its parent, which is its own"),
    ],
)
def test_an_inner_span_leaves_without_what_a_client_wrote_too(
    collector: Collector, start: Start, put: Callable[[Span], Any] | None
) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    context = None if put else set_span_in_context(NonRecordingSpan(_STATE))
    span = telemetry.tracer.start_span("compute", context, attributes={"mgeo.pairs": 2})
    if put:
        put(span)
    span.end()
    assert telemetry.shutdown(5)

    assert leaks(collector.wire()) == []
    [arrived] = collector.spans
    assert arrived.attributes == {"mgeo.pairs": 2}


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"http.request.method": "POST", "http.route": "/predict"}, "POST /predict"),
        ({"http.request.method": "GET"}, "GET"),
        ({"http.request.method": "_OTHER"}, "HTTP"),
        ({}, "HTTP"),
    ],
)
def test_a_server_span_is_named_by_method_and_route(
    collector: Collector, start: Start, attributes: dict[str, str], name: str
) -> None:
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    telemetry.tracer.start_span(f"GET /{CANARY}", None, SpanKind.SERVER, attributes).end()
    telemetry.tracer.start_span("compute").end()
    assert telemetry.shutdown(5)

    assert [span.name for span in collector.spans] == [name, "compute"]


def test_no_allowed_key_can_hold_what_a_client_wrote() -> None:
    free_text = ("address", "body", "full", "header", "message", "original", "path", "query")
    assert [key for key in ALLOWED_ATTRIBUTES if key.endswith(free_text)] == []


def test_a_defect_of_the_service_quotes_nothing(
    collector: Collector, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """The application itself, with a model that raises what it was given."""
    from service.http import predict
    from service.settings import Settings

    def fail(*_: object) -> None:
        raise ValueError(CANARY) from KeyError(LATIN)

    logs.configure("debug")
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    scorer = SimpleNamespace(require_ready=lambda: None, score=fail)
    app = predict.create_app(Settings(), scorer, telemetry, lambda: False)
    client = app.test_client()
    pair = {"address1": CANARY, "address2": LATIN}
    for path in ("/predict", f"/predict?address1={CANARY}", f"/{CANARY}"):
        answer = client.post(path, json=pair, headers={"User-Agent": LATIN, "X-Address": LATIN})
        assert leaks(answer.data) == []
        answer.close()
    body, _ = telemetry.prometheus.render(OPENMETRICS)
    assert telemetry.shutdown(5)

    error = capsys.readouterr().err
    assert leaks(collector.wire()) == leaks(body) == leaks(error) == []
    assert [span.name for span in collector.spans if not span.parent_id] == [
        "POST /predict",
        "POST /predict",
        "POST",
    ]
    assert {log.attributes.get("exception.type") for log in collector.logs} >= {"ValueError"}
    assert error.count('"exception": "ValueError"') == 2


def test_a_library_that_quotes_a_header_is_cut(
    collector: Collector, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    from opentelemetry.propagate import extract

    logs.configure("debug")
    telemetry = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    for baggage in (LATIN, f"{LATIN}=" + "x" * 9000, f"{CANARY}=1", f"=={LATIN}"):
        extract({"baggage": baggage})
    for state in (f"{LATIN}={LATIN}", f"a={LATIN},a={LATIN}", f"{CANARY}=1"):
        extract({"traceparent": f"00-{1:032x}-{2:016x}-01", "tracestate": state})
    logging.getLogger("waitress").info(f"Client disconnected while serving /{CANARY}")
    assert telemetry.shutdown(5)

    error = capsys.readouterr().err
    assert "opentelemetry.baggage" in error
    assert "waitress" in error
    assert leaks(collector.wire()) == leaks(error) == []


def exchange(address: Address, request: bytes) -> bytes:
    """The whole answer to raw bytes, as far as it comes before the service hangs up."""
    answer = b""
    with socket.create_connection(address, timeout=60) as connection, suppress(ConnectionError):
        connection.sendall(request)
        while part := connection.recv(65536):
            answer += part
    return answer


def http(
    target: str = "/predict",
    body: object = None,
    *,
    method: str = "POST",
    host: str = "localhost",
    content_type: str = "application/json",
    **headers: str,
) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


PAIR = {"address1": CANARY, "address2": LATIN}
TENSORS = {
    "inputs": [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [text]}
        for name, text in PAIR.items()
    ]
}
TRACED = f"00-{0xABC:032x}-{0xDEF:016x}-01"

REQUESTS = {
    "a good pair": (http(body=PAIR), 200),
    "a good batch": (http("/predict/batch", {"pairs": [PAIR, {"address1": CANARY}]}), 200),
    "candidates": (http("/rerank", {"query": CANARY, "texts": [LATIN, CANARY]}), 200),
    "candidates, bad": (http("/rerank", {"query": CANARY, "texts": [LATIN, 7]}), 400),
    "tensors": (http("/v2/models/tiny/infer", TENSORS), 200),
    "tensors, bad": (http("/v2/models/tiny/infer", {"inputs": [{"name": LATIN}]}), 400),
    "path: a model": (http(f"/v2/models/{LATIN}/infer", TENSORS), 404),
    "path: a version": (http(f"/v2/models/tiny/versions/{LATIN}", method="GET"), 404),
    "path: a trace": (http(f"/traces/{quote(CANARY)}", method="GET"), 404),
    "path: a file": (http(f"/assets/{quote(CANARY)}?{LATIN}", method="GET"), 404),
    "body: not JSON": (http(body=f'{{"address1": "{CANARY}", {LATIN}'.encode()), 400),
    "body: no object": (http(body=[CANARY]), 400),
    "body: wrong type": (http(body={"address1": {CANARY: LATIN}, "address2": [CANARY]}), 400),
    "body: unknown field": (http(body={CANARY: LATIN}), 400),
    "body: too long an address": (http(body={"address1": CANARY * 90, "address2": "x"}), 400),
    "body: too large": (http(body={"address1": CANARY * 60_000}), None),
    "path": (http("/" + quote(CANARY), PAIR), 404),
    "path, raw": (http("/" + CANARY, PAIR), 400),
    "path below a route": (http(f"/predict/{LATIN}", method="GET"), 404),
    "path, absolute": (http(f"http://{LATIN}/predict/{LATIN}", PAIR), 404),
    "query": (http(f"/predict?address1={quote(CANARY)}&q={LATIN}", PAIR), 200),
    "query on health": (http(f"/healthz?{LATIN}", method="GET"), 200),
    "fragment": (http(f"/nowhere#{LATIN}", PAIR), 404),
    "method": (http(method=LATIN.upper(), body=PAIR), 405),
    "host": (http(host=LATIN, body=PAIR), 200),
    "host, Chinese": (http(host=CANARY, body=PAIR), None),
    "content type": (http(content_type=f"text/{LATIN}", body=PAIR), 415),
    "user agent": (http(body=PAIR, User_Agent=CANARY, Referer=LATIN, Cookie=f"a={LATIN}"), 200),
    "any header": (http(body=PAIR, X_Address=CANARY, X_Forwarded_For=LATIN, Forwarded=LATIN), 200),
    "baggage": (http(body=PAIR, baggage=f"{LATIN},{CANARY}=1,a={LATIN}"), 200),
    "traceparent": (http(body=PAIR, traceparent=LATIN), 200),
    "tracestate": (http(body=PAIR, traceparent=TRACED, tracestate=f"vendor={LATIN}"), 200),
    "tracestate, twice": (
        http(body=PAIR, traceparent=TRACED, tracestate=f"{LATIN.lower()}=1,{LATIN.lower()}=2"),
        200,
    ),
    "tracestate, bad": (http(body=PAIR, traceparent=TRACED, tracestate=f"{CANARY}={LATIN}"), 200),
    "no HTTP": (f"{CANARY}\r\n\r\n".encode(), 400),
    "bad header": (f"GET / HTTP/1.1\r\n{LATIN}\r\n\r\n".encode(), None),
    "bad length": (f"POST / HTTP/1.1\r\nContent-Length: {LATIN}\r\n\r\n".encode(), 400),
}


@pytest.mark.slow
def test_the_service_keeps_an_address_out_of_all_telemetry(collector: Collector) -> None:
    with Service("--log-level", "debug", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        answers = {
            name: exchange(service.predictions, request) for name, (request, _) in REQUESTS.items()
        }
        for target in (f"/{quote(CANARY)}", f"/metrics?{LATIN}", f"/readyz?{LATIN}"):
            exchange(service.operations, http(target, method="GET", X_Address=CANARY))
        metrics = service.scrape()
        assert service.terminate() == 0
        error = "\n".join(service.lines)

    statuses = {
        name: int(answer.split()[1]) if answer else None for name, answer in answers.items()
    }
    assert statuses == {name: want or statuses[name] for name, (_, want) in REQUESTS.items()}
    assert {name: leaks(answer) for name, answer in answers.items() if leaks(answer)} == {}
    assert leaks(metrics.text) == []
    assert leaks(error) == []
    assert leaks(collector.wire()) == []
    servers = {span.name for span in collector.spans if "http.request.method" in span.attributes}
    routes = {
        *("POST /predict", "POST /predict/batch", "POST /rerank", "POST /v2/models/<name>/infer"),
        *("GET /v2/models/<name>/versions/<version>", "GET /traces/<trace_id>"),
        "GET /assets/<file>",
    }
    assert servers == {*routes, "POST", "GET", "HTTP"}
    assert metrics.exemplars()
    assert any(log.logger.startswith("opentelemetry.baggage") for log in collector.logs)
