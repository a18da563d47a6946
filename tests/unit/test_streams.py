"""Who has the whole device, and who a part of it."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from service.scoring.device import Streams
from tests.conftest import eventually


def test_one_pair_alone_has_the_whole_device_and_several_have_a_stream() -> None:
    streams = Streams()
    for own in (0, 1):
        with streams.turn(own, is_alone=True) as stream:
            assert stream is None
        with streams.turn(own, is_alone=False) as stream:
            assert stream == own


def test_one_pair_beside_others_has_a_stream() -> None:
    streams = Streams()
    with streams.turn(0, is_alone=False), streams.turn(1, is_alone=True) as stream:
        assert stream == 1


def test_who_waits_for_the_whole_device_is_not_alone() -> None:
    streams = Streams()
    got: list[int | None] = []

    def second() -> None:
        with streams.turn(1, is_alone=True) as stream:
            got.append(stream)

    thread = threading.Thread(target=second)
    with streams.turn(0, is_alone=True) as whole:
        assert whole is None
        thread.start()
        time.sleep(0.05)
        assert got == []
    thread.join(60)
    assert got == [1]
    with streams.turn(1, is_alone=True) as stream:
        assert stream is None, "alone again"


def test_an_error_gives_the_device_back() -> None:
    streams = Streams()
    for is_alone in (True, False, True):
        try:
            with streams.turn(0, is_alone=is_alone):
                raise RuntimeError
        except RuntimeError:
            pass
    with streams.turn(1, is_alone=True) as stream:
        assert stream is None


def test_the_whole_device_is_never_shared() -> None:
    streams, chance = Streams(), random.Random(1)
    under_way: list[int | None] = []
    shared: list[list[int | None]] = []
    alone = [[chance.random() < 0.7 for _ in range(300)] for _ in range(3)]

    def work(own: int) -> None:
        for is_alone in alone[own]:
            with streams.turn(own, is_alone=is_alone) as stream:
                under_way.append(stream)
                seen = list(under_way)
                if None in seen and len(seen) > 1:
                    shared.append(seen)
                time.sleep(0)
                under_way.remove(stream)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    assert shared == []
    eventually(lambda: under_way == [])
