"""The tests' own waits: long enough for a machine that stalls, and not without end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests import conftest, waiting
from tests.stack import clients

Wait = Callable[[Callable[[], object]], object]


class Time:
    """Stands for the module `time`, with a clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    for module in (waiting, conftest, clients):
        monkeypatch.setattr(module, "time", made)
    return made


def test_a_stall_counts_as_one_second(machine: Time) -> None:
    clock = waiting.RunningClock()
    machine.now += 0.5
    assert clock.seconds() == 0.5
    machine.now += 20
    assert clock.seconds() == 1.5
    clock.sleep(3)
    assert machine.now == pytest.approx(123.5)


def test_a_stopwatch_measures_what_took_long() -> None:
    with waiting.Stopwatch() as watch:
        time.sleep(0.6)
    assert watch.seconds > 0.3


@pytest.fixture(params=["conftest", "stack"])
def wait(request: pytest.FixtureRequest, machine: Time) -> Wait:
    """Either function of the name `eventually`, for ten seconds."""
    if request.param == "conftest":
        return lambda check: conftest.eventually(check, 10)
    return lambda check: clients.eventually("it", check, bool, 10)


def test_what_comes_after_a_stall_is_in_time(wait: Wait, machine: Time) -> None:
    def check() -> bool:
        machine.now += 9
        return machine.now > 150

    assert wait(check) is True


def test_whoever_does_not_answer_is_asked_again(wait: Wait) -> None:
    answers = iter([ConnectionRefusedError("no"), TimeoutError("no"), "yes"])

    def check() -> object:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert wait(check) == "yes"


def test_what_never_comes_fails_with_the_last_answer(wait: Wait, machine: Time) -> None:
    def check() -> bool:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(AssertionError, match=r"within 10 s.*nobody there"):
        wait(check)
    with pytest.raises(AssertionError, match="within 10 s"):
        wait(lambda: False)
    assert 119 < machine.now < 122
