"""Sockets are waited for by what they last said, and asked again when something happened."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from typing_extensions import override
from waitress.wasyncore import dispatcher

from service.transport.poller import Poller


@dataclass(slots=True)
class Pair:
    """A connection that the poller watches, and its other end."""

    watched: Watched
    peer: socket.socket


class Watched(dispatcher):  # type: ignore[misc]
    """Notes what it was asked and told."""

    def __init__(self, poller: Poller, end: socket.socket) -> None:
        self.reads, self.has_output = True, False
        self.questions, self.received, self.written = 0, b"", 0
        super().__init__(end, map=poller)

    @override
    def readable(self) -> bool:
        self.questions += 1
        return self.reads

    @override
    def writable(self) -> bool:
        return self.has_output

    @override
    def handle_read(self) -> None:
        self.received += self.recv(100)

    @override
    def handle_write(self) -> None:
        self.written += 1
        self.has_output = False

    @override
    def handle_close(self) -> None:
        self.close()


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    for watched in list(poller.values()):
        watched.close()
    poller.close()


def pair(poller: Poller) -> Pair:
    end, peer = socket.socketpair()
    return Pair(Watched(poller, end), peer)


def test_who_settles_while_it_is_asked_is_not_told_that_it_is_read(poller: Poller) -> None:
    """A thread that sends the last byte between the two questions makes both answers no."""
    one = pair(poller)
    poller.turn(0)
    assert poller.reads(one.watched)
    one.watched.reads, one.watched.has_output = False, True  # a thread is sending

    def sent() -> bool:
        del one.watched.writable
        one.watched.reads, one.watched.has_output = True, False
        if not poller.reads(one.watched):
            poller.ask_again(one.watched)
        return False

    one.watched.writable = sent
    poller.ask_again(one.watched)
    poller.turn(0)
    one.peer.send(b"next")
    poller.turn(1)
    assert one.watched.received == b"next"
    assert poller.reads(one.watched)
    one.peer.close()


def test_what_arrives_is_read_and_nobody_else_is_asked(poller: Poller) -> None:
    busy, idle = pair(poller), [pair(poller) for _ in range(50)]
    poller.turn(0)
    for sent in range(10):
        busy.peer.send(b"x")
        poller.turn(1)
        assert busy.watched.received == b"x" * (sent + 1)
    assert {each.watched.questions for each in idle} == {1}
    for each in [busy, *idle]:
        each.peer.close()


def test_an_answer_of_another_thread_is_written_once_it_says_so(poller: Poller) -> None:
    alarm, one = pair(poller), pair(poller)
    poller.turn(0)

    def answer() -> None:
        one.watched.has_output = True
        poller.ask_again(one.watched)
        alarm.peer.send(b"!")

    thread = threading.Thread(target=answer)
    thread.start()
    poller.turn(5)  # woken long before its time is up, by whichever came first
    thread.join()
    poller.turn(0)
    assert (alarm.watched.received, one.watched.written) == (b"!", 1)
    poller.turn(0)
    assert one.watched.written == 1, "asked after it was written, it had no more"
    alarm.peer.close()
    one.peer.close()


def test_what_does_not_read_is_not_waited_for_until_it_does(poller: Poller) -> None:
    one = pair(poller)
    one.watched.reads = False
    one.peer.send(b"early")
    poller.turn(0)
    poller.turn(0)
    assert one.watched.received == b""
    one.watched.reads = True
    poller.ask_again(one.watched)
    poller.turn(1)
    assert one.watched.received == b"early"
    one.peer.close()


def test_a_connection_with_the_number_of_a_closed_one_is_another(poller: Poller) -> None:
    old = pair(poller)
    descriptor = old.watched.socket.fileno()
    poller.turn(0)
    old.peer.close()
    poller.turn(1)  # reads its end, and closes
    assert descriptor not in poller
    end, peer = socket.socketpair()
    with end, peer:
        new = Watched(poller, socket.socket(fileno=os.dup2(end.fileno(), descriptor)))
        peer.send(b"new")
        poller.turn(1)
        assert (old.watched.received, new.received) == (b"", b"new")


def test_a_socket_closed_under_it_does_not_end_the_loop(poller: Poller) -> None:
    gone, stays = pair(poller), pair(poller)
    # As where a thread closes it between the question and what follows from the answer.
    gone.watched.socket.close()
    stays.peer.send(b"x")
    poller.turn(1)
    assert stays.watched.received == b"x"
    gone.peer.close()
    stays.peer.close()


def test_one_that_is_closed_is_asked_nothing(poller: Poller) -> None:
    one = pair(poller)
    one.watched.close()
    poller.ask_again(one.watched)
    poller.turn(0)
    assert one.watched.questions == 0
    one.peer.close()


def test_one_that_fails_when_asked_is_closed_and_the_others_are_served(poller: Poller) -> None:
    class Failing(Watched):
        @override
        def readable(self) -> bool:
            raise RuntimeError("a defect")

    end, peer = socket.socketpair()
    failing, stays = Failing(poller, end), pair(poller)
    stays.peer.send(b"x")
    poller.turn(1)
    assert stays.watched.received == b"x"
    assert failing not in poller.values()
    assert peer.recv(1) == b"", "its client is told"
    peer.close()
    stays.peer.close()


def test_one_that_the_system_will_not_watch_is_closed(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, events: int) -> None:
        raise OSError(errno.ENOSPC, "as with fs.epoll.max_user_watches reached")

    one = pair(poller)
    with monkeypatch.context() as patched:
        patched.setattr(poller._selector, "register", full)
        poller.turn(0)
    assert one.peer.recv(1) == b"", "else it would wait for ever"
    assert not poller
    one.peer.close()


def test_one_that_two_threads_take_out_at_once_is_closed(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(descriptor: int) -> None:
        raise KeyError(descriptor)

    one = pair(poller)
    poller.turn(0)
    with monkeypatch.context() as patched:
        patched.setattr(poller._selector, "unregister", taken)
        one.watched.close()
    assert one.peer.recv(1) == b""
    one.peer.close()


def test_one_taken_out_while_it_is_asked_is_not_watched(poller: Poller) -> None:
    class Leaving(Watched):
        @override
        def readable(self) -> bool:
            del poller[self.socket.fileno()]  # as another thread may
            return True

    end, peer = socket.socketpair()
    with end, peer:
        leaving = Leaving(poller, end)
        poller.turn(0)
        # Else whoever has its number next is taken for watched already.
        assert leaving.socket.fileno() not in poller._selector.get_map()
