"""The two listeners: waitress for predictions, and a small one beside it for operations.

waitress answers some bad input itself, before any application sees it: a body over the limit, a
malformed request line. `_Channel` gives those answers the form of all others, and counts them.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from typing_extensions import override
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask, WSGITask
from waitress.wasyncore import dispatcher

from service.errors import BadRequest, ListenError, RequestError, TooLarge
from service.http import problems

log = logging.getLogger(__name__)

_BACKLOG = 1024
"""Connections that the system takes for us before we accept them."""

_LINGER_SECONDS = 1.0
"""How long a kept-alive connection may be silent before a drain takes it for idle."""

Refused = Callable[[int], None]
"""Told the status of each answer that waitress gives by itself."""


class Listener:
    """One bound port and the threads that answer on it.

    Args:
        app: What answers.
        name: For logs and threads.
        host: Address to bind.
        port: Port to bind; 0 lets the system choose.
        threads: Requests answered at once.
        max_connections: Open connections; further ones wait to be accepted.
        max_body_bytes: Largest request body.
        refused: Told of each answer that never reaches the app.

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
        threads: int,
        max_connections: int,
        max_body_bytes: int,
        refused: Refused | None = None,
    ) -> None:
        self.name, self.app = name, app
        try:
            self._server: Any = create_server(
                app,
                host=host,
                port=port,
                threads=threads,
                connection_limit=max_connections,
                max_request_body_size=max_body_bytes,
                # select() breaks down at 1,024 descriptors; poll() does not.
                asyncore_use_poll=True,
                backlog=_BACKLOG,
                ident=None,
                expose_tracebacks=False,
                clear_untrusted_proxy_headers=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ListenError(
                f"cannot listen on {host}:{port} for {name}: {reason}; free it, or choose another"
            ) from None
        self._server.draining = False
        self._server.channel_class = type(
            "Channel",
            (HTTPChannel,),
            {"task_class": _ClosingTask, "error_task_class": _problem_task(refused)},
        )
        self._thread = threading.Thread(target=self._server.run, name=name, daemon=True)

    @property
    def address(self) -> str:
        """Host and port that are really bound."""
        return f"{self._server.effective_host}:{self._server.effective_port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        log.info("listening", extra={"listener": self.name, "bound": self.address})

    def drain(self, timeout: float) -> int:
        """Accept no more connections, answer what comes on those that are open, and close them.

        A kept-alive connection is told to close by its next answer; one on which nothing comes for
        `_LINGER_SECONDS` is taken for idle. A client that connects now is refused by the system,
        and so knows that its request was not taken; only one whose connection the system completes
        in the microseconds between our last accept and the close sees it reset.

        Returns:
            Requests that were not answered within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        self._server.draining = True
        # In the thread that uses the socket: it may be about to accept on it.
        self._server.trigger.pull_trigger(self._close_socket)
        quiet_since = time.monotonic()
        while self._server.active_channels and time.monotonic() < deadline:
            if self._busy():
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > _LINGER_SECONDS:
                break
            time.sleep(0.02)
        return self._busy()

    def _close_socket(self) -> None:
        # What the system has taken on our behalf is ours to answer: closing would reset it.
        waiting = select.poll()
        waiting.register(self._server.socket, select.POLLIN)
        for _ in range(_BACKLOG):
            if not waiting.poll(0):
                break
            self._server.handle_accept()
        dispatcher.close(self._server)

    def _busy(self) -> int:
        """Requests that have arrived and are not answered."""
        tasks = self._server.task_dispatcher
        return int(tasks.active_count) + len(tasks.queue)

    def close(self) -> None:
        """Stop accepting, and end the listener's threads when they are done."""
        self._server.close()


class _ClosingTask(WSGITask):  # type: ignore[misc]
    """Answers, and ends the connection after that if the listener drains."""

    @override
    def execute(self) -> None:
        if self.channel.server.draining:
            self.set_close_on_finish()
        super().execute()


def _problem_task(refused: Refused | None) -> type[ErrorTask]:
    class ProblemTask(ErrorTask):  # type: ignore[misc]
        @override
        def execute(self) -> None:
            error = _as_problem(self.request.error)
            body = problems.document(error)
            self.status = f"{error.status} {error.title}"
            self.response_headers.append(("Content-Type", problems.MEDIA_TYPE))
            self.set_close_on_finish()
            self.content_length = len(body)
            self.write(body)
            if refused:
                refused(error.status)

    return ProblemTask


def _as_problem(error: Any) -> RequestError:
    if error.code == 413:
        return TooLarge("the body is over the limit of this service (MGEO_MAX_BODY_BYTES)")
    return BadRequest("the HTTP request is malformed")
