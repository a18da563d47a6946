"""GPU readings over NVML, by a sampler thread; the metric callbacks read its last sample.

NVML calls can take milliseconds and, on a sick driver, never return. A thread of its own keeps
that away from scrapes and from requests: the readings then stop, and their age says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from telemetry import instruments as metrics
from telemetry.instruments import Instruments, Metric, Series

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
    """Samples every GPU that NVML shows, once a second.

    Attributes:
        off_reason: Why there are no GPU metrics, or None while they are on.
    """

    def __init__(self) -> None:
        self.off_reason: str | None = None
        self._sample: dict[Metric, list[Series]] = {}
        self._sampled_at = 0.0
        self._stop = threading.Event()
        self._warned: set[Metric | None] = set()
        self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)

    def start(self, instruments: Instruments) -> None:
        """Begin sampling; without NVML, say so once and stay off."""
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception as error:  # no driver, no library, no permission: all mean no metrics
            self.off_reason = str(error) or type(error).__name__
            log.info("GPU metrics are off", extra={"reason": self.off_reason})
            return
        for metric in READINGS:
            instruments.observe(metric, self._reader(metric))
        instruments.observe_value(metrics.GPU_SAMPLE_AGE, self.age)
        self._thread.start()

    def stop(self) -> None:
        """End the sampler, waiting for at most two periods."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * SAMPLE_PERIOD_SECONDS)

    def age(self) -> float:
        """Seconds since NVML last answered; since the machine's start if it never has."""
        return time.monotonic() - self._sampled_at

    def _reader(self, metric: Metric) -> Callable[[], list[Series]]:
        return lambda: self._sample.get(metric, []) if self.age() < STALE_AFTER_SECONDS else []

    def _run(self) -> None:
        while True:
            try:
                self._sample = self._read()
                self._sampled_at = time.monotonic()
            except Exception as error:
                self._warn_once(None, error)
            if self._stop.wait(SAMPLE_PERIOD_SECONDS):
                return

    def _read(self) -> dict[Metric, list[Series]]:
        import pynvml as nvml

        sample: dict[Metric, list[Series]] = {metric: [] for metric in READINGS}
        for index in range(nvml.nvmlDeviceGetCount()):
            gpu = nvml.nvmlDeviceGetHandleByIndex(index)
            identity = {
                "gpu_id": str(index),
                "hw.id": nvml.nvmlDeviceGetUUID(gpu),
                "hw.type": "gpu",
                "model": nvml.nvmlDeviceGetName(gpu),
            }
            for metric, read in READINGS.items():
                attributes = {key: identity[key] for key in metric.attributes}
                # A board may lack a sensor: it loses that series, and no other.
                try:
                    sample[metric].append((float(read(nvml, gpu)), attributes))
                except nvml.NVMLError as error:
                    self._warn_once(metric, error)
        return sample

    def _warn_once(self, metric: Metric | None, error: Exception) -> None:
        if metric in self._warned:
            return
        self._warned.add(metric)
        log.warning(
            "GPU reading failed",
            extra={"reading": metric.name if metric else "all", "reason": str(error)},
        )
