"""A load that rises, spikes and falls, as the telemetry of the service's pods would show it."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from tools.timescale import configuration

CURVE: Sequence[tuple[float, float]] = (
    (0, 200), (120, 200), (360, 1500), (540, 1500), (541, 3000), (570, 3000), (571, 200),
    (1020, 200),
)  # fmt: skip
"""(second, requests a second), straight lines in between: 17 minutes."""

POD_AT_MOST = 450.0
"""Requests a second that one pod answers (docs/capacity.md); beyond it its queue grows old."""


def requests_per_second(second: float) -> float:
    """The load at a second of the curve; its ends go on for ever."""
    before = CURVE[0]
    for point in CURVE:
        if second < point[0]:
            share = (second - before[0]) / (point[0] - before[0])
            return before[1] + share * (point[1] - before[1])
        before = point
    return before[1]


class Telemetry:
    """The pods' metrics under that load, on a page for Prometheus.

    Attributes:
        port: Where the page is, on loopback.
        second: The second of the curve that it is now.
        longest_pause: The longest time without a reader since it began, in seconds.
    """

    def __init__(self, speed: float, pods: Callable[[], int]) -> None:
        """Begins at second 0 with `begin`.

        Args:
            speed: How many seconds of the curve pass in one.
            pods: How many pods are ready.
        """
        self._speed, self._pods = speed, pods
        self._began: float | None = None
        self._seen = 0.0
        self._answered = 0.0
        self._read = 0.0
        self.longest_pause = 0.0
        self._lock = threading.Lock()
        telemetry = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = telemetry.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def begin(self) -> None:
        """The curve's second 0 is now."""
        with self._lock:
            self._began = self._read = time.monotonic()
            self._seen = self.longest_pause = 0.0

    def rest(self) -> None:
        """The curve has not begun: no request comes."""
        with self._lock:
            self._began, self._seen = None, 0.0

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def second(self) -> float:
        return 0.0 if self._began is None else (time.monotonic() - self._began) * self._speed

    def text(self) -> str:
        """The page. Time is the scaled one: a counter grows as much in a tenth of the time."""
        with self._lock:
            now, read = self.second, time.monotonic()
            self.longest_pause = max(self.longest_pause, read - self._read)
            self._read = read
            rate = requests_per_second(now)
            # The rule's rate is per real second: so is the counter.
            real = (now - self._seen) / self._speed
            self._answered += (requests_per_second(self._seen) + rate) / 2 * real
            self._seen = now
            age = 0.3 if rate > POD_AT_MOST * max(1, self._pods()) else 0.01
            label = 'job="mgeo-inference",instance="mgeo"'
            return (
                "# TYPE mgeo_ready gauge\n"
                f"mgeo_ready{{{label}}} 1\n"
                "# TYPE mgeo_request_total counter\n"
                f'mgeo_request_total{{{label},status="200"}} {self._answered}\n'
                "# TYPE mgeo_queue_oldest_age_seconds gauge\n"
                f"mgeo_queue_oldest_age_seconds{{{label}}} {age}\n"
            )


def prometheus_configuration(folder: Path, port: int, speed: float) -> Path:
    """Writes the configuration of a Prometheus that reads that page as often as ours is read."""
    shipped = {"scrape_interval": "15s", "scrape_timeout": "10s"}
    job = {"job_name": "pods", "honor_labels": True}
    scaled = configuration({"global": shipped, "scrape_configs": [job]}, speed)
    scaled["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(scaled), "utf-8")
    return file
