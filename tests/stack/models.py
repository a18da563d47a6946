"""A service with several models that exports to a stack, and traffic for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.conftest import TINY
from tests.models import declare, pairs, variant
from tests.serving import Service
from tests.stack.senders import steadily
from tools.stack import Stack

TWIN_NOISE, WORSE_NOISE = 0.0003, 1.0
"""Of 400 pairs, a twin labels all but one as the original does, the worse one a quarter."""


@contextmanager
def compared(stack: Stack, folder: Path, *models: dict[str, Any]) -> Iterator[Service]:
    """A service with `models`, whose sources are found by their names: a, twin and worse."""
    sources = {
        "a": TINY,
        "twin": variant(folder / "twin" / "tiny", TWIN_NOISE),
        "worse": variant(folder / "worse" / "tiny", WORSE_NOISE),
    }
    file = declare(
        folder / "models.json", *({"source": str(sources[m["name"]]), **m} for m in models)
    )
    with Service(
        *("--model", "bundled", "--models-file", str(file)),
        OTEL_EXPORTER_OTLP_ENDPOINT=stack.url("otel-collector", 4317),
        OTEL_METRIC_EXPORT_INTERVAL="2000",
        OTEL_TRACES_SAMPLER="always_off",
        OTEL_SERVICE_NAME="compared",
    ) as service:
        yield service


def send(service: Service, count: int) -> None:
    """Send so many different pairs, four at a time, each in a request of its own."""
    host, port = service.predictions
    with ThreadPoolExecutor(4) as clients, requests.Session() as session:
        # pytest changes the environment meanwhile, and reading it for proxies would then fail.
        session.trust_env = False

        def ask(pair: tuple[str, str]) -> None:
            body = {"address1": pair[0], "address2": pair[1]}
            answer = session.post(f"http://{host}:{port}/predict", json=body, timeout=30)
            assert answer.status_code == 200, answer.text

        list(clients.map(ask, pairs(count)))


@contextmanager
def steadily_sent(service: Service) -> Iterator[None]:
    """Send some pairs every second."""
    with steadily(lambda _: send(service, 20)):
        yield
