"""An OTLP receiver in this process, over gRPC and HTTP: a Collector that tests can look into.

It takes traces, metrics and logs, can refuse them, and can leave every call without an answer.
"""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

import grpc
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.waiting import RunningClock

Mode = Literal["accept", "refuse", "hang"]
Attributes = dict[str, Any]

LONGEST_HANG_SECONDS = 60.0


@dataclass(frozen=True)
class Span:
    """A span as it arrived."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    events: list[tuple[str, Attributes]]
    links: list[Attributes]
    linked: list[str]
    status: int
    resource: Attributes


@dataclass(frozen=True)
class Log:
    """A log record as it arrived."""

    body: str
    severity: str
    logger: str
    trace_id: str
    span_id: str
    attributes: Attributes
    resource: Attributes


@dataclass(frozen=True)
class Point:
    """The last value of one series: `value` of a number, or count, sum and buckets."""

    attributes: Attributes
    value: float
    count: int = 0
    buckets: tuple[int, ...] = ()
    exemplars: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True)
class Metric:
    """A metric as it arrived; `kind` is its instrument's, as Weaver names it."""

    name: str
    kind: str
    unit: str
    points: list[Point]
    resource: Attributes


@dataclass
class Collector:
    """Received telemetry, and the server that receives it. Use it in a `with` statement.

    Attributes:
        mode: How calls are treated: accepted, refused, or left unanswered.
        address: Where it listens; port 0 takes a free one.
        requests: Every request that was accepted, in its wire form.
        calls: How many calls came, whatever became of them.
        headers: Of the last call, in lower case.
        encodings: How the bodies that came over HTTP were compressed.
    """

    mode: Mode = "accept"
    address: str = "127.0.0.1:0"
    requests: list[Message] = field(default_factory=list)
    calls: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    encodings: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8, thread_name_prefix="collector"))
        for add, response in (
            (
                trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
                trace_service_pb2.ExportTraceServiceResponse,
            ),
            (
                metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
                metrics_service_pb2.ExportMetricsServiceResponse,
            ),
            (
                logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
                logs_service_pb2.ExportLogsServiceResponse,
            ),
        ):
            add(_Servicer(self._receive, response), self._server)
        port = self._server.add_insecure_port(self.address)
        self.endpoint = f"http://{self.address.rpartition(':')[0]}:{port}"
        self._server.start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.http_endpoint = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._server.stop(None).wait(60)

    @property
    def spans(self) -> list[Span]:
        """All spans, in the order of their arrival."""
        return [
            _span(span, attributes_of(resource.resource))
            for request in self._of(trace_service_pb2.ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def logs(self) -> list[Log]:
        """All log records, in the order of their arrival."""
        return [
            Log(
                body=record.body.string_value,
                severity=record.severity_text,
                logger=scope.scope.name,
                trace_id=record.trace_id.hex(),
                span_id=record.span_id.hex(),
                attributes=attributes_of(record),
                resource=attributes_of(resource.resource),
            )
            for request in self._of(logs_service_pb2.ExportLogsServiceRequest)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every metric by name, with the points of its last arrival (they are cumulative)."""
        return {metric.name: metric for metric in self.every_metric}

    @property
    def every_metric(self) -> list[Metric]:
        """All metrics, in the order of their arrival."""
        return [
            Metric(
                metric.name,
                _kind(metric),
                metric.unit,
                _points(metric),
                attributes_of(resource.resource),
            )
            for request in self._of(metrics_service_pb2.ExportMetricsServiceRequest)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def wire(self) -> bytes:
        """All that was accepted, in its wire form: strings are in it as UTF-8."""
        with self._lock:
            return b"\n".join(request.SerializeToString() for request in self.requests)

    def wait_for(self, condition: Callable[[Collector], object], seconds: float = 60) -> None:
        """Wait until `condition` holds; fails if it does not in time."""
        clock = RunningClock()
        while not condition(self):
            assert clock.seconds() < seconds, "the telemetry did not arrive"
            time.sleep(0.02)

    def _of(self, kind: type[Message]) -> Iterator[Any]:
        with self._lock:
            requests = list(self.requests)
        return (request for request in requests if isinstance(request, kind))

    def _receive(self, request: Message, context: grpc.ServicerContext) -> None:
        if not self.take(
            request, {key: str(value) for key, value in context.invocation_metadata()}
        ):
            context.abort(grpc.StatusCode.UNAVAILABLE, "refused by the test")

    def take(self, request: Message, headers: dict[str, str]) -> bool:
        """Treat a call as the mode says; whether it is accepted."""
        with self._lock:
            self.calls += 1
            self.headers = headers
        if self.mode == "hang":
            self._closing.wait(LONGEST_HANG_SECONDS)
        if self.mode != "accept":
            return False
        with self._lock:
            self.requests.append(request)
        return True


_HTTP_REQUESTS: dict[str, type[Message]] = {
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
}
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            encoding = headers.get("content-encoding", "")
            body = self.rfile.read(int(headers["content-length"]))
            request = _HTTP_REQUESTS[self.path].FromString(_DECODERS[encoding](body))
            accepted = collector.take(request, headers)
            collector.encodings.add(encoding)
            self.send_response(200 if accepted else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


class _Servicer:
    """Any of the three services: each has one method, of this name."""

    def __init__(
        self, receive: Callable[[Message, grpc.ServicerContext], None], response: type[Message]
    ) -> None:
        self._receive, self._response = receive, response

    def Export(self, request: Message, context: grpc.ServicerContext) -> Message:  # noqa: N802
        self._receive(request, context)
        return self._response()


def attributes_of(holder: Any) -> Attributes:
    """The attributes of a protobuf message that has some."""
    return {pair.key: _value(pair.value) for pair in holder.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _span_kind(number: int) -> str:
    return trace_pb2.Span.SpanKind.Name(number).removeprefix("SPAN_KIND_").lower()


def _kind(metric: Any) -> str:
    kind = str(metric.WhichOneof("data"))
    if kind == "sum":
        return "counter" if metric.sum.is_monotonic else "updowncounter"
    return kind


def _span(span: Any, resource: Attributes) -> Span:
    return Span(
        name=span.name,
        kind=_span_kind(span.kind),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=attributes_of(span),
        events=[(event.name, attributes_of(event)) for event in span.events],
        links=[attributes_of(link) for link in span.links],
        linked=[link.span_id.hex() for link in span.links],
        status=span.status.code,
        resource=resource,
    )


def _points(metric: Any) -> list[Point]:
    kind = metric.WhichOneof("data")
    points = []
    for point in getattr(metric, kind).data_points:
        exemplars = tuple(
            (one.trace_id.hex(), one.span_id.hex(), one.as_double or one.as_int)
            for one in point.exemplars
        )
        if kind == "histogram":
            points.append(
                Point(
                    attributes_of(point),
                    point.sum,
                    point.count,
                    tuple(point.bucket_counts),
                    exemplars,
                )
            )
        else:
            value = getattr(point, point.WhichOneof("value"))
            points.append(Point(attributes_of(point), value, exemplars=exemplars))
    return points
