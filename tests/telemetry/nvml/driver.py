"""A process with our GPU telemetry and nothing else: answers each line of input with a scrape."""

from __future__ import annotations

import json
import sys
import time

from opentelemetry.sdk.metrics import MeterProvider

from telemetry import logs
from telemetry.gpu import GpuSampler
from telemetry.prometheus import PrometheusEndpoint
from telemetry.recording import Instruments


def main() -> None:
    period, stale_after = map(float, sys.argv[1:])
    logs.configure("info")
    endpoint = PrometheusEndpoint()
    provider = MeterProvider(metric_readers=[endpoint.reader], shutdown_on_exit=False)
    sampler = GpuSampler(period=period, stale_after=stale_after)
    began = time.monotonic()
    sampler.start(Instruments(provider.get_meter("mgeo")))
    took = time.monotonic() - began
    for _ in sys.stdin:
        began = time.monotonic()
        body, _ = endpoint.render("application/openmetrics-text")
        answer = {
            "text": body.decode(),
            "scrape_seconds": time.monotonic() - began,
            "start_seconds": took,
            "off_reason": sampler.off_reason,
        }
        print(json.dumps(answer), flush=True)
    sampler.stop()


if __name__ == "__main__":
    main()
