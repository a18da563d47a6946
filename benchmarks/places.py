"""`match` and `POST /match` against a register of a million entries, by real queries.

`python -m benchmarks.places prepare FOLDER --gazetteer DIR --pairs FILE --entries 1000000` writes a
register of all candidates of the queries with generated addresses beside them, and the queries.
Then, each within minutes:

- `match FOLDER` has `match` find 10,000 rows: rows a second, processor time, memory.
- `resume FOLDER` does it again, killed and resumed, and compares the bytes.
- `first FOLDER --pairs FILE` says how often the labelled entry came first.
- `brute FOLDER` compares with a model that has looked at every entry of a smaller register.
- `ask FOLDER` loads a service by some clients, and adds up the stages of its answers.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import machine
from benchmarks.bulk import CHUNK_ROWS, chunks_done, digest, journal_of
from benchmarks.contenders import RunningServer, service
from benchmarks.figures import percentile
from benchmarks.processes import end_what_was_started
from benchmarks.retrieval import generated, real_queries
from service.retrieval.register import CANDIDATES

_KILL_AT = 0.5
"""Of the rows, when the run to be resumed is killed."""


def main() -> None:
    """Run one verb."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    for name, verb in _VERBS.items():
        one = verbs.add_parser(name)
        one.add_argument("folder", type=Path)
        one.set_defaults(verb=verb)
        if name in ("prepare", "first"):
            one.add_argument("--pairs", type=Path, required=True, help="labelled, JSON lines")
            one.add_argument("--half", choices=("A", "B", "all"), default="all")
        if name == "prepare":
            one.add_argument("--gazetteer", type=Path, required=True)
            one.add_argument("--entries", type=int, default=1_000_000)
            one.add_argument("--distractors", type=Path, help="file to keep the generated ones in")
            one.add_argument("--rows", type=int, default=10_000, help="that `match` is to find")
        if name == "brute":
            one.add_argument("--queries", type=int, default=40)
            one.add_argument("--entries", type=int, default=20_000)
            one.add_argument("--seed", type=int, default=0)
        if name == "ask":
            one.add_argument("--clients", type=int, nargs="+", default=[1, 16])
            one.add_argument("--seconds", type=float, default=60)
    flags = parser.parse_args()
    end_what_was_started()
    print(machine.in_a_line(), flush=True)
    flags.verb(flags)
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


def _prepare(flags: argparse.Namespace) -> None:
    flags.folder.mkdir(parents=True, exist_ok=True)
    queries, candidates = real_queries(flags.pairs, flags.half)
    entries = dict.fromkeys(candidates)
    rest = generated(flags.gazetteer, flags.entries, flags.distractors)
    for address in rest:
        if len(entries) >= flags.entries:
            break
        entries.setdefault(address)
    _write(flags.folder / "right.csv", (address for address in entries))
    asked = itertools.islice(itertools.cycle(query for query, *_ in queries), flags.rows)
    _write(flags.folder / "left.csv", asked)
    seconds, processor, memory, _ = run(
        "index", "build", str(flags.folder / "right.csv"), "-o", str(flags.folder / "register"),
        "--force",
    )  # fmt: skip
    size = sum(path.stat().st_size for path in (flags.folder / "register").rglob("*.*"))
    print(f"{len(entries):,} entries: built in {seconds:.0f} s ({processor:.0f} s of processor "
          f"time), {memory:,.0f} MB at most, {size / 1e6:,.0f} MB on the disk")  # fmt: skip


def _match(flags: argparse.Namespace) -> None:
    seconds, processor, memory, told = run(*_command(flags.folder, "matched.csv"), "--force")
    rows = len(_read(flags.folder / "left.csv"))
    found = re.search(r"finding candidates took ([\d.]+) s", told)
    looked = float(found[1]) if found else float("nan")
    print(told.strip())
    print(f"{rows:,} rows in {seconds:.0f} s: {rows / seconds:.1f} a second; candidates took "
          f"{looked:.0f} s beside the model ({looked / seconds:.0%}); processor time "
          f"{processor:.0f} s of {2 * seconds:.0f}; {memory:,.0f} MB at most")  # fmt: skip


def _resume(flags: argparse.Namespace) -> None:
    command = _command(flags.folder, "resumed.csv")
    output = flags.folder / "resumed.csv"
    output.unlink(missing_ok=True)
    chunks = len(_read(flags.folder / "left.csv")) * CANDIDATES / CHUNK_ROWS
    process = subprocess.Popen([sys.executable, "-m", "service", *command])  # noqa: S603
    while process.poll() is None:
        time.sleep(0.05)
        if journal_of(output).exists() and chunks_done(output) >= _KILL_AT * chunks:
            process.kill()
    process.wait()
    print(f"killed after {chunks_done(output)} chunks", flush=True)
    _, _, _, told = run(*command)
    print(told.strip())
    same = digest(output) == digest(flags.folder / "matched.csv")
    print("killed and resumed:", "the same bytes" if same else "OTHER BYTES")
    if not same:
        raise SystemExit(1)


def _first(flags: argparse.Namespace) -> None:
    queries, _ = real_queries(flags.pairs, flags.half)
    wanted = {query: (set(exact), set(partial)) for query, exact, partial in queries}
    rows = {
        row["address"]: row
        for row in _read(flags.folder / "matched.csv")
        if row["address"] in wanted
    }
    having = {query for query in rows if wanted[query][0]}
    first = sum(rows[query]["match_address"] in wanted[query][0] for query in having)
    either = sum(rows[query]["match_address"] in set.union(*wanted[query]) for query in having)
    print(f"of {len(having):,} queries with an exact entry {first / len(having):.3f} have one "
          f"first, {either / len(having):.3f} one or a partial one")  # fmt: skip
    print(
        "| similarity from | rows answered | of them exact | exact or partial |\n|--:|--:|--:|--:|"
    )
    for threshold in (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9):
        answered = [
            (query, row)
            for query, row in rows.items()
            if row["match_address"] and float(row["similarity"]) >= threshold
        ]
        count = max(1, len(answered))
        exact = sum(row["match_address"] in wanted[query][0] for query, row in answered)
        some = sum(row["match_address"] in set.union(*wanted[query]) for query, row in answered)
        print(f"| {threshold} | {len(answered) / len(rows):.3f} | {exact / count:.3f} | "
              f"{some / count:.3f} |")  # fmt: skip


def _brute(flags: argparse.Namespace) -> None:
    from service.bulk.local import LocalScorer
    from service.bulk.tables import Result, Rows
    from service.retrieval import index
    from service.retrieval.ranking import MATCHING, ranked
    from service.settings import Settings

    source = random.Random(flags.seed)  # noqa: S311 - a sample, no secret
    everything = [row["address"] for row in _read(flags.folder / "right.csv")]
    asked = sorted({row["address"] for row in _read(flags.folder / "left.csv")})
    queries = source.sample(asked, flags.queries)
    # All labelled candidates stand first in the register, so that the right ones are among them.
    entries = everything[: flags.entries]
    built = index.build(entries)
    scorer = LocalScorer(Settings())

    def results(query: str, places: list[int]) -> list[Result]:
        cells: list[list[object]] = [[query, entries[place]] for place in places]
        parts = (
            Rows(cells[at : at + scorer.chunk_rows], {})
            for at in range(0, len(cells), scorer.chunk_rows)
        )
        done = scorer.score(parts, (0, 1), lambda rows: None)
        return [result for _, part in done for result in part]

    same = answers = same_answers = 0

    def is_answer(result: Result) -> bool:
        return result.label in MATCHING

    for query in queries:
        [near] = built.candidates([query], len(entries))
        # Those that share nothing come last.
        everyone = list(dict.fromkeys([*near.tolist(), *range(len(entries))]))
        best = ranked(zip(everyone, results(query, everyone), strict=True), is_answer)[0]
        places = near[:CANDIDATES].tolist()
        found = ranked(zip(places, results(query, places), strict=True), is_answer)
        is_same = bool(found) and found[0].candidate == best.candidate
        same += is_same
        if best.score.label != "not_match":
            answers, same_answers = answers + 1, same_answers + is_same
    print(f"{len(queries)} queries, each against all {len(entries):,} entries: the same best in "
          f"{same / len(queries):.1%}; of the {answers} whose best is an answer, in "
          f"{same_answers / max(1, answers):.1%}")  # fmt: skip


def _ask(flags: argparse.Namespace) -> None:
    queries = iter(dict.fromkeys(row["address"] for row in _read(flags.folder / "left.csv")))
    with tempfile.TemporaryDirectory() as logs:
        contender = service("match", "--register", str((flags.folder / "register").resolve()))
        server = RunningServer(contender, Path(logs))
        try:
            _asked(server.port, queries, 1, 5)
            print("| clients | requests | p50 | p95 | stages, mean in ms |\n|--:|--:|--:|--:|---|")
            for clients in flags.clients:
                latencies, stages = _asked(server.port, queries, clients, flags.seconds)
                means = {name: sum(took) / len(latencies) for name, took in stages.items()}
                listed = ", ".join(f"{name} {mean:.1f}" for name, mean in means.items())
                mean = 1e3 * sum(latencies) / len(latencies)
                shown = (f"{1e3 * percentile(latencies, share):.0f} ms" for share in (0.5, 0.95))
                print(f"| {clients} | {len(latencies)} | {' | '.join(shown)} | {listed}: "
                      f"{sum(means.values()):.1f} of {mean:.1f} |", flush=True)  # fmt: skip
        finally:
            server.process.end()


def _asked(
    port: int, queries: Iterator[str], clients: int, seconds: float
) -> tuple[list[float], Mapping[str, list[float]]]:
    """Latencies in seconds, and each stage's milliseconds; every query is asked once only."""
    latencies: list[float] = []
    stages: dict[str, list[float]] = defaultdict(list)
    lock, until = threading.Lock(), time.monotonic() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < until:
            with lock:
                query = next(queries, None)
            if query is None:
                return
            content = json.dumps({"address": query}).encode()
            begun = time.perf_counter()
            connection.request("POST", "/match", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            took = time.perf_counter() - begun
            if answer.status != 200:
                raise SystemExit(f"the service answered {answer.status}")
            with lock:
                latencies.append(took)
                for name, value in re.findall(
                    r"(\w+);dur=([\d.]+)", answer.headers["Server-Timing"]
                ):
                    stages[name].append(float(value))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies, stages


def _command(folder: Path, output: str) -> list[str]:
    # From 0: the best candidate of each row, whatever its label.
    return [
        "match", str(folder / "left.csv"), str(folder / "register"), "-o", str(folder / output),
        "--threshold", "0",
    ]  # fmt: skip


def run(*words: str) -> tuple[float, float, float, str]:
    """Seconds, processor seconds, megabytes at most, and what a command said."""
    begun = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "service", *words], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(told)
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, told


def _write(path: Path, addresses: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["address"])
        writer.writerows([address] for address in addresses)


def _read(path: Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


_VERBS = {
    "prepare": _prepare, "match": _match, "resume": _resume, "first": _first, "brute": _brute,
    "ask": _ask,
}  # fmt: skip

if __name__ == "__main__":
    main()
