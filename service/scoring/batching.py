"""Which of the waiting pairs make the next batch: the whole policy, without lock, thread or clock.

There are two lanes, so that a request of many pairs does not hold up those of one. A batch comes
from the interactive lane if that has work, except that one in `BULK_TURN` is the bulk lane's. After
interactive traffic, a bulk batch takes hardly longer than an interactive one (`BULK_TIME`), and the
stream that answered an interactive pair leaves bulk work to the others for `RETURN_SECONDS`.

In a lane, a batch starts with the pair that has waited longest, and takes those behind it within
the token budget. If unequal pairs cost padding, it takes pairs of similar length first. It never
waits to fill: while one batch is computed, the next one gathers. Pairs that would miss their
deadline are left out if others can still make theirs.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from service.scoring.backends.layout import Padding, computed_tokens
from service.scoring.job import Item

INTERACTIVE_PAIRS = 8
"""A job of at most this many pairs, which a CPU's streams compute at once, is interactive; a larger
one bulk."""

BULK_TURN = 4
"""One batch in this many is bulk while both lanes have work: slowed down, never starved."""

INTERACTIVE_LINGERS_NS = 1_000_000_000
"""How long after an interactive batch the next one is expected, and bulk batches stay short."""

BULK_TIME = 1.5
"""While the next interactive batch is expected, a bulk batch may take this many times the last
interactive batch's time. The cap is in time, not in tokens. With a pass of `fixed + per_token *
tokens` seconds, bulk work keeps at least (1.5 - 1) / 1.5, a third, of the tokens a second of full
batches, whatever the two constants are. On a GPU nearly all of a pass is fixed, so bulk batches
stay full."""

RETURN_SECONDS = 0.01
"""How long a stream that has computed an interactive batch leaves bulk work to the others: a client
that sends one request after another has sent its next one by then, and finds a stream free."""

_WINDOW_BATCHES = 4
"""Full batches looked at for pairs of like length, where unequal ones cost padding."""


def share(budget: int, *, streams: int, idle: int, pairs: int, tokens: int) -> int:
    """Tokens of the next batch, where several are computed side by side.

    Args:
        budget: Most tokens of all of them together.
        streams: How many there can be.
        idle: Streams that compute nothing now, the batch's own among them.
        pairs: Pairs that wait.
        tokens: Their tokens.

    Returns:
        A stream's part of the budget; less where so little waits that others would have none. It
        is half a pair more than an even share, so that none is left over by all.
    """
    most = max(1, budget // streams)
    if idle < 2 or not pairs:
        return most
    return min(most, tokens // idle + tokens // (2 * pairs))


class Lane:
    """Items in the order in which they came, and their tokens."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.tokens = 0

    def append(self, item: Item) -> None:
        """Put an item behind the others."""
        self.items.append(item)
        self.tokens += len(item.pair.ids)

    def pop(self) -> Item:
        """Take out the first item."""
        item = self.items.popleft()
        self.tokens -= len(item.pair.ids)
        return item

    def push(self, items: Sequence[Item]) -> None:
        """Put items back before the others, in their order."""
        self.items.extendleft(reversed(items))
        self.tokens += sum(len(item.pair.ids) for item in items)


class Lanes:
    """The two lanes and what has lately come from them.

    Attributes:
        interactive: Pairs of small requests.
        bulk: Pairs of large ones.
    """

    def __init__(self) -> None:
        self.interactive, self.bulk = Lane(), Lane()
        self._since_bulk = 0
        self._interactive_ns = -INTERACTIVE_LINGERS_NS
        self._interactive_tokens = 0

    def append(self, item: Item) -> None:
        """Put an item into its lane."""
        (self.interactive if item.interactive else self.bulk).append(item)

    def push(self, items: Sequence[Item]) -> None:
        """Put items back into their lanes, before the others."""
        self.interactive.push([item for item in items if item.interactive])
        self.bulk.push([item for item in items if not item.interactive])

    def items(self) -> Iterator[Item]:
        """All items, those of the interactive lane first."""
        return itertools.chain(self.interactive.items, self.bulk.items)

    def depth(self) -> int:
        """Pairs in both."""
        return len(self.interactive.items) + len(self.bulk.items)

    def tokens(self) -> int:
        """Tokens in both, without padding."""
        return self.interactive.tokens + self.bulk.tokens

    def ahead(self, *, interactive: bool) -> int:
        """Tokens that are computed before those of a job that comes now."""
        if not interactive:
            return self.tokens()
        own = self.interactive.tokens
        return own + min(self.bulk.tokens, own // (BULK_TURN - 1))

    def oldest_ns(self) -> int | None:
        """When the pair that has waited longest was submitted; None if there is none."""
        lanes = (self.interactive.items, self.bulk.items)
        return min((items[0].submitted_ns for items in lanes if items), default=None)

    def clear(self) -> list[Item]:
        """Take out everything."""
        return [
            lane.pop() for lane in (self.interactive, self.bulk) for _ in range(len(lane.items))
        ]

    def tidy(self, now_ns: int) -> list[Item]:
        """Take out, and return, what nobody waits for."""
        unwanted = []
        for item in self.clear():
            # Asked once: its client may hang up meanwhile.
            if item.is_wanted_at(now_ns):
                self.append(item)
            else:
                unwanted.append(item)
        return unwanted

    def next_batch(
        self,
        budget: int,
        *,
        padding: Padding,
        now_ns: int,
        seconds: Callable[[int], float] = lambda tokens: 0.0,
    ) -> tuple[list[Item], list[Item]]:
        """Take out the next batch.

        Args:
            budget: Most tokens computed for it; a single longer pair still goes.
            padding: What is computed besides the pairs' tokens.
            now_ns: Monotonic time.
            seconds: Gives the expected seconds of a batch by its tokens.

        Returns:
            The batch, and what was taken out on the way because nobody waits for it, or will when
            the batch is done. The batch is empty only if nothing is left in its lane.
        """
        lane = self._turn()
        if lane is self.bulk:
            budget = self.bulk_limit(budget, now_ns, seconds)
        done_ns = now_ns + seconds(min(budget, lane.tokens)) * 1e9
        batch, unwanted = _fill(lane, budget, padding, now_ns, done_ns)
        if lane is self.interactive and batch:
            self._interactive_ns = now_ns
            self._interactive_tokens = sum(len(item.pair.ids) for item in batch)
        return batch, unwanted

    def bulk_limit(self, budget: int, now_ns: int, seconds: Callable[[int], float]) -> int:
        """Most tokens of a bulk batch now, up to `budget`: see `BULK_TIME`."""
        if now_ns - self._interactive_ns >= INTERACTIVE_LINGERS_NS:
            return budget
        allowed = BULK_TIME * seconds(self._interactive_tokens)
        return bisect.bisect_right(range(budget + 1), allowed, key=seconds) - 1

    def _turn(self) -> Lane:
        bulk_turn = not self.interactive.items or self._since_bulk + 1 >= BULK_TURN
        lane = self.bulk if self.bulk.items and bulk_turn else self.interactive
        self._since_bulk = 0 if lane is self.bulk or not self.bulk.items else self._since_bulk + 1
        return lane


def _fill(
    lane: Lane, budget: int, padding: Padding, now_ns: int, done_ns: float
) -> tuple[list[Item], list[Item]]:
    pads = padding is not Padding.ROUNDED
    window: list[Item] = []
    late: list[Item] = []
    unwanted: list[Item] = []
    reach = _WINDOW_BATCHES * budget if pads else budget
    seen = 0
    while lane.items and seen < reach:
        item = lane.pop()
        if item.is_wanted_at(done_ns):
            window.append(item)
            seen += len(item.pair.ids)
        else:
            (late if item.is_wanted_at(now_ns) else unwanted).append(item)
    # Under overload the pairs that waited longest would be late: computing them first would make
    # the next ones late as well. But the estimate may be wrong, and it is learnt from batches. So
    # if all would be late, they are computed.
    if window:
        unwanted += late
    else:
        window = late
    order = sorted(window, key=lambda item: _unlike(item, window[0])) if pads else window
    batch: list[Item] = []
    tokens = longest = 0
    for item in order:
        length = len(item.pair.ids)
        tokens, longest = tokens + length, max(longest, length)
        if batch and computed_tokens(len(batch) + 1, tokens, longest, padding) > budget:
            break
        batch.append(item)
    chosen = set(map(id, batch))
    lane.push([item for item in window if id(item) not in chosen])
    return batch, unwanted


def _unlike(one: Item, other: Item) -> int:
    return abs(len(one.pair.ids) - len(other.pair.ids))
