"""Progress on standard error: a bar on a terminal, otherwise a line every 10 seconds."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from tqdm import tqdm

_EVERY_SECONDS = 10.0


class Progress:
    """Counts rows and shows them; the clock starts when its `with` block does.

    Args:
        name: Name of the input.
        total: Number of rows; None if it is unknown.

    Attributes:
        resumed: Rows that an earlier run scored.
        scored: Rows that this run scored.
    """

    def __init__(self, name: str, total: int | None) -> None:
        self._name = name
        self._total = total
        self.resumed = 0
        self.scored = 0
        self._begin = self._shown = time.monotonic()
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        self._begin = self._shown = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self._name, total=self._total, unit=" rows", dynamic_ncols=True, disable=False
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        """Seconds since scoring started; rows of an earlier run do not count."""
        return time.monotonic() - self._begin

    @property
    def rate(self) -> float:
        """Rows scored per second."""
        return self.scored / max(self.seconds, 1e-6)

    def resume(self, rows: int) -> None:
        """Count rows that an earlier run scored; the rate leaves them out."""
        self.resumed += rows
        self._begin = time.monotonic()
        if self._bar is not None:
            self._bar.initial = self._bar.n = self._bar.last_print_n = self.resumed
            self._bar.start_t = self._bar.last_print_t = time.time()
            self._bar.refresh()

    def advance(self, rows: int) -> None:
        """Count rows that this run scored."""
        self.scored += rows
        if self._bar is not None:
            self._bar.update(rows)
        elif time.monotonic() - self._shown >= _EVERY_SECONDS:
            self._shown = time.monotonic()
            self.note(self._line())

    def note(self, line: str) -> None:
        """Write one line; above the bar, if there is one."""
        if self._bar is not None:
            self._bar.write(f"mgeo: {line}", file=sys.stderr)
        else:
            print(f"mgeo: {line}", file=sys.stderr, flush=True)

    @property
    def done(self) -> str:
        """Finished rows and total, such as `500 of 2,000 rows`."""
        total = f" of {self._total:,}" if self._total else ""
        return f"{self.resumed + self.scored:,}{total} rows"

    def _line(self) -> str:
        line = f"{self._name}: {self.done}, {self.rate:,.0f} a second"
        if self._total and self.rate:
            left = max(0, self._total - self.resumed - self.scored)
            line += f", {duration(left / self.rate)} left"
        return line


def duration(seconds: float) -> str:
    """Format seconds as `8 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
