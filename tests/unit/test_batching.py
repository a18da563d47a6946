"""The batching policy's laws: nothing lost, bounds kept, nobody overtaken for ever."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.scoring.backends.layout import Padding, computed_tokens
from service.scoring.batching import BULK_TIME, BULK_TURN, Lanes, share
from service.scoring.batching import INTERACTIVE_LINGERS_NS as LINGERS
from service.scoring.job import Item, Job
from service.scoring.tokens import TokenizedPair
from tests.conftest import examples
from tests.unit.queues import sizes_of

BUDGET = 96
SOON, LATER = 1, 2 * LINGERS

sizes = st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=60)


def _item(size: int, *, interactive: bool = True) -> Item:
    job = Job([TokenizedPair([1] * size, 1, False)])
    return Item(job, 0, interactive=interactive)


def _lanes(*items: Item) -> Lanes:
    lanes = Lanes()
    for item in items:
        lanes.append(item)
    return lanes


@given(sizes, st.integers(1, 200), st.sampled_from(Padding))
def test_every_item_comes_out_once_and_batches_keep_the_budget(
    given_sizes: list[tuple[int, bool]], budget: int, padding: Padding
) -> None:
    items = [_item(size, interactive=interactive) for size, interactive in given_sizes]
    lanes = _lanes(*items)
    taken: list[Item] = []
    while lanes.depth():
        first = [lane.items[0] for lane in (lanes.interactive, lanes.bulk) if lane.items]
        batch, unwanted = lanes.next_batch(budget, padding=padding, now_ns=SOON)
        assert not unwanted
        assert batch[0] in first, "whoever has waited longest in a lane goes first"
        assert len({item.interactive for item in batch}) == 1
        cost = computed_tokens(len(batch), sum(sizes_of(batch)), max(sizes_of(batch)), padding)
        assert len(batch) == 1 or cost <= budget
        taken += batch
    assert sorted(map(id, taken)) == sorted(map(id, items))
    assert lanes.tokens() == 0


@given(sizes)
def test_packed_batches_keep_the_order_of_each_lane(given_sizes: list[tuple[int, bool]]) -> None:
    items = [_item(size, interactive=interactive) for size, interactive in given_sizes]
    lanes = _lanes(*items)
    taken = []
    while lanes.depth():
        taken += lanes.next_batch(BUDGET, padding=Padding.ROUNDED, now_ns=SOON)[0]
    for interactive in (True, False):
        lane = [item for item in items if item.interactive is interactive]
        assert [item for item in taken if item.interactive is interactive] == lane


def test_where_padding_costs_pairs_of_like_length_go_together() -> None:
    lanes = _lanes(*map(_item, (10, 40, 11, 40, 9, 10)))
    batches = [lanes.next_batch(BUDGET, padding=Padding.LONGEST, now_ns=SOON)[0] for _ in range(2)]
    assert list(map(sizes_of, batches)) == [[10, 10, 11, 9], [40, 40]]
    packed = _lanes(*map(_item, (10, 40, 11, 40, 9, 10)))
    assert sizes_of(packed.next_batch(BUDGET, padding=Padding.ROUNDED, now_ns=SOON)[0]) == [
        10,
        40,
        11,
    ]


def test_what_nobody_waits_for_is_taken_out_and_not_computed() -> None:
    left, wanted = _item(5), _item(5)
    [(job, _)] = left.waiters
    assert job.wait(0) is False
    assert _lanes(left, wanted).next_batch(BUDGET, padding=Padding.ROUNDED, now_ns=SOON) == (
        [wanted],
        [left],
    )
    lanes = _lanes(left, wanted)
    assert lanes.tidy(now_ns=SOON) == [left]
    assert (lanes.depth(), lanes.tokens()) == (1, 5)


def test_what_expires_while_the_lanes_are_tidied_is_kept_or_returned_and_not_both() -> None:
    class Leaving(Job):
        """Is wanted when asked first, and never again."""

        asked = 0

        def is_wanted_at(self, now_ns: float) -> bool:
            self.asked += 1
            return self.asked == 1

    job = Leaving([TokenizedPair([1] * 5, 1, False)])
    lanes = _lanes(Item(job, 0, interactive=True))
    assert lanes.tidy(now_ns=SOON) == []
    assert (lanes.depth(), job.asked) == (1, 1)


@pytest.mark.parametrize("padding", Padding)
def test_bulk_gets_its_turn_while_single_pairs_keep_coming(padding: Padding) -> None:
    lanes = _lanes(*(_item(10, interactive=False) for _ in range(200)))
    from_bulk = []
    for _ in range(3 * BULK_TURN):
        for _ in range(20):
            lanes.append(_item(10))
        from_bulk.append(
            not lanes.next_batch(BUDGET, padding=padding, now_ns=SOON)[0][0].interactive
        )
    assert from_bulk == [False, False, False, True] * 3


@given(st.lists(st.integers(1, 60), min_size=2, max_size=20), st.sampled_from(Padding))
def test_a_batch_is_as_large_as_the_budget_allows(lengths: list[int], padding: Padding) -> None:
    budget = computed_tokens(len(lengths), sum(lengths), max(lengths), padding)
    for given_budget, fits in ((budget, True), (budget - 1, False)):
        lanes = _lanes(*map(_item, lengths))
        batch, _ = lanes.next_batch(given_budget, padding=padding, now_ns=SOON)
        assert (len(batch) == len(lengths)) == fits


@pytest.mark.parametrize(("last", "sizes"), [(33, [10, 10]), (34, [10, 34])])
def test_pairs_of_like_length_are_looked_for_in_four_full_batches(
    last: int, sizes: list[int]
) -> None:
    ahead = [10, *[34] * 10, last]
    assert sum(ahead) == 4 * BUDGET - (last == 33)
    lanes = _lanes(*map(_item, [*ahead, 10]))
    batch, _ = lanes.next_batch(BUDGET, padding=Padding.LONGEST, now_ns=SOON)
    assert sizes_of(batch)[:2] == sizes
    assert lanes.depth() == len(ahead) + 1 - len(batch)


@pytest.mark.parametrize(("padding", "left"), [(Padding.ROUNDED, 1), (Padding.LONGEST, 0)])
def test_only_where_padding_costs_pairs_behind_a_full_batch_are_looked_at(
    padding: Padding, left: int
) -> None:
    first, gone = _item(BUDGET), _item(5)
    gone.waiters[0][0].abandon()
    lanes = _lanes(first, gone)
    assert lanes.next_batch(BUDGET, padding=padding, now_ns=SOON)[0] == [first]
    assert lanes.depth() == left


@dataclass(frozen=True)
class Device:
    """A pass of so many tokens takes `fixed + per_token * tokens` seconds."""

    fixed: float
    per_token: float

    def seconds(self, tokens: int) -> float:
        return self.fixed + self.per_token * tokens


@dataclass
class Mix:
    """Bulk pairs without end, and a single pair every `gap` seconds, on one stream.

    Attributes:
        bulk_size: Tokens of a bulk pair.
        bulk_tokens: Tokens of bulk pairs that were computed.
        interactive_seconds: Time in which single pairs were computed.
        waits: Seconds that each single pair waited, but for those that came after a silence.
    """

    bulk_size: int = 10
    bulk_tokens: int = 0
    interactive_seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def run(self, device: Device, *, gap: float, passes: int) -> float:
        """Seconds that so many passes take."""
        lanes = _lanes(*(_item(self.bulk_size, interactive=False) for _ in range(1000)))
        clock = due = 10.0
        came: dict[int, float] = {}
        for _ in range(passes):
            while due <= clock:
                lanes.append(item := _item(SINGLE))
                came[id(item)] = due
                due += gap
            batch, _ = lanes.next_batch(
                FULL, padding=Padding.ROUNDED, now_ns=int(clock * 1e9), seconds=device.seconds
            )
            tokens = sum(sizes_of(batch))
            took = device.seconds(tokens)
            if batch[0].interactive:
                self.interactive_seconds += took
                self.waits += [clock - came[id(item)] for item in batch]
            else:
                self.bulk_tokens += tokens
                for item in batch:  # others like them
                    lanes.append(item)
            clock += took
        return clock - 10.0


FULL, SINGLE = 4000, 30


@given(st.floats(1e-4, 1e-2), st.floats(1e-7, 1e-3), st.floats(0.02, 0.9))
@settings(max_examples=examples(15))
def test_bulk_keeps_a_third_of_its_speed_beside_single_pairs_that_hardly_wait(
    fixed: float, per_token: float, load: float
) -> None:
    """Whatever a pass costs and however often single pairs come, from 2 % of the device to 90 %."""
    device, mix = Device(fixed, per_token), Mix()
    own = device.seconds(SINGLE)
    seconds = mix.run(device, gap=min(own / load, 0.9), passes=120)
    full = FULL / device.seconds(FULL)
    left = seconds - mix.interactive_seconds
    # A batch holds whole pairs: one of 10 tokens may not fit any more.
    assert mix.bulk_tokens >= (full / 3) * left * 0.7
    # The first one finds a full bulk batch under way; the others at most a short one, and their own
    # kind before them where they come faster than they are computed.
    if load < 0.3:
        assert max(mix.waits[1:], default=0.0) <= BULK_TIME * own + 1e-6


def test_one_single_pair_a_second_does_not_slow_bulk_work_on_a_gpu() -> None:
    """A pass of 4 ms whatever is in it: full batches, and not one pair at a time."""
    device, mix = Device(4e-3, 1e-8), Mix(bulk_size=100)
    seconds = mix.run(device, gap=0.999, passes=500)
    assert mix.bulk_tokens / seconds >= 0.95 * FULL / device.seconds(FULL)


def test_after_a_silence_bulk_batches_are_full_again() -> None:
    device = Device(0.0, 1e-3)
    lanes = _lanes(_item(24), *(_item(10, interactive=False) for _ in range(50)))
    assert lanes.bulk_limit(BUDGET, SOON, device.seconds) == BUDGET, "no single pair came yet"

    def take(now_ns: int) -> list[int]:
        return sizes_of(
            lanes.next_batch(
                BUDGET, padding=Padding.ROUNDED, now_ns=now_ns, seconds=device.seconds
            )[0]
        )

    assert take(0) == [24]
    assert take(SOON) == [10] * 3, "half as long again as an interactive batch"
    # As admission asks too.
    for now_ns, limit in ((SOON, 36), (LINGERS - 1, 36), (LINGERS, BUDGET)):
        assert lanes.bulk_limit(BUDGET, now_ns, device.seconds) == limit
    assert lanes.bulk_limit(10, SOON, device.seconds) == 10, "not the budget of the batch before"
    assert lanes.bulk_limit(BUDGET, SOON, Device(4e-3, 0.0).seconds) == BUDGET
    assert take(LATER) == [10] * 9, "nobody is waited for any more"


def test_bulk_work_alone_is_not_held_to_the_size_of_its_last_batch() -> None:
    lanes = _lanes(_item(10, interactive=False))
    for size in (10, 90):
        batch, _ = lanes.next_batch(
            BUDGET, padding=Padding.ROUNDED, now_ns=SOON, seconds=Device(0.0, 1e-3).seconds
        )
        assert sum(sizes_of(batch)) == size
        for _ in range(9):
            lanes.append(_item(10, interactive=False))


@pytest.mark.parametrize(("bulk", "ahead"), [(100, 31 + 10), (10, 31 + 10), (9, 31 + 9)])
def test_a_single_pair_waits_for_a_turn_of_bulk_work_after_three_of_its_kind(
    bulk: int, ahead: int
) -> None:
    lanes = _lanes(_item(31), _item(bulk, interactive=False))
    assert lanes.ahead(interactive=True) == ahead
    assert lanes.ahead(interactive=False) == 31 + bulk


def _until(expires_ns: float, size: int = 10) -> Item:
    item = _item(size)
    item.waiters[0][0].expires_ns = expires_ns
    return item


@pytest.mark.parametrize("padding", Padding)
def test_what_would_come_too_late_gives_way_to_what_would_not(padding: Padding) -> None:
    now = time.perf_counter_ns()
    soon, later = [_until(now + 4e9) for _ in range(3)], [_until(now + 6e9) for _ in range(3)]
    gone = _until(now - 1)
    lanes = _lanes(*soon, gone, *later)
    taken = lanes.next_batch(
        BUDGET, padding=padding, now_ns=now, seconds=lambda tokens: tokens / 12
    )
    assert taken == (later, [gone, *soon])
    assert lanes.depth() == 0


def test_where_all_would_be_late_they_are_computed_in_their_order() -> None:
    now = time.perf_counter_ns()
    items = [_until(now + 4e9) for _ in range(12)]
    gone = _until(now - 1)
    lanes = _lanes(gone, *items)
    taken = lanes.next_batch(
        BUDGET, padding=Padding.ROUNDED, now_ns=now, seconds=lambda tokens: 60.0
    )
    assert taken == (items[:9], [gone])
    assert list(lanes.interactive.items) == items[9:]


def test_what_is_wanted_at_the_moment_when_it_is_done_is_late() -> None:
    late, in_time = _until(1e9), _until(1e9 + 1)
    assert _lanes(late, in_time).next_batch(
        BUDGET, padding=Padding.ROUNDED, now_ns=0, seconds=lambda tokens: 1.0
    ) == ([in_time], [late])


@given(sizes, st.integers(1, 500), st.integers(1, 4), st.data())
def test_streams_share_the_budget_and_what_waits(
    given_sizes: list[tuple[int, bool]], budget: int, streams: int, data: st.DataObject
) -> None:
    idle = data.draw(st.integers(1, streams))
    tokens = sum(size for size, _ in given_sizes)
    own = share(budget, streams=streams, idle=idle, pairs=len(given_sizes), tokens=tokens)
    most = max(1, budget // streams)
    assert own <= most
    # Nothing waits any longer than it must: the idle take all of it, or as much as they may.
    assert own == most or own * idle >= tokens - idle


@pytest.mark.parametrize(
    ("budget", "idle", "pairs", "tokens", "own"),
    [
        (100, 1, 4, 33, 50),  # alone it takes what it may
        (100, 2, 0, 0, 50),
        (100, 2, 4, 33, 16 + 4),  # half of it, and half a pair
        (100, 2, 4, 95, 50),
        (101, 2, 4, 195, 50),
        (1, 2, 4, 33, 1),
    ],
)
def test_a_stream_takes_its_share_and_half_a_pair(
    budget: int, idle: int, pairs: int, tokens: int, own: int
) -> None:
    assert share(budget, streams=2, idle=idle, pairs=pairs, tokens=tokens) == own


@given(st.integers(1, 40), st.integers(2, 4), st.integers(1, 60))
def test_equal_pairs_that_wait_are_taken_by_all_that_are_idle_and_none_is_left(
    pairs: int, streams: int, size: int
) -> None:
    lanes = _lanes(*(_item(size) for _ in range(pairs)))
    taken = []
    for idle in range(streams, 0, -1):
        own = share(10_000, streams=streams, idle=idle, pairs=lanes.depth(), tokens=lanes.tokens())
        if lanes.depth():
            taken.append(len(lanes.next_batch(own, padding=Padding.ROUNDED, now_ns=SOON)[0]))
    assert sum(taken) == pairs
    if pairs >= 16 * streams:  # token counts are rounded up: see `layout.rounded`
        assert max(taken) <= 1.5 * min(taken)
