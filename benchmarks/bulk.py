"""`score` against the bare model, its memory, and that a killed run ends in the same bytes.

`python -m benchmarks.bulk --pairs 100000` writes made-up pairs and scores them as a user would, in
a process of its own. Every few seconds that process is stopped and the bare model scores a sample
here, sorted and in the same batches, tokenised before: so both see the same machine, however it
drifts. Then the file is scored once more, killed by SIGKILL several times and resumed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.overhead import resident_mb
from benchmarks.processes import end_what_was_started, processor_seconds

_MEAN_CHARACTERS = (19, 16)
"""Of the first and the second address of real pairs."""

CHUNK_ROWS = 1024
"""Rows that `score` notes at a time on a CPU."""

_CHARACTERS = (
    "东南西北中上下前后大小新老城乡村镇街道路巷里号栋幢楼单元层室院园区县市省苑庭湾山水河江湖海"
    "文化学府科技工业商贸金银花木林田桥门口广场华星时代明珠翠竹长青望春和平建设人民解放0123456789"
)


def pairs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Made-up pairs of real lengths; half of them are one address and a part of it, changed."""
    source = random.Random(seed)  # noqa: S311 - addresses, no secrets

    def address(mean: int) -> str:
        length = max(4, round(source.gammavariate(6, mean / 6)))
        return "".join(source.choices(_CHARACTERS, k=length))

    for _ in range(count):
        first, second = (address(mean) for mean in _MEAN_CHARACTERS)
        if source.random() < 0.5:
            second = first[-len(second) :].replace("幢", "栋")
        yield first, second


class Bare:
    """The model alone, on samples of pairs that are tokenised, sorted and batched beforehand.

    Attributes:
        pairs: Scored so far.
        seconds: That took.
        processor: Seconds of all processors together.
    """

    def __init__(self, model: str, sample: int) -> None:
        self.seconds = self.processor = 0.0
        self.pairs = 0
        from service.bulk.local import LocalScorer
        from service.bulk.tables import Rows
        from service.settings import Settings

        scorer = LocalScorer(Settings(model=model))
        rows = [list[object](pair) for pair in pairs(sample, seed=1)]
        ready = scorer._prepare(Rows(rows, {}), (0, 1))
        self._backend = scorer._model.backend
        self._batches = [[ready.tokens[place] for place in batch] for batch in ready.batches]
        self.name = f"{scorer._model.checkpoint.name} on {self._backend.name}"
        self.run()  # kernels are made, and caches warm
        self.seconds = self.processor = 0.0
        self.pairs = 0

    def run(self) -> None:
        """Score the sample once."""
        begun, used = time.perf_counter(), time.process_time()
        for batch in self._batches:
            self._backend.predict(batch)
        self.seconds += time.perf_counter() - begun
        self.processor += time.process_time() - used
        self.pairs += sum(len(batch) for batch in self._batches)


def start(given: Path, output: Path, model: str) -> subprocess.Popen[bytes]:
    """`score` as a process."""
    command = [sys.executable, "-m", "service", "score", str(given), "-o", str(output)]
    command += ["--model", model]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603


def journal_of(output: Path) -> Path:
    """Where a run notes what is done."""
    return output.with_name(output.name + ".journal")


def chunks_done(output: Path) -> int:
    """Chunks in the journal."""
    return journal_of(output).read_bytes().count(b"\n") - 1


def journal_size(output: Path) -> int:
    """Bytes of it; 0 without one."""
    try:
        return journal_of(output).stat().st_size
    except FileNotFoundError:
        return 0


def measure(given: Path, output: Path, model: str, count: int, every: float) -> int:
    """Rate against the bare model and memory; returns the journal's size near the end."""
    bare = Bare(model, sample=1024)
    memory: list[int] = []
    size = 0
    process = start(given, output, model)
    while process.poll() is None and journal_size(output) < 1000:
        time.sleep(0.01)
    begun = time.perf_counter()
    used = processor_seconds(process.pid)
    paused, processor, done = 0.0, used, CHUNK_ROWS
    while True:
        try:
            process.wait(every)
            break
        except subprocess.TimeoutExpired:
            stopped = time.perf_counter()
            process.send_signal(signal.SIGSTOP)
            if not journal_size(output):  # it is about to end
                process.send_signal(signal.SIGCONT)
                continue
            memory.append(resident_mb(process.pid))
            processor = processor_seconds(process.pid)
            done = chunks_done(output) * CHUNK_ROWS
            size = journal_size(output)
            bare.run()
            process.send_signal(signal.SIGCONT)
            paused += time.perf_counter() - stopped
    seconds = time.perf_counter() - begun - paused
    if process.returncode:
        raise SystemExit(f"score ended with {process.returncode}")
    # The first chunk was done when the clock began.
    rate, alone = (count - CHUNK_ROWS) / seconds, bare.pairs / bare.seconds
    print(f"model: {bare.name}")
    print(
        f"score: {rate:.0f} pairs/s ({count} pairs in {seconds:.0f} s); bare model: {alone:.0f} "
        f"pairs/s ({bare.pairs} pairs in samples between); score is {rate / alone:.1%} of it"
    )
    cost, least = (processor - used) / (done - CHUNK_ROWS), bare.processor / bare.pairs
    print(
        f"processor time of a pair: {cost * 1e3:.2f} ms in score, {least * 1e3:.2f} ms in the bare "
        f"model; the rest costs {cost / least - 1:.1%}"
    )
    tenth = max(1, len(memory) // 10)
    first, last = (statistics.median(part) for part in (memory[:tenth], memory[-tenth:]))
    print(f"resident memory: {first:.0f} MB in the first tenth, {last:.0f} MB in the last, "
          f"{max(memory)} MB at most ({len(memory)} readings)")  # fmt: skip
    return size


def kill_and_resume(given: Path, output: Path, model: str, size: int, kills: int) -> None:
    """Score a file, killed at random sizes of its journal."""
    source = random.Random()  # noqa: S311 - moments to kill, no secrets
    for point in sorted(source.uniform(0.02, 0.95) * size for _ in range(kills)):
        process = start(given, output, model)
        while process.poll() is None and journal_size(output) < point:
            time.sleep(0.001)
        process.kill()
        process.wait()
        print(f"killed when {journal_size(output) / size:.0%} of the journal was there")
    if start(given, output, model).wait():
        raise SystemExit("the resumed run failed")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--format", default="csv", choices=("csv", "jsonl", "parquet", "xlsx"))
    parser.add_argument("--every", type=float, default=4.0, help="seconds between samples")
    parser.add_argument("--kills", type=int, default=3)
    arguments = parser.parse_args()
    end_what_was_started()
    print(machine.in_a_line())
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "pairs.csv")
        with given.open("w", encoding="utf-8") as file:
            file.write("address1,address2\n")
            file.writelines(f"{a},{b}\n" for a, b in pairs(arguments.pairs, seed=0))
        whole, resumed = (
            Path(folder, f"{name}.{arguments.format}") for name in ("whole", "resumed")
        )
        size = measure(given, whole, arguments.model, arguments.pairs, arguments.every)
        kill_and_resume(given, resumed, arguments.model, size, arguments.kills)
        same = digest(whole) == digest(resumed)
        verdict = "the same bytes" if same else "OTHER BYTES"
        print(f"killed {arguments.kills} times and resumed: {verdict}")
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
