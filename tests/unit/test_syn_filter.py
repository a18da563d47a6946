from __future__ import annotations

import errno
import select
import socket
import sys

import pytest

from service.transport.syn_filter import drop_new_connections

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")


def test_who_is_connected_is_served_and_who_comes_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address, timeout=60) as before:
            before.sendall(b"here")
            assert drop_new_connections(listening)
            with socket.socket() as after:
                after.setblocking(False)
                assert after.connect_ex(address)  # under way
                # Taken by the system before, and still there to be accepted.
                accepted, _ = listening.accept()
                with accepted:
                    assert accepted.recv(16) == b"here"
                    accepted.sendall(b"answer")
                assert before.recv(16) == b"answer"
                listening.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    listening.accept()
                listening.close()
                # Its segment is sent again after a second.
                assert select.select([], [after], [], 60)[1]
                error = after.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                assert error == errno.ECONNREFUSED


def test_where_it_is_not_allowed_it_says_so() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.close()
    assert not drop_new_connections(listening)
