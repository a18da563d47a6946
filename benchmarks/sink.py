"""An OTLP receiver over gRPC that counts and forgets: `python -m benchmarks.sink PORT`.

Telemetry that goes nowhere would be cheaper than what users run. A Collector would compete for the
cores with what is measured and does so by its own configuration; this stands for one on another
machine. It counts messages in their wire form and writes the totals to standard output at each line
of standard input.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc

_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


def main() -> None:
    """Receive until standard input ends."""
    totals: Counter[str] = Counter()

    def handler(signal: str) -> grpc.RpcMethodHandler:
        def export(request: bytes, context: grpc.ServicerContext) -> bytes:
            totals[f"{signal}_requests"] += 1
            totals[f"{signal}_bytes"] += len(request)
            return b""  # the empty message: all accepted

        return grpc.unary_unary_rpc_method_handler(export)  # no codec: bytes in, bytes out

    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(service, {"Export": handler(signal)})
            for signal, service in _SERVICES.items()
        ]
    )
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(totals), flush=True)
    server.stop(None).wait(5)


if __name__ == "__main__":
    main()
