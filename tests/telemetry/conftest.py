from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import pytest

from telemetry import setup
from telemetry.setup import Telemetry
from tests.telemetry.collector import Collector

Start = Callable[..., Telemetry]


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    """No variable and no log handler of one test reaches another, nor of who runs the tests."""
    root = logging.getLogger()
    environment, handlers, level = dict(os.environ), list(root.handlers), root.level
    for name in environment:
        if name.startswith(("OTEL_", "MGEO_")):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(environment)
    root.handlers[:] = handlers
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
