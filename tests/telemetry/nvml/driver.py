"""A process with our GPU telemetry and nothing else: answers each line of input with a scrape."""

from __future__ import annotations

import json
import sys

from opentelemetry.sdk.metrics import MeterProvider

from telemetry import logs
from telemetry.gpu import GpuSampler
from telemetry.prometheus import PrometheusEndpoint
from telemetry.recording import Instruments
from tests.waiting import Stopwatch


def main() -> None:
    period, stale_after = map(float, sys.argv[1:])
    logs.configure("info")
    endpoint = PrometheusEndpoint()
    provider = MeterProvider(metric_readers=[endpoint.reader], shutdown_on_exit=False)
    sampler = GpuSampler(period=period, stale_after=stale_after)
    with Stopwatch() as start:
        sampler.start(Instruments(provider.get_meter("mgeo")))
    for _ in sys.stdin:
        with Stopwatch() as scrape:
            body, _ = endpoint.render("application/openmetrics-text")
        answer = {
            "text": body.decode(),
            "scrape_seconds": scrape.seconds,
            "start_seconds": start.seconds,
            "off_reason": sampler.off_reason,
        }
        print(json.dumps(answer), flush=True)
    sampler.stop()


if __name__ == "__main__":
    main()
