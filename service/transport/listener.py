"""The two listeners: waitress for predictions, and a small one beside it for operations."""

from __future__ import annotations

import errno
import logging
import select
import threading
import time
from collections.abc import Callable

from flask import Flask
from waitress.wasyncore import dispatcher

from service.errors import ListenError
from service.http.admission_hook import AdmissionHook
from service.transport.server import BACKLOG, BoundedServer, ServerLimits
from service.transport.syn_filter import drop_new_connections

log = logging.getLogger(__name__)

# It writes a line for each request that waits for a thread; a metric has their number.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

_HANDSHAKE_SECONDS = 0.3
"""For connections that have begun to be made: longer than the way around the Earth and back."""

_LINGER_SECONDS = 1.0
"""How long a kept-alive connection may be silent before a drain takes it for idle."""


_SETTINGS = {"operations": ("MGEO_METRICS_HOST", "MGEO_METRICS_PORT")}
"""Of a listener: where its address and its port are set."""


def _mending(error: OSError | ValueError, listener: str) -> str:
    """Why an address cannot be bound, and what to do."""
    host, port = _SETTINGS.get(listener, ("MGEO_HOST", "MGEO_PORT"))
    match getattr(error, "errno", None):
        case errno.EACCES | errno.EPERM:
            return f"ports below 1024 need root; choose another with {port}"
        case errno.EADDRINUSE:
            return f"another process listens there; end it, or choose another port with {port}"
        case errno.EADDRNOTAVAIL:
            return f"this machine does not have that address; choose one with {host}"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{reason}; choose another address with {host}"


class Listener:
    """One bound port and the threads that answer on it.

    Args:
        app: What answers.
        name: For logs and threads.
        host: Address to bind.
        port: Port to bind; 0 lets the system choose.
        limits: What clients may make it hold.
        hook: Told of what never reaches the app.
        failed: Told of the error by which its loop has died: nothing is answered after that.

    Raises:
        ListenError: The address cannot be bound.
    """

    def __init__(
        self,
        app: Flask,
        *,
        name: str,
        host: str,
        port: int,
        limits: ServerLimits,
        hook: AdmissionHook | None = None,
        failed: Callable[[BaseException], object] = lambda error: None,
    ) -> None:
        self.name, self.app, self.limits = name, app, limits
        self._failed = failed
        try:
            self._server = BoundedServer(app, host, port, limits, hook or AdmissionHook())
        except (OSError, ValueError) as error:
            raise ListenError(
                f"cannot listen on {host}:{port} for {name}: {_mending(error, name)}"
            ) from None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def address(self) -> str:
        """Host and port that are really bound, as they are written in a URL."""
        host = self._server.effective_host
        return f"{f'[{host}]' if ':' in host else host}:{self._server.effective_port}"

    def connections(self) -> int:
        """Open connections."""
        return len(self._server.active_channels)

    def waiting(self) -> int:
        """Requests that have arrived and wait for a thread."""
        return self._server.waiting()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        log.info("listening", extra={"listener": self.name, "bound": self.address})
        if others := [where[3][0] for where in self._server.adj.listen[1:]]:
            log.warning(
                "the host's name has several addresses, and one is bound: give the one you mean",
                extra={"listener": self.name, "bound": self.address, "not_bound": others},
            )

    def drain(self, timeout: float) -> int:
        """Accept no more connections, answer what comes on those that are open, and close them.

        A kept-alive connection is told to close by its next answer; one on which nothing comes or
        goes for `_LINGER_SECONDS` is taken for idle. A client that connects now is refused by the
        system, and so knows that its request was not taken.

        Returns:
            Requests that were not answered within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        self._server.draining = True
        if drop_new_connections(self._server.socket):
            time.sleep(_HANDSHAKE_SECONDS)
        else:
            log.warning("a client that connects at this moment may see its connection reset")
        # In the thread that uses the socket: it may be about to accept on it.
        self._server.trigger.pull_trigger(self._close_socket)
        quiet_since = time.monotonic()
        while time.monotonic() < deadline:
            # Until the socket is closed there may be connections that were not accepted yet.
            is_open = self._server.accepting or self._server.active_channels
            if self._server.unanswered():
                quiet_since = time.monotonic()
            elif not is_open or time.monotonic() - quiet_since > _LINGER_SECONDS:
                break
            time.sleep(0.02)
        return self._server.unanswered()

    def close(self) -> None:
        """Stop accepting; once no thread has work, its connections and threads end."""
        if self._server.ending:
            return
        if self._thread.is_alive():
            # It wakes the loop, and so comes first: the trigger may be gone after the other.
            self._server.trigger.pull_trigger(self._close_socket)
        else:  # never begun, or dead
            dispatcher.close(self._server)
            self._server.end()
        self._server.ending = True

    def _run(self) -> None:
        try:
            self._server.run()
        except BaseException as error:
            log.exception("listener failed", extra={"listener": self.name})
            self._failed(error)

    def _close_socket(self) -> None:
        if self._server.socket is None:
            return
        # What the system has taken on our behalf is ours to answer: closing would reset it.
        waiting = select.poll()
        waiting.register(self._server.socket, select.POLLIN)
        for _ in range(BACKLOG):
            if not waiting.poll(0):
                break
            self._server.handle_accept()
        dispatcher.close(self._server)
