"""GPU readings over NVML, by a sampler thread; the metric callbacks read its last sample.

NVML calls can take milliseconds and, on a sick driver, never return. A thread of its own keeps
that away from the start, from scrapes and from requests: the readings then stop, and their age
says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from telemetry import instruments as metrics
from telemetry.instruments import Metric, Series
from telemetry.recording import Instruments

log = logging.getLogger(__name__)

SAMPLE_PERIOD_SECONDS = 1.0
STALE_AFTER_SECONDS = 15.0
"""One scrape interval: an older reading is left out rather than repeated as if it were true."""

READINGS: dict[Metric, Callable[[ModuleType, Any], float]] = {
    metrics.GPU_MEMORY_USED: lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    metrics.GPU_MEMORY_LIMIT: lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    metrics.GPU_UTILIZATION: lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    metrics.GPU_TEMPERATURE: lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(
        gpu, nvml.NVML_TEMPERATURE_GPU
    ),
    metrics.GPU_POWER: lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,  # from mW
}
"""How each metric is read from NVML for one GPU."""


class GpuSampler:
    """Samples every GPU that NVML shows, once a period.

    Args:
        period: Seconds from one sample to the next.
        stale_after: Age in seconds from which a sample is no longer shown.

    Attributes:
        off_reason: Why there are no GPU metrics, or None while they are on.
    """

    def __init__(
        self, *, period: float = SAMPLE_PERIOD_SECONDS, stale_after: float = STALE_AFTER_SECONDS
    ) -> None:
        self.off_reason: str | None = None
        self._period, self._stale_after = period, stale_after
        self._on = False
        self._sample: dict[Metric, list[Series]] = {}
        self._sampled_at = time.monotonic()
        self._stop = threading.Event()
        self._warned: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)

    def start(self, instruments: Instruments) -> None:
        """Begin sampling; without NVML, say so once and stay off."""
        for metric in READINGS:
            instruments.observe(metric, self._reader(metric))
        instruments.observe(metrics.GPU_SAMPLE_AGE, self._age_series)
        self._thread.start()

    def stop(self) -> None:
        """End the sampler, waiting for at most two periods."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * self._period)

    def age(self) -> float:
        """Seconds since NVML last answered, or since the sampler was made if it never has."""
        return time.monotonic() - self._sampled_at

    def _reader(self, metric: Metric) -> Callable[[], list[Series]]:
        return lambda: self._sample.get(metric, []) if self.age() < self._stale_after else []

    def _age_series(self) -> list[Series]:
        # Also for an NVML whose very first call does not return: the driver is sick, not absent.
        shown = self._on or (self.off_reason is None and self.age() >= self._stale_after)
        return [(self.age(), {})] if shown else []

    def _run(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception as error:  # no driver, no library, no permission: all mean no metrics
            self.off_reason = str(error) or type(error).__name__
            log.info("GPU metrics are off", extra={"reason": self.off_reason})
            return
        self._on = True
        while True:
            try:
                self._sample = self._read(pynvml)
                self._sampled_at = time.monotonic()
            except Exception as error:
                self._warn_once("all", error)
            if self._stop.wait(self._period):
                return

    def _read(self, nvml: ModuleType) -> dict[Metric, list[Series]]:
        sample: dict[Metric, list[Series]] = {metric: [] for metric in READINGS}
        failure: Exception | None = None
        for index in range(nvml.nvmlDeviceGetCount()):
            # A board that fell off the bus takes its own series with it, and no other's.
            try:
                gpu = nvml.nvmlDeviceGetHandleByIndex(index)
                identity = {
                    "gpu_id": str(index),
                    "hw.id": nvml.nvmlDeviceGetUUID(gpu),
                    "hw.type": "gpu",
                    "model": nvml.nvmlDeviceGetName(gpu),
                }
            except nvml.NVMLError as error:
                failure = error
                self._warn_once(f"gpu {index}", error)
                continue
            for metric, read in READINGS.items():
                attributes = {key: identity[key] for key in metric.attributes}
                # A board may lack a sensor: it loses that series, and no other.
                try:
                    sample[metric].append((float(read(nvml, gpu)), attributes))
                except nvml.NVMLError as error:
                    failure = error
                    self._warn_once(metric.name, error)
        if failure and not any(sample.values()):
            raise failure
        return sample

    def _warn_once(self, reading: str, error: Exception) -> None:
        if reading in self._warned:
            return
        self._warned.add(reading)
        log.warning("GPU reading failed", extra={"reading": reading, "reason": str(error)})
