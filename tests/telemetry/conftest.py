from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import pytest
from opentelemetry import propagate
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

from telemetry import setup
from telemetry.setup import Telemetry
from tests.telemetry.collector import Collector

Start = Callable[..., Telemetry]


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    """Nothing that is one for the whole process reaches another test: variables, log handlers, the
    propagator, who measures the process, and which line the SDK does not say twice."""
    root = logging.getLogger()
    propagator = propagate.get_global_textmap()
    process = SystemMetricsInstrumentor()
    if process.is_instrumented_by_opentelemetry:  # by the service that other rooms share
        process.uninstrument()
    loggers = [
        one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)
    ]
    levels = {one: (one.level, one.disabled) for one in loggers}
    for logger in loggers:
        for once in logger.filters:
            if hasattr(once, "last_log"):
                del once.last_log
    environment, handlers, level = dict(os.environ), list(root.handlers), root.level
    for name in environment:
        if name.startswith(("OTEL_", "MGEO_")):
            del os.environ[name]
    yield
    propagate.set_global_textmap(propagator)
    for logger, (its_level, is_disabled) in levels.items():
        if (
            logger.level != its_level
        ):  # to set one goes through all of them, of which torch has many
            logger.setLevel(its_level)
        logger.disabled = is_disabled
    os.environ.clear()
    os.environ.update(environment)
    root.handlers[:] = handlers
    if root.level != level:
        root.setLevel(level)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as received:
        yield received


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts telemetry with the given variables, and shuts it down after the test."""
    started: list[Telemetry] = []

    def start_with(**variables: str) -> Telemetry:
        os.environ.update(variables)
        started.append(setup.start(service_version="1.2.3", instance_id="here:5000"))
        return started[-1]

    yield start_with
    for telemetry in started:
        telemetry.shutdown(5)
