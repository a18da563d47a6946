"""What is sent again and again while tests look at the stores."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import requests

from service.http import keys, request_context
from tests.serving import Service
from tools.load import pair

TROUBLED = "troubled"
"""The name of the service of `troubles`."""


@contextmanager
def steadily(send: Callable[[requests.Session], None]) -> Iterator[None]:
    """Send every second, in a thread, for as long as the block lasts."""
    done = threading.Event()

    def run() -> None:
        with requests.Session() as session:
            # pytest changes the environment meanwhile, and reading it for proxies would then fail.
            session.trust_env = False
            while not done.wait(1):
                # One that fails is one sample fewer; the tests tell when there are none.
                with suppress(OSError, AssertionError):
                    send(session)

    sender = threading.Thread(target=run)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join(60)


@contextmanager
def troubles(collector: str, folder: Path) -> Iterator[None]:
    """A further service, for what an open and healthy one has none of.

    It requires API keys and has little patience. Every second it is sent a request with a key, one
    without, one that never ends, and one whose client waits a millisecond for 200 pairs. It makes
    no exemplars, so those that there are are other services'.

    Args:
        collector: Where it reports to.
        folder: For its keys.
    """
    key, line = keys.make("panels")
    file = folder / "keys"
    file.write_text(f"{line}\n", "utf-8")
    body = pair(random.Random())
    many = {"pairs": [pair(random.Random(number)) for number in range(200)]}
    admitted = {"Authorization": f"Bearer {key}"}
    hurried = admitted | {request_context.HEADER: "1"}
    with (
        Service(
            *("--api-keys-file", str(file), "--receive-timeout", "0.5"),
            OTEL_EXPORTER_OTLP_ENDPOINT=collector,
            OTEL_METRIC_EXPORT_INTERVAL="5000",
            OTEL_METRICS_EXEMPLAR_FILTER="always_off",
            OTEL_SERVICE_NAME=TROUBLED,
        ) as service,
        ExitStack() as open_ones,
    ):
        url = "http://{}:{}/predict".format(*service.predictions)

        def send(session: requests.Session) -> None:
            slow = socket.create_connection(service.predictions, timeout=5)
            open_ones.enter_context(slow).sendall(b"POST /predict HTTP/1.1\r\n")
            session.post(url, json=body, timeout=5, headers=admitted)
            session.post(url, json=body, timeout=5)
            session.post(f"{url}/batch", json=many, timeout=5, headers=hurried)

        with steadily(send):
            yield
