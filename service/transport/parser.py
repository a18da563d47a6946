"""A request as it arrives: waitress's parser, held to the rules of HTTP where it is lenient.

A server on the way that reads a request's end or host differently lets a client hide a second
request in the first. So what RFC 9112 calls faulty is refused, and the connection closed: both a
length and a coding, two hosts or none, a folded header, a line of a chunk that ends in LF alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from typing_extensions import override
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.receiver import ChunkedReceiver
from waitress.utilities import BadRequest as ParserBadRequest
from waitress.utilities import RequestHeaderFieldsTooLarge

from service.errors import (
    BadRequest,
    ExpectationFailed,
    HeadTooLarge,
    RequestError,
    TargetTooLong,
    VersionNotSupported,
)

_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""One host and port; the comma that joins two of them is left out. It may be empty."""

_LINE = re.compile(rb"\s*([^\s]+) ([^\s?#]*)")
"""Method and path of a request line of which nothing more is known."""

_CONTROL = re.compile(rb"[\x00-\x20\x7f]")
_CODING = b"\r\ntransfer-encoding:"
_CODINGS = re.compile(_CODING + rb"[ \t]*([^\r]*?)[ \t]*(?=\r)")


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request as it comes in.

    Attributes:
        error: Why it is not handed to the application: waitress's own error, or ours.
        began_ns: Monotonic time of its first byte.
        arrived_ns: Monotonic time of its last.
        answered: Told, once it is known, whether all of its answer was sent.
    """

    command: str
    path: str
    body_rcv: Any
    error: Any
    answered: Callable[[bool], None] | None = None

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began_ns = self.arrived_ns = time.perf_counter_ns()

    def on_answered(self, call: Callable[[bool], None]) -> None:
        """Have `call` told whether all of the answer was sent."""
        self.answered = call

    @override
    def received(self, data: bytes) -> int:
        before = self.header_plus
        consumed: int = super().received(data)
        if self.completed:
            # Refused, or without a body: there is nothing to be asked for. waitress would ask, and
            # take what comes for the body.
            self.expect_continue = False
            if isinstance(self.error, RequestHeaderFieldsTooLarge):
                self._refuse_head(before + data)
        return consumed

    @override
    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
            if error := self._fault(header_plus):
                raise ParsingError(error)
        except (ParsingError, TransferEncodingNotImplemented):
            self._note_route(header_plus)
            raise
        except ValueError:  # of a length of 5,000 digits, or half an IPv6 address
            self._note_route(header_plus)
            raise ParsingError(
                BadRequest("a number or an address in the head is malformed")
            ) from None
        if self.chunked:
            self.body_rcv = _Chunks(self.body_rcv.getbuf())

    def _fault(self, head: bytes) -> RequestError | None:
        """What is wrong with a head that waitress takes."""
        # A copy of a few hundred bytes: faster than an expression that minds no case.
        lower = head.lower()
        if not self.version:
            return BadRequest("the request line has no HTTP version; send HTTP/1.1")
        if self.version not in ("1.0", "1.1"):
            return VersionNotSupported("this port speaks HTTP/1.1 and HTTP/1.0")
        if _CONTROL.search(self.first_line.replace(b" ", b"", 2)):
            return BadRequest(
                "the request line has a blank or control character; percent-encode it"
            )
        if b"\r\n " in lower or b"\r\n\t" in lower:
            return BadRequest("a header continues on a second line; write it on one")
        host: str | None = self.headers.get("HOST")
        if host is None:
            if self.version == "1.1":
                return BadRequest("the Host header is missing, which HTTP/1.1 requires")
        elif not _HOST.fullmatch(host):
            return BadRequest("the Host header must name one host, and may name its port")
        if _CODING in lower:
            return self._fault_of_coding(lower)
        expected = self.headers.get("EXPECT")
        if expected and self.version == "1.1" and not self.expect_continue:
            return ExpectationFailed("the Expect header may be 100-continue and nothing else")
        return None

    def _fault_of_coding(self, lower: bytes) -> RequestError | None:
        if self.version != "1.1":
            return BadRequest("HTTP/1.0 has no Transfer-Encoding; send HTTP/1.1")
        if "CONTENT_LENGTH" in self.headers:
            return BadRequest("Transfer-Encoding and Content-Length exclude each other; send one")
        if _CODINGS.findall(lower) != [b"chunked"]:
            return BadRequest("Transfer-Encoding must be chunked, once")
        return None

    def _refuse_head(self, head: bytes) -> None:
        """Refuse it for its size, under its own route; waitress makes it one for `/`."""
        del self.command, self.path
        self._note_route(head)
        limit = f"{self.adj.max_request_header_size:,} bytes"
        if b"\r\n" in head.lstrip():
            self.error = HeadTooLarge(f"the headers take more than {limit}; send fewer or smaller")
        else:
            self.error = TargetTooLong(f"the URL takes more than {limit}; send data in the body")

    def _note_route(self, head: bytes) -> None:
        """Method and path by what there is of the head, for the metrics."""
        if not hasattr(self, "path") and (found := _LINE.match(head)):
            self.command = found[1].decode("latin-1")
            self.path = unquote_to_bytes(found[2]).decode("latin-1")


class _Chunks(ChunkedReceiver):  # type: ignore[misc]
    """Takes no line that ends in LF alone, and no empty one in the place of a chunk's size."""

    @override
    def received(self, s: bytes) -> int:
        at = 0
        while at < len(s) and not (self.completed or self.error):
            # A chunk's rest, or a line.
            end = at + self.chunk_remainder if self.chunk_remainder else s.find(b"\n", at) + 1
            part = s[at : end or len(s)]
            if not (self.chunk_remainder or self.validate_chunk_end):
                begun = self.trailer if self.all_chunks_received else self.control_line
                self._check_line(begun + part)
            at += super().received(part)
        return at

    def _check_line(self, line: bytes) -> None:
        is_bare = line.endswith(b"\n") and not line.endswith(b"\r\n")
        if is_bare or (line == b"\r\n" and not self.all_chunks_received):
            self.error = ParserBadRequest("a line of a chunk is malformed")
