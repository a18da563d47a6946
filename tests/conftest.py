"""What the tests share: the small random checkpoint and a service that runs on it."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests

from service import usage_reporting
from tests.waiting import RunningClock

# Before a test imports one of these libraries by itself.
usage_reporting.turn_off()

# The same examples on every machine, and no limit of time that a busy one would fail.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("repeatable"), max_examples=20
)
hypothesis.settings.load_profile("repeatable")


def is_quick() -> bool:
    """Whether this is a run with `--quick`. To be asked when a test's module is imported."""
    return hypothesis.settings.get_current_profile_name() == "quick"


def examples(count: int) -> int:
    """How many examples a test tries that needs another number than Hypothesis's own; fewer with
    `--quick`. To be asked when the test's module is imported."""
    default = hypothesis.settings.get_profile("repeatable").max_examples
    return max(min(count, 5), count * hypothesis.settings.default.max_examples // default)


TINY = Path(__file__).parent / "data" / "tiny"

# The machine's own settings must not reach the tests.
for name in [n for n in os.environ if n.startswith(("MGEO_", "OTEL_"))]:
    del os.environ[name]

# Nor what it says of bytecode: without it each process that a test starts, and each worker of
# `make check`, compiles all of its modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What a start keeps on this machine (models, the choice of a backend) is not for tests to find.
_CACHE = tempfile.TemporaryDirectory(prefix="mgeo-tests-")
os.environ["MODELSCOPE_CACHE"] = _CACHE.name

# As the torch backend sets it; a test may import torch before. Threads of one batch wait for each
# other asleep. Where workers share the processors, each computes on one thread.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

# Read when tqdm is imported, which here may be long before the hub's client asks for it: its bars
# would break into the lines that tests read.
os.environ["TQDM_DISABLE"] = "1"

# A run in a shell's background has SIGINT ignored, and its children would inherit that: the
# tests that interrupt a command would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_GO = "programs that `make stack-build` compiles (Go)"
LEFT_OUT = {
    "browser": "a browser, of Debian's packages (root)",
    "chaos/test_chaos.py": _GO,
    "containers": f"root, and {_GO}",
    "contract/test_compose.py": _GO,
    "contract/test_stack_tools.py": _GO,
    "kubernetes/test_autoscaling.py": _GO,
    "kubernetes/test_deployment.py": _GO,
    "kubernetes/test_manifests.py": _GO,
    "kubernetes/test_network.py": _GO,
    "kubernetes/test_pod.py": _GO,
    "kubernetes/test_prometheus.py": _GO,
    "stack/test_alertmanager.py": "Alertmanager, of Debian's packages (root)",
}
"""What `--quick` leaves out beside tests marked slow, and what that needs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="leave out what is slow, or needs Go, root, a browser"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.quick:
        config.option.markexpr = " and ".join(filter(None, ["not slow", config.option.markexpr]))
        hypothesis.settings.load_profile("quick")
        # A test that needs a compiled program fails then, also where they are compiled.
        os.environ["STACK_CACHE_DIR"] = "/nonexistent"
        # Bulk files and registers wait 2,000 times for the disk, of which no test here can see more
        # than the time. In `make test` they wait.
        os.fsync = lambda descriptor: None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """While modules are imported hardly anything becomes garbage, and each worker of `make check`
    would look for it for two seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    name = str(collection_path.relative_to(Path(__file__).parent))
    return True if config.option.quick and name in LEFT_OUT else None


def pytest_report_header(config: pytest.Config) -> list[str]:
    if not config.option.quick:
        return []
    return [
        "quick: left out here, and run by `make test`:",
        *(f"  tests/{name}: needs {what}" for name, what in LEFT_OUT.items()),
        "  tests marked slow: start processes, the stack or a browser, or take seconds",
    ]


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """What ModelScope's own pipeline returned for the small random checkpoint."""
    loaded: dict[str, Any] = json.loads((TINY / "golden.json").read_text("utf-8"))
    return loaded


@dataclass(frozen=True)
class Running:
    """A service that runs in this process, reached over its real listeners."""

    predictions: str
    operations: str
    service: Any

    @property
    def engine(self) -> Any:
        """The engine of the first model."""
        return self.service.versions.table.serving[0][0].engine

    @property
    def queue(self) -> Any:
        """The queue of the first model."""
        return self.service.versions.table.serving[0][0].queue

    def post(self, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        """POST to the prediction listener; `body` is sent as JSON."""
        return requests.post(self.predictions + path, json=body, timeout=60, **kwargs)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """GET from the operations listener."""
        return requests.get(self.operations + path, timeout=60, **kwargs)


def start(**settings: Any) -> Running:
    """Start a service on free ports and wait until it is ready."""
    from service.app import Service
    from service.lifecycle import State
    from service.settings import Settings

    # Once it is ready the service goes through all objects of the process. The 800,000 of the tests
    # and of their libraries are left out: half a second of each start.
    gc.freeze()
    service = Service(
        Settings(
            **{
                "model": str(TINY),
                "backend": "openvino-f32",
                "port": 0,
                "metrics_port": 0,
                "cpu_threads": 1,
                **settings,
            }
        )
    )
    service.start()
    state = service.lifecycle.wait_while(State.STARTING, timeout=120)
    assert state is State.READY, service.lifecycle.error
    return Running(
        f"http://{service.predictions.address}", f"http://{service.operations.address}", service
    )


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """One service with default limits, shared by the tests that only ask it things."""
    service = start()
    yield service
    service.service.stop()


def eventually(check: Any, seconds: float = 30.0) -> Any:
    """The first true result of `check`, tried for at most `seconds`.

    An OSError counts as no answer: a program that is starting, or stalls, is asked again.
    """
    clock, told = RunningClock(), ""
    while True:
        try:
            if result := check():
                return result
        except OSError as error:
            told = f"; last: {error}"
        assert clock.seconds() < seconds, f"not true within {seconds:.0f} s{told}"
        time.sleep(0.02)


def logged_here(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What this thread has logged; an exporter of an earlier test may still try its Collector."""
    return [record for record in caplog.records if record.thread == threading.get_ident()]
