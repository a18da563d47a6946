"""Who may come in: what fits, what is done in time, and what those refused are told."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from service.errors import QueueFull, RequestError, TooLate
from service.scoring.admission import Admission
from service.scoring.backends.layout import Padding
from service.scoring.batching import Lanes
from service.scoring.job import NEVER, Item, Job
from service.scoring.tokens import TokenizedPair

NOW = 1_000_000_000_000
A_SECOND_EACH = ((10, 1.0),)
"""Every batch takes a second, whatever is in it."""
PER_TOKEN = ((10, 2.0), (20, 3.0))
"""A batch takes a second, and a tenth for each token."""


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "service.scoring.admission.time", SimpleNamespace(perf_counter_ns=lambda: NOW)
    )


def _item(tokens: int, *, interactive: bool = True) -> Item:
    return Item(Job([TokenizedPair([1] * tokens, 1, False)]), 0, interactive=interactive)


def _admission(
    *waiting: int,
    pace: Iterable[tuple[int, float]] = A_SECOND_EACH,
    max_pairs: int = 5,
    max_tokens: int = 50,
    streams: int = 1,
    interactive: bool = True,
) -> Admission:
    """With pairs of so many tokens waiting, and batches of ten tokens."""
    lanes = Lanes()
    for tokens in waiting:
        lanes.append(_item(tokens, interactive=interactive))
    made = Admission(lanes, max_pairs, max_tokens)
    made.budget, made.streams = 10, streams
    for tokens, seconds in pace:
        made.latency.observe(tokens, seconds)
    return made


def _refusal(
    admission: Admission, seconds: float, tokens: int = 10, *, interactive: bool = True
) -> RequestError | None:
    """Of a pair whose client waits for so many seconds."""
    return admission.refusal(1, tokens, NOW + seconds * 1e9, interactive=interactive)


def _takes(admission: Admission, seconds: float, tokens: int = 10, **lane: bool) -> None:
    """A pair that comes now is taken to be done after so many seconds, and no less."""
    assert _refusal(admission, seconds * 1.0001, tokens, **lane) is None
    assert isinstance(_refusal(admission, seconds * 0.9999, tokens, **lane), TooLate)


def test_up_to_both_limits_it_fits() -> None:
    admission = _admission(10, 10, 10)
    assert admission.fits(2, 20)
    assert not admission.fits(3, 20)
    assert not admission.fits(2, 21)
    assert admission.limits() == "5 pairs and 50 tokens"


def test_what_does_not_fit_is_told_what_waits_and_when_that_is_done() -> None:
    refused = _admission(10, 10, 10).refusal(3, 3, NEVER, interactive=True)
    assert isinstance(refused, QueueFull)
    assert str(refused) == (
        "3 pairs of 30 tokens in all are waiting; the limit is 5 pairs and 50 tokens"
    )
    assert refused.retry_after == 3


@pytest.mark.parametrize(
    ("tokens", "streams", "seconds"),
    [(0, 1, 1), (10, 1, 1), (11, 1, 2), (40, 1, 4), (40, 3, 2), (590, 1, 59), (700, 1, 60)],
)
def test_when_to_try_again_is_when_what_waits_is_done(
    tokens: int, streams: int, seconds: int
) -> None:
    admission = _admission(*[tokens] * (tokens > 0), streams=streams, max_tokens=1000)
    assert admission.retry_after() == seconds


def test_what_would_be_late_is_told_how_late() -> None:
    admission = _admission(10, 10, 10)
    # Four batches of a second each, and a quarter more.
    assert _refusal(admission, 5.0) is None
    late = _refusal(admission, 2.5)
    assert isinstance(late, TooLate)
    assert str(late) == (
        "an answer would take about 5.0 s, and 2.5 s are left for it; "
        "allow more time, or ask again later"
    )
    assert late.retry_after == 3


@pytest.mark.parametrize(("seconds", "said"), [(-1, "0 ms"), (0.75, "750 ms"), (1, "1.0 s")])
def test_a_short_time_is_said_in_milliseconds(seconds: float, said: str) -> None:
    assert f", and {said} are left" in str(_refusal(_admission(10), seconds))


def test_on_an_idle_stream_it_may_always_be_tried() -> None:
    admission = _admission(streams=2)
    assert _refusal(admission, 0.001) is None
    admission.computing = {1: (NOW + 60e9, 10)}
    assert _refusal(admission, 0.001) is None
    admission.computing = {1: (NOW + 60e9, 10), 2: (NOW + 60e9, 10)}
    assert _refusal(admission, 0.001) is not None


def test_a_stream_that_is_idle_is_not_waited_for_though_others_compute() -> None:
    admission = _admission(10, streams=2)
    admission.computing = {1: (NOW + 60e9, 10)}
    _takes(admission, 1.25 * 1.5)  # one batch ahead, of two streams, and its own


def test_the_first_stream_that_ends_is_waited_for_and_the_largest_batch_reckoned_with() -> None:
    admission = _admission(pace=PER_TOKEN, streams=2)
    admission.computing = {1: (NOW + 4e9, 6), 2: (NOW + 2e9, 8)}
    _takes(admission, 1.25 * (2 + 1.8), tokens=3)


def test_a_batch_that_takes_longer_than_was_reckoned_is_taken_to_end_now() -> None:
    admission = _admission()
    admission.computing = {1: (NOW - 9e9, 10)}
    _takes(admission, 1.25)


def test_bulk_work_is_reckoned_in_the_short_batches_that_it_gets() -> None:
    """While the next interactive pair is expected; see `batching.BULK_TIME`."""
    lanes = Lanes()
    lanes.append(_item(10))
    admission = Admission(lanes, 100, 1000)
    admission.budget = 40
    for tokens, seconds in PER_TOKEN:
        admission.latency.observe(tokens, seconds)
    lanes.next_batch(40, padding=Padding.ROUNDED, now_ns=NOW, seconds=admission.latency.batch)
    admission.computing = {1: (NOW, 10)}
    # One and a half times two seconds hold 20 tokens: two batches.
    _takes(admission, 1.25 * (3 + 3), tokens=40, interactive=False)
    _takes(admission, 1.25 * 5, tokens=40)
