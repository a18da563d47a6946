"""What each service of docker-compose.yml uses under load, against its limit.

    python -m tests.containers.memory --rate 50 --seconds 600

Brings the stack up in containers, as tests/containers/test_compose.py does, with the load that the
file's own profile sends, and prints a table in Markdown. *In use* is what the kernel cannot take
back without writing or ending something: the control group's memory less files that were not read
lately. *Anonymous* is the part that belongs to no file. Both are the highest of what is read every
two seconds.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.containers.composed import RUN, Composed
from tests.containers.running import IMAGE, memory_limit
from tests.stack.clients import Prometheus
from tools import build, containers, native
from tools.compose import COMPOSE_FILE

EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Used:
    """Bytes of a control group.

    Attributes:
        working: All, less files that were not read lately.
        anonymous: What belongs to no file.
    """

    working: int = 0
    anonymous: int = 0

    def highest(self, other: Used) -> Used:
        """The higher of each."""
        return Used(max(self.working, other.working), max(self.anonymous, other.anonymous))


def used(pid: int, proc: Path = Path("/proc"), mounted: Path = Path("/sys/fs/cgroup")) -> Used:
    """What the control group of a process uses, of either version of them."""
    groups = dict(
        line.split(":", 2)[1:] for line in (proc / str(pid) / "cgroup").read_text().splitlines()
    )
    if "memory" in groups:
        folder = mounted / "memory" / groups["memory"].lstrip("/")
        names = ("memory.usage_in_bytes", "total_inactive_file", "total_rss")
    else:
        folder = mounted / groups[""].lstrip("/")
        names = ("memory.current", "inactive_file", "anon")
    stat = dict(re.findall(r"^(\w+) (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE))
    total, unused, anonymous = (folder / names[0]).read_text(), stat[names[1]], stat[names[2]]
    return Used(int(total) - int(unused), int(anonymous))


def measure(composed: Composed, seconds: float) -> dict[str, Used]:
    """The highest use of each service in this time."""
    found: dict[str, Used] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for one in composed.inspect():
            name = one["Config"]["Labels"]["com.docker.compose.service"]
            if one["State"]["Running"]:
                found[name] = found.get(name, Used()).highest(used(one["State"]["Pid"]))
        time.sleep(EVERY_SECONDS)
    return found


def table(found: dict[str, Used], limits: dict[str, int]) -> str:
    """The result in Markdown, the service nearest to its limit first."""
    rows = ["| service | in use, MiB | of it anonymous, MiB | limit, MiB | share |"]
    rows.append("|---|---|---|---|---|")
    for name, most in sorted(found.items(), key=lambda i: -i[1].working / limits[i[0]]):
        sizes = (most.working, most.anonymous, limits[name])
        cells = " | ".join(f"{size / 2**20:.0f}" for size in sizes)
        rows.append(f"| {name} | {cells} | {most.working / limits[name]:.0%} |")
    return "\n".join(rows)


def main() -> int:
    """Measure, and print; 1 where containers cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.containers.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    try:
        build.require("docker-compose")
    except build.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if reason := containers.unavailable():
        print(reason, file=sys.stderr)
        return 1
    containers.build(IMAGE)
    override = (
        "services:\n  load:\n    command: [python, -m, tools.load, "
        f"--url=http://mgeo:5000/predict, --rate={options.rate:g}, --concurrency=16, "
        f"--seconds={options.seconds + 120:g}]\n"
    )
    with Composed(
        [COMPOSE_FILE, native.VICTORIALOGS_FILE],
        RUN,
        profiles=["load"],
        override=override,
    ) as composed:
        composed.start_load()
        found = measure(composed, options.seconds)
        limits = {name: memory_limit(composed.services[name]) for name in found}
        counts = {one["Name"]: one.get("RestartCount", 0) for one in composed.inspect()}
        prometheus = Prometheus(composed.url("prometheus", 9090))
        reached = prometheus.value(f"sum(rate(mgeo_request_total[{options.seconds / 2:.0f}s]))")
    print(table(found, limits))
    print(f"\n{reached:.1f} requests a second in the second half, {options.seconds:.0f} s in all")
    print(f"ended and started again: {[name for name, count in counts.items() if count] or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
