"""A name server that knows one name and its addresses, and programs that ask it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.processes import Managed

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
NAME = "mgeo.internal"
SERVER = "127.0.0.53"


@contextmanager
def server(folder: Path, hosts: Sequence[str] = HOSTS) -> Iterator[Callable[[Sequence[str]], None]]:
    """The name server, running; gives a function that changes the name's addresses."""
    if os.geteuid() != 0:
        pytest.skip("needs root: port 53, and a mount namespace for /etc/resolv.conf")
    program = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin")
    if program is None:
        pytest.fail("dnsmasq is not installed: apt-get install -y dnsmasq-base (tools/apt.txt)")

    def write(hosts: Sequence[str]) -> None:
        (folder / "hosts").write_text("".join(f"{host} {NAME}\n" for host in hosts))

    def change(hosts: Sequence[str]) -> None:
        write(hosts)
        process.signal(signal.SIGHUP)

    write(hosts)
    arguments = [
        "--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces",
        f"--listen-address={SERVER}", "--port=53", f"--addn-hosts={folder / 'hosts'}",
        "--user=root", "--pid-file=",
    ]  # fmt: skip
    process = Managed("dnsmasq", [program, *arguments], {}, folder, folder / "log", None)
    process.start()
    try:
        yield change
        assert process.running, process.log_tail()
    finally:
        process.stop()


def asking_only_it(folder: Path, command: Sequence[str]) -> list[str]:
    """`command` in a mount namespace of its own, where /etc/resolv.conf names our server."""
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {SERVER}\n")
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(resolver), *command]
