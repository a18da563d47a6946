"""The faults: how each is brought about, what must be heard of it and when, what clients may see.

`on` is what it befalls; rows of one wave run at the same time and do not disturb each other.
`within` is at production speed: the rules, scrapes and exports as shipped. `unscaled` is the part
of it that no speed of the rules shortens: thresholds in seconds, and the start of a process.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.chaos import faults, floods
from tests.chaos.faults import Inject
from tests.chaos.stage import INSTANCES
from tests.chaos.traffic import LOST, REFUSED
from tools import native, yaml_text
from tools.timescale import SOURCE

OK = frozenset({"200"})

_JOBS = {"node-exporter": "node"}

_NO_GOOD_MONTH = "failed requests count against the objective, and this stack knows no good month"
FAILING = {
    "MgeoAvailabilityBudgetBurn": _NO_GOOD_MONTH,
    "MgeoLowSuccessRate": "requests fail",
}
_WAIT = "requests wait for the model"
WAITING = {
    "MgeoHighLatency": _WAIT,
    "MgeoLatencyBudgetBurn": _WAIT,
    "MgeoQueueGrowing": _WAIT,
}
SPIKE = {"MgeoEngineSlow": "the batch that it was stuck on has ended after all, very late"}
BEHIND = {"MgeoOverloaded": "requests run out of time behind it"}
GAP = {
    "MgeoTelemetryLost": "exports of metrics failed meanwhile; the next one holds them",
    "MgeoMetricsMissing": "no instance's metrics come through it",
    "MgeoTargetDown": "its port with the service's metrics is a target of its own",
}


RULES = [
    rule
    for file in sorted((SOURCE / "rules").glob("*.yml"))
    for group in yaml_text.read(file)["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
_RANGE = re.compile(r"\[(\d+)([smhd])[]:]")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LOOK_BACK: dict[str, float] = defaultdict(float)
"""By alert, the longest range in its rule, in seconds: what ended is still seen for that long."""
for _rule in RULES:
    for _count, _unit in _RANGE.findall(_rule["expr"]):
        _seconds = float(_count) * _SECONDS[_unit]
        LOOK_BACK[_rule["alert"]] = max(LOOK_BACK[_rule["alert"]], _seconds)


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        name: What goes wrong.
        on: The service of the stack that it befalls.
        inject: How.
        alert: The alert that must speak; None where nothing is wrong that anybody should do.
        clients: How requests may end meanwhile: statuses, `refused` or `lost`.
        view: The same in words.
        wave: When it is its turn.
        within: Longest time to the alert, in seconds, at production speed.
        unscaled: Seconds of it that are the same at any speed.
        about: Labels of the alert; by default those of `on`.
        asked: Whose clients are looked at; `on`'s by default.
        permitted: Other alerts that may speak, and why.
        lasts: Seconds for which the alert may begin anew after the fault's end, where that is more
            than `LOOK_BACK`: the range of a recorded series.
        comes_back: Whether that alert always fires, and has to be seen again after the fault.
        of_loki: Whether only Loki makes it speak. VictoriaLogs takes lines of any time: nothing is
            lost, and nobody is to be told.
    """

    name: str
    on: str
    inject: Inject
    alert: str | None
    clients: frozenset[str]
    view: str
    wave: int
    within: float = 90.0
    unscaled: float = 0.0
    about: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""
    permitted: Mapping[str, str] = field(default_factory=dict)
    lasts: float = 120.0
    comes_back: bool = False
    of_loki: bool = False

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels that the alert must have."""
        by_default = (
            {"instance": self.on} if self.on in INSTANCES else {"job": _JOBS.get(self.on, self.on)}
        )
        return self.about or by_default


NOTHING = "nothing"
FAULTS = (
    # The model.
    Fault(
        "The engine's thread is stuck in an endless loop", "mgeo-4", faults.model("loop"),
        "MgeoEngineStuck", frozenset({"200", "429", "504"}), "504 at their deadline, then 429",
        wave=1, unscaled=20, permitted=FAILING | WAITING | BEHIND | SPIKE,
    ),
    Fault(
        "One of three replicas becomes ten times as slow", "mgeo-2", faults.model("slow"),
        "MgeoEngineSlow", frozenset({"200", "429"}), "slower answers", wave=1,
        asked="haproxy", permitted=FAILING | WAITING | BEHIND,
    ),
    Fault(
        "The model raises on every batch", "mgeo-5", faults.model("raise"),
        "MgeoPredictionsFailing", frozenset({"200", "500"}), "500", wave=1, permitted=FAILING,
    ),
    Fault(
        "A pair fails every batch that it is in", "mgeo-1", faults.poison,
        "MgeoPredictionsFailing", OK, "500 for that pair; the others of its batch are scored",
        wave=1, permitted=FAILING,
    ),
    Fault(
        "The model raises, and the device never answers again", "mgeo-4", faults.dies,
        "MgeoInstanceDown", frozenset({"200", "500", "503", REFUSED, LOST}),
        "500, then no connection: the process ends with status 1", wave=3,
        permitted=FAILING | {"MgeoPredictionsFailing": "the pairs that it died on"},
    ),
    Fault(
        "A batch does not fit into memory", "mgeo-6", faults.out_of_memory,
        "MgeoOutOfMemory", OK, NOTHING, wave=4,
    ),
    Fault(
        "The directory of the model is replaced while it is served", "mgeo-3",
        faults.model_replaced, None, OK, "the same answers to the last digit", wave=3,
    ),
    # The device.
    Fault(
        "The GPU's memory fills up within 20 s", "mgeo-3", faults.gpu_memory_rises,
        "MgeoGpuMemoryPressure", OK, NOTHING, wave=1,
        permitted={"MgeoGpuMemoryFilling": "the same, foreseen"},
    ),
    Fault(
        "NVML hangs", "mgeo-6", faults.NVML_HANGS,
        "MgeoGpuReadingsStale", OK, NOTHING, wave=1, unscaled=20,
    ),
    Fault(
        "NVML fails", "mgeo-3", faults.NVML_GONE,
        "MgeoGpuReadingsStale", OK, NOTHING, wave=2, unscaled=20,
    ),
    # Clients.
    Fault(
        "Ten times the load that it can bear", "mgeo-5", floods.overload,
        "MgeoOverloaded", frozenset({"200", "429", "504"}), "429 with Retry-After", wave=2,
        permitted=FAILING | WAITING
        | {"MgeoClientsHangingUp": "the load is ended with requests under way"},
    ),
    Fault(
        "A slow-loris client with 1,100 connections", "mgeo-4", floods.slow_loris,
        "MgeoConnectionsExhausted", OK, "slower connections", wave=2,
    ),
    Fault(
        "2,000 idle connections", "mgeo-6", floods.idle_connections,
        "MgeoConnectionsExhausted", frozenset({"200", LOST}),
        "slower connections; where the system's own queue for them overflows, none in time", wave=2,
    ),
    Fault(
        "Clients that hang up before their answer", "mgeo-1", floods.hang_ups,
        "MgeoClientsHangingUp", OK, NOTHING, wave=2,
    ),
    Fault(
        "A flood of malformed bodies", "mgeo-2", floods.malformed,
        "MgeoBadRequests", OK, "400 for what is malformed", wave=2,
    ),
    # The process and its machine.
    Fault(
        "The process nears its memory limit", "mgeo-5", faults.model("fill memory"),
        "MgeoMemoryNearLimit", OK, NOTHING, wave=3,
    ),
    Fault(
        "The port for metrics is taken", "mgeo-6", faults.port_taken,
        "MgeoInstanceDown", frozenset({"200", REFUSED}), "no connection: it ends with status 2",
        wave=3, permitted={"MgeoNotReady": "its last word, kept by the Collector for two minutes"},
    ),
    Fault(
        "The wall clock jumps by an hour", "mgeo-2", faults.clock_moves,
        "MgeoCollectorExportFailing", OK, NOTHING, wave=3, lasts=300, about={"signal": "logs"},
        of_loki=True,
    ),
    Fault(
        "SIGTERM under load, and a start", "mgeo-5", faults.terminated,
        None, frozenset({"200", "503", REFUSED}),
        "no connection until it is back, 503 while it loads", wave=4,
    ),
    Fault(
        "SIGKILL and a start, again and again", "mgeo-1", faults.crash_loop,
        "MgeoRestarting", frozenset({"200", "503", REFUSED, LOST}),
        "requests under way are lost, then no connection until it is back", wave=3,
        unscaled=5,
        permitted=FAILING | {"MgeoInstanceDown": "a start that takes longer than it waits"},
    ),
    Fault(
        "One of three replicas is gone", "mgeo-3", faults.killed(),
        "MgeoInstanceDown", frozenset({"200", "502"}), "502 for what it was working on", wave=4,
        asked="haproxy", permitted=FAILING,
    ),
    # What stands around the service.
    Fault("Jaeger is down", "jaeger", faults.killed(),
          "MgeoTargetDown", OK, NOTHING, wave=1, asked="mgeo-6"),
    Fault("The log store is down", native.log_store(), faults.killed(),
          "MgeoTargetDown", OK, NOTHING, wave=1, asked="mgeo-6"),
    Fault("Alertmanager is down", "alertmanager", faults.killed(),
          "MgeoTargetDown", OK, NOTHING, wave=2, asked="mgeo-3"),
    Fault("The host's exporter is down", "node-exporter", faults.killed(),
          "MgeoTargetDown", OK, NOTHING, wave=2, asked="mgeo-3"),
    Fault("The load balancer is down", "haproxy", faults.killed(),
          "MgeoTargetDown", frozenset({"200", REFUSED, LOST}), "no connection by way of it", wave=3,
          permitted={"MgeoLoadBalancerDown": "nobody is served by way of it"}),
    Fault("The Collector is killed", "otel-collector", faults.killed(),
          "MgeoTargetDown", OK, NOTHING, wave=5, asked="mgeo-1", permitted=GAP),
    Fault("The Collector is paused (SIGSTOP)", "otel-collector", faults.paused,
          "MgeoTargetDown", OK, NOTHING, wave=6, asked="mgeo-1", permitted=GAP),
    Fault(
        "The Collector refuses", "otel-collector", faults.refusing,
        "MgeoCollectorRefusing", OK, NOTHING, wave=7, asked="mgeo-1", unscaled=2, lasts=300,
        permitted=GAP
        | {"MgeoTargetRestarting": "it is restarted for this, and was for other rows"},
    ),
    Fault(
        "The disk is full under the Collector's queue", "otel-collector", faults.disk_full,
        "MgeoCollectorExportFailing", OK, NOTHING, wave=8, lasts=300, asked="mgeo-1", permitted=GAP,
    ),
    Fault(
        "Prometheus is restarted", "prometheus", faults.killed(again=True),
        "MgeoWatchdog", OK, NOTHING, wave=9, asked="mgeo-1", unscaled=5, comes_back=True,
    ),
)  # fmt: skip
