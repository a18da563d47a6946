"""Closes a listening socket to new clients, before it is closed to those that it has.

The system takes connections on behalf of a program, up to a backlog. One that it takes between the
program's last accept and its close is reset, and its request is lost. So first the kernel is told
to drop what would begin a connection: who comes then is refused as soon as the socket is closed.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26
"""As in Linux's asm-generic/socket.h; Python has no name for it."""

# A classic BPF program (linux/filter.h: code, jump if true, jump if false, operand). On a TCP
# socket it sees segments from their TCP header on, whose flags are in its 14th byte.
_PROGRAM = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load byte 13
        (0x45, 0, 1, 0x02),  # is SYN among the flags?
        (0x06, 0, 0, 0),  # then drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # else keep all of it
    )
)


def drop_new_connections(listening: socket.socket) -> bool:
    """Have the kernel drop each segment that would begin a connection.

    A client that tries sends it again after a second, and is refused if the socket is closed then.

    Returns:
        False where there is no such filter, or it is not allowed.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(_PROGRAM)
    # struct sock_fprog: the number of instructions, and where they are.
    described = struct.pack("HP", len(_PROGRAM) // 8, ctypes.addressof(program))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
    except OSError:
        return False
    return True
