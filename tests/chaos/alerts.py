"""What Prometheus fires, watched all the time."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.stack.clients import get

_PERIOD_SECONDS = 0.2

NOT_ABOUT_THE_STACK = {
    "MgeoWatchdog": "always fires",
    "MgeoHostCpuHigh": "the machine that runs the tests is busy, with them among others",
}
"""Alerts that are not watched, and why."""


@dataclass(frozen=True)
class Firing:
    """An alert that fired.

    Attributes:
        name: Of the alert.
        labels: Its labels.
        active: When its condition began to hold, in seconds since the epoch.
        seen: When it was first seen firing.
    """

    name: str
    labels: Mapping[str, str]
    active: float
    seen: float

    def fits(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether it is that alert, with these labels among its own."""
        return self.name == name and labels.items() <= self.labels.items()


class Watch:
    """Asks Prometheus at `url` what fires, until it is stopped.

    Attributes:
        fired: All that has fired, in that order.
        awake: When the alert that always fires was last seen, in seconds since the epoch.
        longest_pause: The longest time between two looks, in seconds.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/alerts"
        self.fired: list[Firing] = []
        self.awake = 0.0
        self.longest_pause = 0.0
        self._known: set[tuple[object, ...]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, name: str, labels: Mapping[str, str], since: float, until: float) -> float:
        """When that alert was seen, active since `since`; infinity if not by `until`."""
        while True:
            for firing in list(self.fired):
                # An alert's clock is the evaluation's, which may be a moment behind.
                if firing.fits(name, labels) and firing.seen >= since:
                    return firing.seen
            if time.time() > until:
                return float("inf")
            time.sleep(_PERIOD_SECONDS / 2)

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._stop.wait(_PERIOD_SECONDS):
            self.longest_pause = max(self.longest_pause, time.monotonic() - looked)
            looked = time.monotonic()
            try:
                alerts = get(self._url)["data"]["alerts"]
            except (OSError, AssertionError, ValueError):
                continue  # Prometheus is away: that is one of the faults
            now = time.time()
            for alert in alerts:
                self._note(alert, now)

    def _note(self, alert: dict[str, object], now: float) -> None:
        labels = alert["labels"]
        assert isinstance(labels, dict)
        name = labels["alertname"]
        if alert["state"] != "firing":
            return
        if name == "MgeoWatchdog":
            self.awake = now
        active = datetime.datetime.fromisoformat(str(alert["activeAt"])).timestamp()
        known = (active, *sorted(labels.items()))
        if name in NOT_ABOUT_THE_STACK or known in self._known:
            return
        self._known.add(known)
        self.fired.append(Firing(name, labels, active, now))
