"""What a shadow costs those who wait for answers: P95 with one and without, side by side.

`python -m benchmarks.shadow` starts three services with the bundled model: one that has a shadow,
and two alike that have none, of which the second shows how far two equal services differ here. They
get the same pairs at the same constant rate, in turns; who does not is frozen. Latency counts from
when a request was due. The shadow is the bundled model with one weight changed: the worst case, as
heavy as what it is compared with.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from safetensors.numpy import load_file, save_file

from benchmarks.figures import Spread, paired_ratio, percentile
from benchmarks.load import Measurement, Workload
from benchmarks.machine import describe
from benchmarks.processes import Measured, end_what_was_started
from service.scoring.source import BUNDLED_DIRECTORY

PLAIN, AGAIN, SHADOWED = "without", "without, again", "with a shadow"
_SETTLE_SECONDS = 0.5


class Served:
    """One service of the three, frozen unless its turn has come.

    Attributes:
        latencies: Seconds of each request, by round.
    """

    def __init__(self, name: str, folder: Path, models: Sequence[dict[str, object]]) -> None:
        self.name = name
        self.latencies: dict[int, list[float]] = {}
        file = folder / f"{name}.json"
        file.write_text(json.dumps({"models": models}), "utf-8")
        self._log = folder / f"{name}.log"
        self.process = Measured(
            name,
            [sys.executable, "-m", "service", "serve", "--port", "0", "--metrics-port", "0"],
            {"MGEO_MODELS_FILE": str(file)},
            self._log,
        )
        self.process.wait_ready(self._is_ready)

    def _bound(self) -> dict[str, str]:
        found = re.findall(r'"listener": "(\w+)", "bound": "([^"]+)"', self._log.read_text("utf-8"))
        return dict(found)

    def _is_ready(self) -> bool:
        address = self._bound().get("operations")
        try:
            return bool(address) and self.get("/readyz") != ""
        except OSError:  # 503 is one too
            return False

    def get(self, path: str) -> str:
        """The body of a GET from the operations listener."""
        url = f"http://{self._bound()['operations']}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: str = answer.read().decode()
            return body

    def counted(self, metric: str) -> float:
        """The sum of a counter's series."""
        found = re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", self.get("/metrics"), re.MULTILINE)
        return sum(map(float, found))

    def load(self, number: int, rate: float, seconds: float) -> Measurement:
        """Send one round's pairs."""
        job = Workload(
            port=int(self._bound()["predictions"].rsplit(":", 1)[1]), path="/predict",
            kind="single", pairs_per_request=1, first=number * 20_000, concurrency=4, rate=rate,
            ramp=1.0, seconds=seconds, drain=5.0,
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            input=json.dumps(asdict(job)), capture_output=True, text=True, check=True,
            timeout=seconds + 60,
        )  # fmt: skip
        result = Measurement(**json.loads(done.stdout))
        if set(result.statuses) != {"200"} or result.unanswered:
            raise SystemExit(f"{self.name}: {result.statuses}, {result.unanswered} unanswered")
        return result


@contextmanager
def _three(folder: Path) -> Iterator[list[Served]]:
    candidate = folder / "candidate"
    shutil.copytree(BUNDLED_DIRECTORY, candidate)
    tensors = load_file(candidate / "model.safetensors")
    name = next(name for name in tensors if name.endswith("classifier.bias"))
    tensors[name] = tensors[name] + tensors[name].dtype.type(0.01)
    save_file(tensors, candidate / "model.safetensors")
    current: dict[str, object] = {"name": "current", "source": "bundled", "weight": 1}
    shadow: dict[str, object] = {"name": "next", "source": str(candidate), "role": "shadow"}
    served: list[Served] = []
    try:
        for each, models in ((PLAIN, [current]), (AGAIN, [current]), (SHADOWED, [current, shadow])):
            served.append(Served(each, folder, models))
            time.sleep(_SETTLE_SECONDS)
            served[-1].process.freeze()
        yield served
    finally:
        for one in served:
            one.process.end()


def measure(rounds: int, seconds: float, rate: float) -> dict[str, object]:
    """Latencies with a shadow and without, and what the shadow did meanwhile."""
    with tempfile.TemporaryDirectory() as folder, _three(Path(folder)) as served:
        shuffle = random.Random(1).shuffle  # noqa: S311 - an order, no secret
        for number in range(rounds):
            order = list(served)
            shuffle(order)
            for one in order:
                one.process.thaw()
                time.sleep(_SETTLE_SECONDS)
                one.latencies[number] = one.load(number, rate, seconds).latencies
                one.process.freeze()
        shadowed = served[-1]
        shadowed.process.thaw()
        time.sleep(2)
        return {
            "rounds": rounds,
            "seconds": seconds,
            "rate": rate,
            "p95_ms": {o.name: round(1e3 * percentile(_all(o), 0.95), 3) for o in served},
            "p50_ms": {o.name: round(1e3 * percentile(_all(o), 0.5), 3) for o in served},
            "shadow_over_without": asdict(_ratio(served[2], served[0])),
            "again_over_without": asdict(_ratio(served[1], served[0])),
            "shadow_95_percent": _interval(served[2], served[0]),
            "again_95_percent": _interval(served[1], served[0]),
            "compared": shadowed.counted("mgeo_shadow_shift_count"),
            "dropped": shadowed.counted("mgeo_shadow_dropped_total"),
            "answered": shadowed.counted("mgeo_prediction_total"),
            "machine": {k: v for k, v in describe().items() if k not in ("peers", "versions")},
        }


def _all(one: Served) -> list[float]:
    return [seconds for some in one.latencies.values() for seconds in some]


def _ratio(upper: Served, lower: Served) -> Spread:
    def p95(one: Served) -> dict[int, float]:
        return {number: percentile(some, 0.95) for number, some in one.latencies.items()}

    ratio = paired_ratio(p95(upper), p95(lower))
    assert ratio is not None
    return ratio


def _interval(upper: Served, lower: Served, draws: int = 2000) -> list[float]:
    """95 % interval of the ratio of the two P95 over all rounds, by drawing rounds anew."""
    choose = random.Random(2).choices  # noqa: S311 - a sample, no secret
    numbers = list(upper.latencies)

    def p95(one: Served, drawn: Sequence[int]) -> float:
        return percentile([s for number in drawn for s in one.latencies[number]], 0.95)

    def ratio(drawn: Sequence[int]) -> float:
        return p95(upper, drawn) / p95(lower, drawn)

    ratios = sorted(ratio(choose(numbers, k=len(numbers))) for _ in range(draws))
    return [round(ratios[int(draws * share)], 4) for share in (0.025, 0.975)]


def main(say: Callable[[str], None] = print) -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shadow", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    asked = parser.parse_args()
    end_what_was_started()
    say(json.dumps(measure(asked.rounds, asked.seconds, asked.rate), indent=2))


if __name__ == "__main__":
    main()
