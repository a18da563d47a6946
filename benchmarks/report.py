"""Turns raw figures into `docs/benchmarks.md` and its picture. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import picture, verdicts
from benchmarks.figures import Spread
from benchmarks.machine import has_amx
from benchmarks.results import Results, is_closed
from benchmarks.schedule import BATCH

_INTRODUCTION = """\
# Benchmarks

Written by `make bench`; do not edit. This is one run on one machine. All contenders are started
together. While one is measured, the others are frozen (SIGSTOP). They take turns in every
round, in another order each time. A ratio is formed within a round; its median over the rounds
is given with the lowest and the highest. Latencies are in milliseconds. The raw figures are in
`benchmarks/results/`. The [index](README.md) lists runs on other processors.

The model is BERT-base in MGeo's layout with **random weights**. It has MGeo's speed, but its
answers mean nothing, so this page says nothing about accuracy. The pairs are generated, with
the token lengths of real ones (median 35). None is sent twice, so no cache helps. The load
generator runs on the same machine."""

_PEERS = """\
The peers run transformers and torch in fp32, with each batch padded to its longest pair and at
most 16 pairs in a batch. Otherwise they have their own defaults. "With" a backend means the
same server around this service's tokenizer and backend. infinity serves one logit instead of
three labels, so only its speed compares. ModelScope's pipeline is called in a loop, without a
server. `default` is as the model's card shows it; `tuned` has at most 128 tokens and no
padding, or batches padded to 128. This service runs with full telemetry: every request is
sampled and exported. `/predict/batch` gets 32 pairs a request from 2 clients."""

_OPEN = """\
Requests come at a constant rate, however fast the server answers. Each latency counts from the
time at which the request was due. Rates are shares of this service's throughput with 16 clients
in its best round. Each cell is one round. A contender that cannot keep up with a rate is not
measured there (–), because its queue would only grow."""

_TELEMETRY = """\
There are 16 clients, and for `/predict/batch` 4 clients with 64 pairs a request. Off, 100 % and
5 % sampling take turns, and the ratio is to `off` of the same turn. The no-op backend answers
constants. It shows the cost of HTTP, queue and telemetry alone, with the load generator on the
same processors. "Flask alone" is a route of Flask on waitress that reads the same body and
answers constants. It has no tokenizer, queue, limits, metrics or anything else of this service."""

_BULK = """\
Single requests run beside two clients that send 256 pairs at a time without a pause. They are
compared with the same single requests alone."""

_START = """\
Seconds are from the command until the first pair is scored. Memory is after the first load. PSS
divides shared pages among the processes that share them. Peers start once a run, and this
service several times. The first start with `auto` on a machine checks the backends' answers;
later ones know the result."""


def write(results: Results, document: Path) -> None:
    """Write the report and, beside it, its picture."""
    document.parent.mkdir(parents=True, exist_ok=True)
    image = document.with_suffix(".svg")
    drawn = picture.draw(results, image)
    document.write_text(render(results, image.name if drawn else None), "utf-8")


def render(results: Results, image: str | None) -> str:
    """The report as Markdown.

    Args:
        results: What was measured.
        image: File name of the picture, if there is one.
    """
    parts = [_INTRODUCTION]
    if results.options["quick"]:
        parts.append("**A quick run: every figure is from seconds of load, none is to be quoted.**")
    parts += ["## Machine", _machine(results)]
    if image:
        parts.append(f"![Throughput and latency]({image})")
    if lines := verdicts.lines(results):
        parts += ["## In short", "\n".join(f"- {line}" for line in lines)]
    sections = results.contenders
    if sections("peers"):
        parts += ["## Against the peers", _PEERS, _closed(results), "### Bare loops",
                  _loops(results)]  # fmt: skip
    if sections("open loop"):
        parts += ["### At a constant rate", _OPEN, _open_loop(results)]
    if sections("telemetry"):
        parts += ["## What telemetry costs", _TELEMETRY, _telemetry(results)]
    if sections("bulk"):
        parts += ["## Bulk requests beside single ones", _BULK, _bulk(results)]
    if results.starts:
        parts += ["## Start and memory", _START, _starts(results)]
    parts += ["## Quality of the run", _quality(results)]
    if results.failures:
        parts += ["## Not measured", _failures(results)]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """A figure with three significant digits and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Spread | None) -> str:
    """A ratio with its extremes."""
    if values is None:
        return "–"
    if values.count == 1:
        return f"{values.median:.3f}"
    return f"{values.median:.3f} ({values.low:.3f} to {values.high:.3f})"


def _median(results: Results, section: str, contender: str, load: str, figure: str) -> str:
    values = results.by_round(section, contender, load, figure)
    return number(Spread.of(list(values.values())).median) if values else "–"


def _machine(results: Results) -> str:
    machine = results.machine
    instructions = ", ".join(machine["matrix_instructions"]) or "none"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    speed = f"an object made and asked in {machine['python_object_ns']} ns"
    rows = [
        ["processor", f"{machine['cpu']}, {machine['processors']} processors"],
        ["matrix instructions", f"{instructions} ({'' if has_amx(machine) else 'no '}AMX)"],
        ["memory", f"{machine['memory_gb']} GB"],
        ["run", f"{machine['date']}, {results.seconds / 60:.0f} minutes, "
                f"commit {machine['commit']}"],
        *([f"`{asked}` ran", ran] for asked, ran in results.chosen.items() if asked != ran),
        ["here", f"Python {machine['python']} ({speed}), {versions}"],
        *([name, ", ".join(f"{package} {version}" for package, version in found.items())]
          for name, found in machine["peers"].items() if found),
    ]  # fmt: skip
    return table(["", ""], rows)


def _closed(results: Results) -> str:
    loads = [load for load in results.loads("peers") if is_closed(load)]
    loads.sort(key=lambda load: (BATCH in load, int(load[1:].split()[0])))
    rows = []
    for contender in results.contenders("peers"):
        for load in loads:
            if results.of("peers", contender, load):
                rows.append([contender, load[1:], *_figures(results, contender, load)])
    header = ["contender", "clients", "pairs/s", "p50", "p95", "p99", "CPU ms/pair"]
    rows.sort(key=lambda row: (BATCH in row[1], int(row[1].split()[0])))
    return table(header, rows)


def _figures(results: Results, contender: str, load: str) -> list[str]:
    figures = ("pairs_per_second", "p50", "p95", "p99", "cpu_ms_per_pair")
    return [_median(results, "peers", contender, load, figure) for figure in figures]


def _loops(results: Results) -> str:
    rows = []
    for contender in results.contenders("peers"):
        for load in results.loads("peers"):
            if not is_closed(load) and results.of("peers", contender, load):
                rows.append([contender, load, *(
                    _median(results, "peers", contender, load, figure)
                    for figure in ("pairs_per_second", "p50", "cpu_ms_per_pair")
                )])  # fmt: skip
    return table(["loop", "mode", "pairs/s", "ms a call", "CPU ms/pair"], rows)


def _open_loop(results: Results) -> str:
    loads = results.loads("open loop")
    rows = []
    for contender in results.contenders("open loop"):
        for figure in ("p50", "p95", "p99"):
            of_loads = (_median(results, "open loop", contender, load, figure) for load in loads)
            rows.append([contender, figure, *of_loads])
    return table(["contender", "", *loads], rows)


def _telemetry(results: Results) -> str:
    rows = []
    for contender in results.contenders("telemetry"):
        subject, mode = contender.split(", ", 1)
        for load in results.loads("telemetry"):
            if not results.of("telemetry", contender, load):
                continue
            throughput, cpu = (
                spread(verdicts.telemetry_ratio(results, subject, mode, load, figure))
                for figure in ("pairs_per_second", "cpu_ms_per_pair")
            )
            rows.append([
                subject, load[1:], mode.removeprefix("telemetry "),
                *(_median(results, "telemetry", contender, load, figure)
                  for figure in ("pairs_per_second", "p50", "p99", "cpu_ms_per_pair")),
                throughput, cpu,
            ])  # fmt: skip
    header = ["model", "clients", "telemetry", "pairs/s", "p50", "p99", "CPU ms/pair",
              "throughput to off", "CPU to off"]  # fmt: skip
    return table(header, rows)


def _bulk(results: Results) -> str:
    rows = []
    [contender] = results.contenders("bulk")
    for clients in ("1", "16"):
        figures = []
        for load in (f"c{clients} alone", f"c{clients} beside bulk"):
            figures += [_median(results, "bulk", contender, load, f) for f in ("p50", "p95")]
        rows.append([clients, *figures, spread(verdicts.bulk_ratio(results, f"c{clients}"))])
    return table(
        ["clients", "p50 alone", "p95 alone", "p50 beside", "p95 beside", "p95 ratio"], rows
    )


def _starts(results: Results) -> str:
    rows = []
    for contender in dict.fromkeys(start.contender for start in results.starts):
        of_it = [start for start in results.starts if start.contender == contender]
        seconds = Spread.of([start.seconds for start in of_it])
        rows.append([
            contender, number(seconds.median),
            f"{number(seconds.low)} to {number(seconds.high)}", str(seconds.count),
            *(number(Spread.of([getattr(start, figure) for start in of_it]).median)
              for figure in ("resident_mb", "proportional_mb")),
        ])  # fmt: skip
    return table(["contender", "seconds", "lowest to highest", "starts", "RSS MB", "PSS MB"], rows)


def _quality(results: Results) -> str:
    cells = results.cells
    other = Spread.of([cell.other_cpu for cell in cells])
    load = max(cell.load_cpu for cell in cells)
    late = max((cell.late_ms for cell in cells if cell.offered), default=0.0)
    errors = sum(cell.errors for cell in cells)
    return "\n".join(
        f"- {line}"
        for line in (
            f"Other programs on the machine took {other.median:.2f} processors in the median cell "
            f"and {other.high:.2f} in the worst; figures are the better the nearer this is to 0.",
            f"The load generator took at most {load:.2f} processors.",
            f"In the open loop it sent at most {late:.1f} ms late (99th percentile of a cell).",
            f"Requests not answered with 200: {errors} of "
            f"{errors + sum(cell.requests for cell in cells)} counted.",
        )
    )


def _failures(results: Results) -> str:
    return table(["what", "why"], [[name, why] for name, why in results.failures.items()])
