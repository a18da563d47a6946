"""One connection: what arrives on it, and how each request is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from typing_extensions import override
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import ErrorTask, Task, WSGITask

from service.errors import (
    BadRequest,
    ClientGone,
    CodingNotSupported,
    InternalError,
    RequestError,
    TooBusy,
    TooLarge,
    TooSlow,
)
from service.http import problems, request_context, statuses
from service.transport.parser import Request

HEADERS = {
    # Nothing here is to be guessed at, framed, kept, or run.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of each answer, unless the application has set its own; for browsers that are led here."""

_BY_LOWER_NAME = {name.lower(): (name, value) for name, value in HEADERS.items()}


class _Guarded(Task):  # type: ignore[misc]
    """Sends the headers of every answer, and with them the body if it is whole.

    waitress sends the two apart: two packets, and twice the interpreter is let go and waited for.
    """

    wrote_header: bool

    @override
    def write(self, data: bytes) -> None:
        whole = self.complete and self.has_body and self.content_length == len(data) > 0
        if self.wrote_header or not whole:
            super().write(data)
            return
        head = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)

    @override
    def build_response_header(self) -> bytes:
        given = {name.lower() for name, _ in self.response_headers}
        self.response_headers += [
            header for lower, header in _BY_LOWER_NAME.items() if lower not in given
        ]
        header: bytes = super().build_response_header()
        return header


class _ClosingTask(_Guarded, WSGITask):  # type: ignore[misc]
    """Answers, and ends the connection after that if the listener drains."""

    @override
    def execute(self) -> None:
        if self.channel.server.draining:
            self.set_close_on_finish()
        try:
            super().execute()
        finally:
            self.channel.on_hang_up(None)

    @override
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[request_context.BEGAN] = self.request.began_ns
        environ[request_context.ARRIVED] = self.request.arrived_ns
        environ[request_context.ON_HANG_UP] = self.channel.on_hang_up
        environ[request_context.ON_ANSWERED] = self.request.on_answered
        return environ


class _ProblemTask(_Guarded, ErrorTask):  # type: ignore[misc]
    """Answers what never reaches the application: in the form of all other errors, and counted."""

    @override
    def execute(self) -> None:
        error = _as_problem(self.request)
        body = problems.document(error)
        self.status = f"{statuses.of(error)} {error.title}"
        self.response_headers += problems.headers(error)
        # After anything but a refusal for load it is not known where the next request begins.
        if statuses.of(error) != statuses.of(TooBusy) or self.channel.server.draining:
            self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.count(error, self.request)
        # The client takes what follows the header of an answer to HEAD for its next answer.
        self.write(b"" if _asked(self.request)[0] == "HEAD" else body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection.

    Attributes:
        is_refused: Whether its first request is to be refused by the loop, once that holds no lock.
    """

    task_class = _ClosingTask
    error_task_class = _ProblemTask
    parser_class = Request

    request: Request | None
    requests: list[Request]
    is_refused = False
    _hang_up: Callable[[], None] | None = None
    _heard = 0.0
    # Something that was to be sent never was.
    _is_cut = False
    _unsent: list[Callable[[bool], None]]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._unsent = []
        super().__init__(*arguments, **named)

    @property
    def last_activity(self) -> float:
        """Monotonic time at which anything was last received or sent."""
        return self._heard

    @last_activity.setter
    def last_activity(self, _: float) -> None:
        # waitress hands in the wall clock's reading.
        self._heard = time.perf_counter()

    @property
    def silent_since(self) -> float | None:
        """Monotonic time since which nothing came or went; None while a request is under way."""
        return None if self.requests or self.request is not None else self._heard

    @property
    def began(self) -> float | None:
        """Monotonic time at which the request began that has not arrived as a whole."""
        request = self.request
        return None if request is None or self.requests else request.began_ns / 1e9

    def on_hang_up(self, call: Callable[[], None] | None) -> None:
        """Have `call` called once if the client hangs up, now if it has; None for no more."""
        self._hang_up = call
        if call and not self.is_open():
            call()

    def is_open(self) -> bool:
        """Whether the client has not hung up."""
        return bool(self.connected)

    def is_settled(self) -> bool:
        """Whether all is sent and nothing waits, so that the loop reads on as it has done."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    def is_half(self) -> bool:
        """Whether a request has not arrived as a whole, or an answer is not sent as a whole."""
        unsent = self.total_outbufs_len > 0 or bool(self._unsent)
        return not self.requests and (self.request is not None or unsent)

    def count(self, error: RequestError, request: Request) -> None:
        """Have a request counted as answered with `error`, unless its client hangs up first."""

        def answered(sent: bool) -> None:
            known = error if sent else ClientGone("the client hung up")
            self.server.hook.refused(known, *_asked(request))

        # Of the request that is being answered, which is another one if the application raised.
        self.requests[0].on_answered(answered)

    @override
    def service(self) -> None:
        request = self.requests[0]
        self.server.serving.channel = self
        if not self.is_open():
            # waitress leaves such a request out, and so it would be counted nowhere.
            self.count(ClientGone("the client hung up"), request)
        try:
            super().service()
        finally:
            self.server.serving.channel = None
            self._note_answer(request.answered)

    def _note_answer(self, answered: Callable[[bool], None] | None) -> None:
        """Tell who waits for that what has been sent; `answered` when all that waits now has."""
        with self.outbuf_lock:
            if answered:
                self._unsent.append(answered)
            if self.total_outbufs_len or not self._unsent:
                return
            callbacks, self._unsent = self._unsent, []
        for call in callbacks:
            call(not self._is_cut)

    @override
    def write_soon(self, data: Any) -> int:
        try:
            written: int = super().write_soon(data)
        except ClientDisconnected:
            self._is_cut = True
            raise
        return written

    @override
    def handle_write(self) -> None:
        super().handle_write()
        self._note_answer(None)

    def give_up(self) -> None:
        """Answer the request that has not arrived as a whole, and close."""
        with self.requests_lock:
            request = self.request
            if request is None or self.requests:
                return
            self.request = None
            request.error = TooSlow(
                f"the request did not arrive within {self.server.limits.receive_seconds:g} s"
            )
            request.completed = True
            self.requests.append(request)
            self.server.add_task(self)
        self._refuse()

    @override
    def handle_read(self) -> None:
        super().handle_read()
        self._refuse()

    def _refuse(self) -> None:
        """Answer what is refused without handing it to a thread, as `service` does otherwise.

        Under overload most are refused: two changes of thread for each, and the waiting for the
        interpreter that comes with them, would be taken from those who are served.
        """
        while self.is_refused:
            self.is_refused = False
            self.service()

    @override
    def handle_close(self) -> None:
        with self.outbuf_lock:
            self._is_cut = self._is_cut or self.total_outbufs_len > 0
            super().handle_close()
        self._note_answer(None)
        if call := self._hang_up:
            call()


def _asked(request: Request) -> tuple[str, str]:
    """Method and path, each empty if it was not read."""
    return getattr(request, "command", ""), getattr(request, "path", "")


def _as_problem(request: Request) -> RequestError:
    error = request.error
    if isinstance(error, RequestError):
        return error
    if isinstance(error.body, RequestError):  # ours, through waitress's parser
        return error.body
    if error.code == 413:
        return TooLarge("the body is over the limit of this service (MGEO_MAX_BODY_BYTES)")
    if error.code == 500:  # the application raised; its log line says where
        return InternalError("the service failed to answer; its log says why")
    if error.code == 501:
        return CodingNotSupported("the only Transfer-Encoding that is taken is chunked")
    # waitress's own words may repeat what the client sent.
    if request.headers_finished and request.chunked:
        return BadRequest("the body's chunks are malformed: a size, a line's end or an extension")
    return BadRequest("the request line or a header is malformed; see RFC 9112")
