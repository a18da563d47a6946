"""Half a minute into a trouble, the first screen of *Service* has changed colour."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import requests

from tests.stack.clients import Prometheus, eventually
from tests.stack.conftest import prepare
from tests.waiting import RunningClock
from tools.compose import REPOSITORY
from tools.load import pair
from tools.picture import fill
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

INSTANCES = ("mgeo-1", "mgeo-2")
BOARDS = REPOSITORY / "grafana" / "dashboards"
PANELS = json.loads((BOARDS / "service.json").read_text("utf-8"))["panels"]
FIGURES = [panel for panel in PANELS if panel["type"] == "stat"]
ORDER = ("no data", "green", "orange", "red")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two instances with a short queue, a Collector, and Prometheus, which asks both."""
    only = [*INSTANCES, "otel-collector", "prometheus"]
    further = [REPOSITORY / "docker-compose.replicas.yml"]
    settings = {"MGEO_MAX_QUEUE_PAIRS": "512", "MGEO_CPU_THREADS": "1"}
    with prepare(tmp_path_factory.mktemp("two"), settings, only, further) as running:
        file = running.directory / "prometheus/etc/prometheus/targets/service-probe.yml"
        lines = file.read_text().splitlines()
        third = next(i for i, line in enumerate(lines) if "instance: mgeo-3" in line)
        file.write_text("\n".join(lines[: third - 1]) + "\n")
        running.start()
        yield running


@pytest.fixture(scope="module")
def asked(two: Stack) -> Prometheus:
    return Prometheus(two.url("prometheus", 9090))


@contextmanager
def _clients(count: int, act: Callable[[random.Random], None], pause: float) -> Iterator[None]:
    """So many clients that `act` again and again."""
    done = threading.Event()

    def run(number: int) -> None:
        source = random.Random(number)
        while not done.wait(pause):
            with suppress(requests.RequestException):
                act(source)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join(60)


@contextmanager
def _flooded(stack: Stack, names: Sequence[str]) -> Iterator[None]:
    """More pairs than the queues of these instances have room for, all the time."""

    def act(source: random.Random, url: str) -> None:
        # A tenth of a queue each: one that has no room for another is full to nine tenths.
        body = {"pairs": [pair(source) for _ in range(48)]}
        requests.post(url, json=body, timeout=20)

    with ExitStack() as floods:
        for name in names:
            url = stack.url(name, 5000, "/predict/batch")
            floods.enter_context(_clients(16, lambda source, url=url: act(source, url), 0.01))
        yield


@contextmanager
def _frozen(stack: Stack, name: str) -> Iterator[None]:
    process = stack.process(name)
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


def color(panel: dict[str, Any], legend: str, value: float) -> str:
    """The colour that a figure has for a value."""
    thresholds = panel["fieldConfig"]["defaults"]["thresholds"]
    for override in panel["fieldConfig"].get("overrides", ()):
        if override["matcher"] == {"id": "byName", "options": legend}:
            for setting in override["properties"]:
                thresholds = setting["value"] if setting["id"] == "thresholds" else thresholds
    found: str = [
        step["color"] for step in thresholds["steps"] if step["value"] in (None, "")
        or value >= step["value"]
    ][-1]  # fmt: skip
    return found


def colors(prometheus: Prometheus) -> dict[str, str]:
    """Title → the gravest colour of each figure now."""
    shown = {}
    for panel in FIGURES:
        seen = ["no data"]
        for target in panel["targets"]:
            for series in prometheus.query(fill(target["expr"])):
                value = float(series["value"][1])
                if value == value:  # no NaN
                    seen.append(color(panel, target["legendFormat"], value))
        shown[panel["title"]] = max(seen, key=ORDER.index)
    return shown


def _well(shown: dict[str, str]) -> bool:
    return set(shown.values()) == {"green"}


@pytest.fixture(scope="module")
def usual(two: Stack, asked: Prometheus) -> Iterator[None]:
    """A few requests a second to each instance, until all is green, and on."""

    def act(source: random.Random) -> None:
        for name in INSTANCES:
            requests.post(two.url(name, 5000, "/predict"), json=pair(source), timeout=2)

    with _clients(2, act, 0.5):
        eventually("all figures are green", lambda: colors(asked), _well, seconds=180)
        yield


@pytest.mark.parametrize(
    ("trouble", "changed"),
    [
        ("a freeze", {"Instances answering"}),
        ("a full queue of one of two", {"Nearest limit"}),
        ("an overload", {"Nearest limit", "Success rate"}),
    ],
)
def test_after_half_a_minute_the_first_screen_has_changed_colour(
    trouble: str,
    changed: set[str],
    two: Stack,
    asked: Prometheus,
    usual: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    eventually("all figures are green", lambda: colors(asked), _well, seconds=600)
    block = {
        "a freeze": lambda: _frozen(two, "mgeo-2"),
        "a full queue of one of two": lambda: _flooded(two, INSTANCES[:1]),
        "an overload": lambda: _flooded(two, INSTANCES),
    }[trouble]()
    with block:
        RunningClock().sleep(30)
        shown = colors(asked)
        if trouble == "an overload":
            _alerts_are_shown(asked)
    told = {title: one for title, one in shown.items() if one != "green"}
    with capsys.disabled():
        print(f"\n{trouble}, after 30 s: {told}")
    assert changed <= set(told)
    assert set(told.values()) <= {"orange", "red"}


def _alerts_are_shown(prometheus: Prometheus) -> None:
    """What fires is in the figure, the tables, the timeline and the marks."""
    figure = next(panel for panel in FIGURES if panel["title"] == "Alerts firing")
    eventually(
        "an alert fires", lambda: colors(prometheus), lambda c: c["Alerts firing"] != "green", 90
    )
    queries = [
        target["expr"]
        for file in BOARDS.glob("*.json")
        for panel in json.loads(file.read_text("utf-8"))["panels"]
        for target in panel.get("targets", ())
        if "ALERTS" in target.get("expr", "") and panel["title"] != figure["title"]
    ]
    marks = json.loads((BOARDS / "service.json").read_text("utf-8"))["annotations"]["list"]
    queries += [mark["expr"] for mark in marks if mark["name"] in {"Start", "Alert"}]
    assert len(queries) >= 5
    for query in queries:
        eventually(query, lambda query=query: prometheus.query(fill(query)), bool, seconds=60)
