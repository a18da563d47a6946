"""Runs the table on the stage, and says what came of each row."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.chaos.alerts import Firing, Watch
from tests.chaos.stage import INSTANCES, Stage
from tests.chaos.table import LOOK_BACK, Fault

_SLACK_SECONDS = 5.0
"""More than `within`, for a machine that also runs the tests; not scaled."""

_QUIET_SECONDS = 60.0
"""How long a fault lasts of which nothing must be heard; divided by the scale."""

_AFTER_SECONDS = 120.0
"""How long after its end a fault may still raise other alerts; divided by the scale."""


@dataclass
class Outcome:
    """What came of a fault.

    Attributes:
        fault: The row.
        began: When it was about to be brought about, in seconds since the epoch.
        ended: When it was healed.
        seconds: To its alert; infinity if that was not heard, 0 if there is none.
        error: What failed in bringing it about, with what clients were to see.
    """

    fault: Fault
    began: float = 0.0
    ended: float = 0.0
    seconds: float = float("inf")
    error: str = ""

    def explains(self, firing: Firing, scale: float) -> bool:
        """Whether an alert is this fault's own, or one that may come with it."""
        own = self.fault.alert is not None and firing.fits(self.fault.alert, self.fault.labels)
        # A restarted Prometheus raises anew what its rules still look back on.
        begins_anew = max(self.fault.lasts if own else _AFTER_SECONDS, LOOK_BACK[firing.name])
        after = begins_anew / scale
        if not self.began - 1 <= firing.active <= self.ended + after:
            return False
        if own:
            return True
        on = firing.labels.get("instance")
        return firing.name in self.fault.permitted and (
            on not in INSTANCES or on == self.fault.on or self.fault.on not in INSTANCES
        )

    def production(self, scale: float) -> float:
        """Seconds to its alert as they would be with the rules as shipped."""
        unscaled = min(self.seconds, self.fault.unscaled)
        return (self.seconds - unscaled) * scale + unscaled


@dataclass
class Report:
    """What came of all.

    Attributes:
        scale: Of the stage.
        clean: Seconds of load without a fault, before the first.
        false_alerts: What fired in them.
        outcomes: In the table's order.
        unexplained: Alerts that no row explains.
        seen: By row, how the requests ended of those whose clients were looked at.
        fired: All that fired.
        stood_still: The longest time in which nobody looked, in seconds.
    """

    scale: float
    clean: float
    false_alerts: list[Firing]
    outcomes: list[Outcome]
    unexplained: list[Firing]
    seen: dict[str, Counter[str]]
    fired: list[Firing]
    stood_still: float

    def story(self) -> str:
        """All that happened, in order: for whoever has to find out why an alert spoke."""
        lines = [
            *((f.active, f"  {f.name} {dict(f.labels)}") for f in self.fired),
            *((o.began, f"begins: {o.fault.name}, on {o.fault.on}") for o in self.outcomes),
            *((o.ended, f"ends: {o.fault.name}, on {o.fault.on}") for o in self.outcomes),
        ]
        first = min(when for when, _ in lines)
        return "\n".join(f"{when - first:6.1f} {what}" for when, what in sorted(lines))


def run(stage: Stage, faults: Sequence[Fault], clean: float) -> Report:
    """A clean run of `clean` seconds, then wave after wave of faults."""
    watch = Watch(stage.stack.url("prometheus", 9090))
    watch.start()
    # To the end: a process that a thread has started is ended with that thread.
    rows = ThreadPoolExecutor(len(faults))
    try:
        stage.start()
        time.sleep(clean)
        false_alerts = list(watch.fired)
        outcomes = [
            outcome
            for wave in sorted({fault.wave for fault in faults})
            for outcome in _wave(stage, watch, rows, [f for f in faults if f.wave == wave])
        ]
        time.sleep(_QUIET_SECONDS / stage.scale)
    finally:
        watch.stop()
        stage.stop()
        rows.shutdown()
    unexplained = [
        firing
        for firing in watch.fired
        if firing not in false_alerts and not any(o.explains(firing, stage.scale) for o in outcomes)
    ]
    seen = {
        o.fault.name: stage.clients[o.fault.asked or o.fault.on].since(o.began, o.ended)
        for o in outcomes
    }
    ordered = [next(o for o in outcomes if o.fault is fault) for fault in faults]
    return Report(
        stage.scale, clean, false_alerts, ordered, unexplained, seen, watch.fired,
        watch.longest_pause,
    )  # fmt: skip


def _wave(
    stage: Stage, watch: Watch, rows: ThreadPoolExecutor, faults: Iterable[Fault]
) -> list[Outcome]:
    outcomes = [Outcome(fault) for fault in faults]
    list(rows.map(lambda outcome: _row(stage, watch, outcome), outcomes))
    stage.recover()
    return outcomes


def _row(stage: Stage, watch: Watch, outcome: Outcome) -> None:
    fault = outcome.fault
    outcome.began = time.time()
    try:
        with fault.inject(stage, fault.on):
            started = time.time()
            limit = (fault.within - fault.unscaled) / stage.scale + fault.unscaled
            if fault.alert is None:
                time.sleep(_QUIET_SECONDS / stage.scale)
                heard = started
            elif fault.comes_back:
                heard = _awake(watch, started, started + limit + _SLACK_SECONDS)
            else:
                until = started + limit + _SLACK_SECONDS
                heard = watch.wait(fault.alert, fault.labels, outcome.began, until)
            outcome.seconds = max(0.0, heard - started)
    except Exception as error:
        outcome.error = f"{type(error).__name__}: {error}"
    outcome.ended = time.time()


def _awake(watch: Watch, since: float, until: float) -> float:
    """When the alert that always fires was seen again."""
    while watch.awake <= since:
        if time.time() > until:
            return float("inf")
        time.sleep(0.1)
    return watch.awake
