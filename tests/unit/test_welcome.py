"""What is said on a terminal once the service is ready."""

from __future__ import annotations

import io

import pytest

from service import console


class _Terminal(io.RawIOBase):
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.writes.append(bytes(data))
        return len(data)


def test_no_log_line_of_another_thread_can_come_between(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    stderr = io.TextIOWrapper(io.BufferedWriter(terminal), line_buffering=True)
    monkeypatch.setattr("sys.stderr", stderr)
    console.welcome("127.0.0.1:5000", "127.0.0.1:8000", "A small model")
    assert terminal.writes == [
        b"Page: http://127.0.0.1:5000\nMetrics: http://127.0.0.1:8000/metrics\nA small model\n"
    ]
