"""What counts as good under overload, and that refusals are measured apart."""

from __future__ import annotations

import socket

import pytest

from benchmarks.load import Generator, Measurement
from benchmarks.overload import Overload
from tests.benchmarks.test_load import OK, job, peer, send

REFUSED = b"HTTP/1.1 429 Too Many\r\ncontent-length: 2\r\n\r\n{}"


def test_goodput_is_what_came_within_the_deadline() -> None:
    result = Measurement(
        latencies=[0.4, 0.9, 1.0, 1.1], refusals=[0.002] * 99 + [0.04], counted=2.0, wall=3.0,
        sent=300, statuses={"200": 4, "429": 100},
    )  # fmt: skip
    measured = Overload(3.0, result, 1.0, [100_000_000] * 12)
    assert measured.goodput == 1.5
    told = measured.figures()
    assert "in time: 1.5 a second, 50% of capacity" in told
    assert "refused 429: p50 2.0 ms, p99 2.4 ms" in told


def test_without_a_refusal_there_is_no_figure() -> None:
    result = Measurement(latencies=[0.1], counted=1.0, wall=1.0)
    assert "refused 429: p50 none, p99 none" in Overload(1.0, result, 1.0, [1] * 6).figures()


def test_refusals_are_timed_apart_and_each_request_carries_the_headers() -> None:
    def answer(number: int, connection: socket.socket) -> bool:
        return send(connection, REFUSED if number % 2 else OK)

    with peer(answer) as one:
        generator = Generator(job(one, headers={"X-Wait": "250"}))
        assert generator._next().count(b"\r\nX-Wait: 250\r\n") == 1
        result = generator.run()
    # The first and the last fall out of the counted time.
    assert len(result.refusals) == pytest.approx(result.statuses["429"], abs=1)
    assert len(result.latencies) == pytest.approx(result.statuses["200"], abs=1)
    assert result.statuses["429"] >= 10
