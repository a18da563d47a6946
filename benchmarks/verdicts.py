"""What the figures say in a sentence each: ratios to the peers, and where a peer wins."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.contenders import ALL, FLASK_ALONE, OFF
from benchmarks.figures import Spread, paired_ratio
from benchmarks.results import Results, is_closed
from benchmarks.schedule import BATCH, OURS

_THROUGHPUT = "pairs_per_second"

_FIGURES = {
    _THROUGHPUT: "throughput",
    "p50": "p50",
    "p99": "p99",
    "cpu_ms_per_pair": "CPU a pair",
}


def telemetry_ratio(
    results: Results, subject: str, mode: str, load: str, figure: str
) -> Spread | None:
    """A figure with telemetry to the same with none, turn by turn."""
    with_it, without = (
        results.by_round("telemetry", f"{subject}, {name}", load, figure) for name in (mode, OFF)
    )
    return paired_ratio(with_it, without)


def bulk_ratio(results: Results, clients: str) -> Spread | None:
    """p95 of single requests beside bulk ones, to their p95 alone."""
    [contender] = results.contenders("bulk")
    beside, alone = (
        results.by_round("bulk", contender, f"{clients} {how}", "p95")
        for how in ("beside bulk", "alone")
    )
    return paired_ratio(beside, alone)


def lines(results: Results) -> list[str]:
    """One sentence for each comparison that the run allows."""
    said = [*_throughput(results), *_latency(results), *_telemetry(results), *_bulk(results)]
    return [*said, *_peer_wins(results)]


def _ours(results: Results) -> str:
    return f"{OURS} {results.backend}"


def _throughput(results: Results) -> list[str]:
    """This service with 16 clients, to everything that it is held against."""
    backend = results.backend
    ours = results.by_round("peers", _ours(results), "c16", _THROUGHPUT)
    against = (
        ("ModelScope", "default", "ModelScope's pipeline as its card shows it"),
        ("ModelScope", "tuned", "ModelScope's pipeline at its best"),
        ("torch loop", "single", "the bare fp32 torch loop, one pair at a time"),
        ("LitServe", "c16", "LitServe"),
        ("BentoML", "c16", "BentoML"),
        ("infinity", "c16", "infinity"),
        (f"LitServe with {backend}", "c16", f"LitServe given our {backend}"),
        (f"{backend} loop", "batches of its budget", f"the bare sorted loop of {backend}"),
        (f"{backend} loop", "batches of 32", "the same in batches of 32"),
    )
    said = []
    for contender, load, words in against:
        theirs = results.by_round("peers", contender, load, _THROUGHPUT)
        if ratio := paired_ratio(ours, theirs):
            said.append(f"Throughput with 16 clients ({backend}): {_times(ratio)} that of {words}.")
    return said


def _latency(results: Results) -> list[str]:
    """One client, to the bare forward pass of the same backend."""
    backend = results.backend
    ours = results.by_round("peers", _ours(results), "c1", "p50")
    bare = results.by_round("peers", f"{backend} loop", "single", "p50")
    ratio = paired_ratio(ours, bare)
    if ratio is None:
        return []
    beyond = Spread.of([ours[key] - 1.05 * bare[key] for key in ours.keys() & bare.keys()])
    return [
        f"Median latency of one client: {_times(ratio)} that of the bare call of {backend}, "
        f"tokenising included; it exceeds 1.05 × by {beyond.median:.2f} ms "
        f"({beyond.low:.2f} to {beyond.high:.2f})."
    ]


def _telemetry(results: Results) -> list[str]:
    said = []
    for subject in ("BERT-base", "bundled model", "no-op backend"):
        ratio = telemetry_ratio(results, subject, ALL, "c16", _THROUGHPUT)
        if ratio:
            said.append(f"Full telemetry, every request sampled, {subject}: {_times(ratio)} "
                        "the throughput without.")  # fmt: skip
    for load, what in (
        ("c16", "requests/s by `/predict`"),
        (f"c4 {BATCH}", f"pairs/s by `{BATCH}`"),
    ):
        rates = []
        for mode in (OFF, ALL):
            by_turn = results.by_round("telemetry", f"no-op backend, {mode}", load, _THROUGHPUT)
            if by_turn:
                rates.append(f"{Spread.of(list(by_turn.values())).median:,.0f} with {mode}")
        if rates:
            said.append(f"Without a model: {what}: {', '.join(rates)}{_of_flask(results, load)}.")
    return said


def _of_flask(results: Results, load: str) -> str:
    """How much of what Flask and waitress can do alone is left with all of the service on top."""
    ours, alone = (
        results.by_round("telemetry", f"{name}, {OFF}", load, _THROUGHPUT)
        for name in ("no-op backend", FLASK_ALONE)
    )
    ratio = paired_ratio(ours, alone)
    return f"; off, {_times(ratio)} what Flask on waitress answers alone" if ratio else ""


def _bulk(results: Results) -> list[str]:
    if not results.contenders("bulk"):
        return []
    said = []
    for clients in (1, 16):
        if ratio := bulk_ratio(results, f"c{clients}"):
            who = "one client" if clients == 1 else f"{clients} clients"
            said.append(f"Beside saturating bulk requests the p95 of single requests, {who}: "
                        f"{_times(ratio)}.")  # fmt: skip
    return said


def _peer_wins(results: Results) -> list[str]:
    """Wherever a server is ahead of our backend, by load: said, not left to the reader."""
    said = []
    for load in results.loads("peers"):
        if is_closed(load):
            clients = "1 client" if load == "c1" else f"{load[1:]} clients"
            said += _ahead(results, "peers", load, f"at {clients}", _FIGURES)
    for load in results.loads("open loop"):
        # All answer what is sent: there is no throughput to compare.
        latencies = {name: words for name, words in _FIGURES.items() if name != _THROUGHPUT}
        said += _ahead(results, "open loop", load, f"at a constant rate of {load}", latencies)
    return said


def _ahead(
    results: Results, section: str, load: str, when: str, figures: Mapping[str, str]
) -> list[str]:
    said = []
    for contender in results.contenders(section):
        if contender.startswith(OURS):
            continue
        better = []
        for figure, words in figures.items():
            ratio = paired_ratio(
                results.by_round(section, contender, load, figure),
                results.by_round(section, _ours(results), load, figure),
            )
            # Level in the digits shown is not ahead.
            shown = round(ratio.median, 2) if ratio else 1
            if ratio and (shown > 1 if figure == _THROUGHPUT else shown < 1):
                better.append(f"{words} {_times(ratio)} ours")
        if better:
            said.append(f"**{contender} is ahead** {when}: {', '.join(better)}.")
    return said


def _times(ratio: Spread) -> str:
    if ratio.count == 1:
        return f"{ratio.median:.2f} ×"
    return f"{ratio.median:.2f} × ({ratio.low:.2f} to {ratio.high:.2f})"
