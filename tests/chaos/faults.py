"""How each fault is brought about: a context manager whose block is the time that it lasts."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.chaos.faulty import LONGEST_GOOD_PAIR
from tests.chaos.stage import EXPORT_SECONDS, Stage
from tests.chaos.traffic import send
from tests.conftest import TINY
from tests.stack.clients import eventually
from tests.telemetry.nvml import stub

Inject = Callable[[Stage, str], AbstractContextManager[None]]

PAIR = {"address1": "甲州市东城区学府路7号", "address2": "甲州市学府路7号"}
POISON = {"address1": "路" * LONGEST_GOOD_PAIR, "address2": "学府路7号"}


def model(what: str) -> Inject:
    """The model misbehaves; `faulty` says how."""
    return lambda stage, name: stage.ordered(name, what)


@contextmanager
def out_of_memory(stage: Stage, name: str) -> Iterator[None]:
    """No batch of more than one pair fits into memory: pairs are scored all the same."""
    with stage.ordered(name, "out of memory"):
        _, body = send(stage.address(name), {"pairs": [PAIR] * 4}, "/predict/batch")
        assert ["similarity" in slot for slot in json.loads(body)["results"]] == [True] * 4
        yield


@contextmanager
def poison(stage: Stage, name: str) -> Iterator[None]:
    """A pair that fails whatever batch it is in: the others of its request are answered."""
    status, body = send(stage.address(name), {"pairs": [PAIR, POISON, PAIR]}, "/predict/batch")
    assert status == "200"
    assert [slot.get("status", 200) for slot in json.loads(body)["results"]] == [200, 500, 200]
    yield


def gpu(**state: int) -> Inject:
    """The management library answers otherwise."""

    @contextmanager
    def fault(stage: Stage, name: str) -> Iterator[None]:
        stage.gpu(name, {key.replace("__", "."): value for key, value in state.items()})
        yield
        stage.gpu(name, {})

    return fault


@contextmanager
def gpu_memory_rises(stage: Stage, name: str) -> Iterator[None]:
    """To 99 % within 20 s at production speed."""
    total, steps = 16 << 30, 10

    def rise() -> None:
        for step in range(1, steps + 1):
            used = int(total * (0.4 + 0.59 * step / steps))
            stage.gpu(name, {"0.used": used})
            time.sleep(20 / stage.scale / steps)

    thread = threading.Thread(target=rise, daemon=True)
    thread.start()
    yield
    thread.join()
    stage.gpu(name, {})


@contextmanager
def dies(stage: Stage, name: str) -> Iterator[None]:
    """The device never answers again: the process ends by itself, and is started when healed."""
    process = stage.process(name)
    with stage.ordered(name, "die"):
        eventually("the process ends", lambda: process.running, lambda runs: not runs, seconds=20)
        assert "mgeo: error: the service failed: RuntimeError" in process.log_tail()
        yield
    process.start()


@contextmanager
def port_taken(stage: Stage, name: str) -> Iterator[None]:
    """Another program has the operations port when the service starts."""
    process = stage.process(name)
    host, port = stage.stack.layout.address(name, 8000).split(":")
    process.stop()
    with socket.create_server((host, int(port))):
        process.start()
        yield
        # The alert may be heard before a busy machine has come as far as the port.
        eventually("the process ends", lambda: process.running, lambda runs: not runs, seconds=60)
        assert f"{host}:{port}" in process.log_tail()
    process.start()


def killed(*, again: bool = False) -> Inject:
    """SIGKILL; started again when healed, or at once."""

    @contextmanager
    def fault(stage: Stage, name: str) -> Iterator[None]:
        process = stage.process(name)
        process.kill()
        if again:
            process.start()
        yield
        if not again:
            process.start()

    return fault


@contextmanager
def crash_loop(stage: Stage, name: str) -> Iterator[None]:
    """SIGKILL and a start, three times; it lasts from the third on."""
    process = stage.process(name)
    query = f'mgeo_start_time_seconds{{instance="{name}"}}'
    for _ in range(2):
        before = stage.prometheus.value(query)
        process.kill()
        process.start()
        eventually(
            "the new process's metrics",
            lambda: stage.prometheus.value(query),
            lambda now, before=before: now not in (0, before),  # type: ignore[misc]
            seconds=30 + 4 * EXPORT_SECONDS / stage.scale,
        )
    process.kill()
    process.start()
    yield


@contextmanager
def terminated(stage: Stage, name: str) -> Iterator[None]:
    """SIGTERM under load, then a start."""
    process = stage.process(name)
    process.signal(signal.SIGTERM)
    eventually("the process ends", lambda: process.running, lambda runs: not runs, seconds=20)
    process.start()
    yield


@contextmanager
def paused(stage: Stage, name: str) -> Iterator[None]:
    """SIGSTOP: connections are taken by the system, and nothing answers."""
    process = stage.process(name)
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


@contextmanager
def refusing(stage: Stage, name: str) -> Iterator[None]:
    """The Collector has next to no memory, and turns all data away."""
    process = stage.process(name)
    little = {"COLLECTOR_MEMORY_LIMIT_MIB": "10", "COLLECTOR_MEMORY_SPIKE_MIB": "2"}
    process.kill()
    process.environment |= little
    process.start()
    yield
    process.kill()
    for key in little:
        del process.environment[key]
    process.start()


@contextmanager
def disk_full(stage: Stage, name: str) -> Iterator[None]:
    """No file of the process can be written beyond its first 4 KiB, as on a full disk."""
    pid = stage.process(name).pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def clock_moves(stage: Stage, name: str) -> Iterator[None]:
    """The wall clock of an instance jumps an hour ahead, and back."""
    stage.clock.set(3600)
    yield
    stage.clock.set(0)


@contextmanager
def model_replaced(stage: Stage, name: str) -> Iterator[None]:
    """The files of the model that is being served are overwritten, then gone, then others."""
    folder, address = stage.model(name), stage.address(name)
    before = json.loads(send(address, PAIR)[1])
    for file in folder.iterdir():
        with file.open("r+b") as opened:
            opened.truncate(0)
            opened.write(os.urandom(100))
    assert json.loads(send(address, PAIR)[1]) == before
    shutil.rmtree(folder)
    assert json.loads(send(address, PAIR)[1]) == before
    shutil.copytree(TINY, folder)
    assert json.loads(send(address, PAIR)[1]) == before
    yield


NVML_HANGS = gpu(nvmlDeviceGetMemoryInfo__hang=1)
NVML_GONE = gpu(nvmlDeviceGetCount_v2__fail=stub.GPU_IS_LOST)
