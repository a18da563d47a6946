"""The state machine, and what it reports."""

from __future__ import annotations

import threading

import pytest

from service.lifecycle import Lifecycle, LoadingCancelledError, State


def test_loading_reports_stage_and_progress_until_ready() -> None:
    lifecycle = Lifecycle()
    lifecycle.loading("reading weights", 0.6)
    assert lifecycle.report() == {
        "status": "starting",
        "stage": "reading weights",
        "progress": 0.6,
    }
    assert lifecycle.to(State.READY)
    assert lifecycle.report() == {"status": "ready"}


def test_only_moves_that_follow_are_made() -> None:
    lifecycle = Lifecycle()
    assert lifecycle.to(State.DRAINING)
    assert not lifecycle.to(State.READY)  # the model was loaded too late
    assert not lifecycle.to(State.DRAINING)  # a second signal
    assert lifecycle.to(State.STOPPED)
    assert not lifecycle.to(State.FAILED, RuntimeError())
    assert lifecycle.state is State.STOPPED
    assert lifecycle.error is None


def test_loading_is_cancelled_once_the_process_is_to_end() -> None:
    lifecycle = Lifecycle()
    lifecycle.loading("fetching", 0.1)
    lifecycle.to(State.DRAINING)
    with pytest.raises(LoadingCancelledError):
        lifecycle.loading("fetching", 0.2)


def test_a_waiter_wakes_at_the_change() -> None:
    lifecycle = Lifecycle()
    error = RuntimeError("x")
    seen: list[State] = []
    waiter = threading.Thread(
        target=lambda: seen.append(lifecycle.wait_while(State.STARTING, timeout=60))
    )
    waiter.start()
    lifecycle.to(State.FAILED, error)
    waiter.join(60)
    assert seen == [State.FAILED]
    assert lifecycle.error is error


def test_waiting_is_bounded() -> None:
    assert Lifecycle().wait_while(State.STARTING, timeout=0.01) is State.STARTING
