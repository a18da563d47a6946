"""Cases by their numbers, in processes of their own."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

Run = Callable[[Sequence[int], int], tuple[Counter[str], list[str]]]
"""Makes and reads the cases of some numbers, with a seed: counts, and a line for each failure."""

_CASE_SECONDS = 30
"""Longer than that is a hang: the process ends with the stack, and the run with a failure."""

_SHARE = 250


@contextlib.contextmanager
def case() -> Iterator[Path]:
    """An empty folder for one case, which ends the process if it hangs."""
    with tempfile.TemporaryDirectory(prefix="mgeo-fuzz-") as name:
        faulthandler.dump_traceback_later(_CASE_SECONDS, exit=True)
        try:
            yield Path(name)
        finally:
            faulthandler.cancel_dump_traceback_later()


def main(
    what: str,
    run: Run,
    initializer: Callable[[], None],
    numbers: Sequence[int],
    seed: int,
    workers: int,
) -> int:
    """Run the cases, and print what came of them.

    Returns:
        The exit status: 1 if one broke a rule.
    """
    began = time.monotonic()
    seen: Counter[str] = Counter()
    failures = []
    shares = [numbers[at : at + _SHARE] for at in range(0, len(numbers), _SHARE)]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer) as pool:
        for share, future in [(share, pool.submit(run, share, seed)) for share in shares]:
            try:
                counted, broken = future.result()
            except BrokenProcessPool:
                failures.append(f"a process ended at one of the cases {share[0]} to {share[-1]}")
                continue
            seen += counted
            failures += broken
    seconds = time.monotonic() - began
    print(
        f"{what}: {len(numbers)} cases (seed {seed}) in {seconds:.0f} s; "
        f"{dict(sorted(seen.items()))}; {len(failures)} failures"
    )
    for failure in failures[:50]:
        print(failure)
    return 1 if failures else 0
