"""Waits for sockets on behalf of waitress, and looks only at those for which something changed.

waitress's own loop asks each connection before each wait what it waits for: two thousand idle
connections then cost every request that many questions. Here the system keeps the answers, and a
connection is asked again when something happened to it, or when another thread says so.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
from collections import deque
from typing import Any

from typing_extensions import override
from waitress import wasyncore


class Poller(dict[int, Any]):
    """What is open, by descriptor: the `map` that waitress's classes add and delete themselves in.

    Any thread may call `reads` and `ask_again`, and take out what it closes. All else is the
    loop's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = selectors.DefaultSelector()
        self._to_ask: deque[int | None] = deque()
        self._unread: set[int | None] = set()

    @override
    def __setitem__(self, descriptor: int, dispatcher: Any) -> None:
        super().__setitem__(descriptor, dispatcher)
        self._unread.add(descriptor)
        self._to_ask.append(descriptor)

    @override
    def __delitem__(self, descriptor: int) -> None:
        # Two threads may take it out at once, and both are to go on to close it.
        self.pop(descriptor, None)
        # Before it is closed: the system may give its number to the next connection.
        self._forget(descriptor)
        self._unread.discard(descriptor)

    def reads(self, dispatcher: wasyncore.dispatcher) -> bool:
        """Whether it is waited for until it can be read, also if it is being asked right now.

        False while it is asked: the answer may be of the moment before the caller's change.
        """
        return _descriptor(dispatcher) not in self._unread

    def ask_again(self, dispatcher: wasyncore.dispatcher) -> None:
        """Before the next wait, ask it whether it is to be read or written, if it is open still."""
        self._to_ask.append(_descriptor(dispatcher))

    def turn(self, timeout: float) -> None:
        """Wait until something can be read or written, `timeout` seconds at most, and have it done.

        To wake it from another thread, let there be something to read.
        """
        while self._to_ask:
            self._ask(self._to_ask.popleft())
        for key, events in self._selector.select(timeout):
            dispatcher = self.get(key.fd)
            if dispatcher is None:  # closed by what was done before it
                continue
            if events & selectors.EVENT_READ:
                wasyncore.read(dispatcher)
            if events & selectors.EVENT_WRITE:
                wasyncore.write(dispatcher)
            self._to_ask.append(key.fd)

    def _ask(self, descriptor: int | None) -> None:
        if descriptor is None or (dispatcher := self.get(descriptor)) is None:  # closed
            return
        try:
            self._watch(descriptor, dispatcher)
        except Exception:
            # As where it is read or written: ends this one, and not the loop for all.
            dispatcher.handle_error()

    def _watch(self, descriptor: int, dispatcher: wasyncore.dispatcher) -> None:
        self._unread.add(descriptor)  # first, for `reads` in another thread
        events = selectors.EVENT_READ if dispatcher.readable() else 0
        # What accepts connections is not written to.
        if not dispatcher.accepting and dispatcher.writable():
            events |= selectors.EVENT_WRITE
        known = self._selector.get_map().get(descriptor)
        # A thread that could not send may be taking it out, and closing it, at this moment.
        try:
            if known is None:
                if events:
                    self._selector.register(descriptor, events)
            elif not events:
                self._forget(descriptor)
            elif events != known.events:
                self._selector.modify(descriptor, events)
        except KeyError:
            pass
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOENT):
                raise
        if self.get(descriptor) is not dispatcher:
            self._forget(descriptor)
        elif events & selectors.EVENT_READ:
            self._unread.discard(descriptor)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def close(self) -> None:
        """Let go of the system's table."""
        self._selector.close()


def _descriptor(dispatcher: wasyncore.dispatcher) -> int | None:
    """The number under which it is open; none of any once its socket is closed."""
    opened = dispatcher.socket
    return None if opened is None else int(opened.fileno())
