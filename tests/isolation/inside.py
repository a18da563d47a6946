"""Runs one command where nothing can leave unseen, and tells what it tried. A program of its own.

It is started by `sandbox.py` in fresh network and mount namespaces. In these every address of the
Internet is this machine's own: an attempt to reach one becomes packets on the loopback interface,
which are read here. Names are answered, so that what asks for one goes on to connect. `/tmp` and
its like are empty, and `/etc/passwd` names a home below it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

WATCHED = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
HOME, WORK = Path("/tmp/home"), Path("/tmp/work")
"""The command's home, and the folder that it is started in."""

_ANSWER = "198.51.100.7"
"""What every name resolves to: an address for documentation, which nobody has."""

_TCP, _UDP, _SYN, _ACK = 6, 17, 0x02, 0x10

_LINGER_SECONDS = 1.0
_SERVES_SECONDS = 8.0
"""ONNX Runtime sent its first report 5 seconds after its start."""

_READY_SECONDS = 120.0
_END_SECONDS = 60.0


def main() -> None:
    """Run what standard input describes, and print what came of it."""
    order = json.load(sys.stdin)
    _network()
    _folders(order["hidden"], with_home=order["home"])
    watch = _Watch()
    # Some send only when they end, from a thread or a child that outlives their last line.
    status, output = _run(order)
    time.sleep(_LINGER_SECONDS)
    print(
        json.dumps(
            {
                "status": status,
                "output": output,
                "attempts": sorted(watch.attempts),
                "files": sorted(_files() - set(order["given"])),
            }
        )
    )


def _network() -> None:
    for command in (
        "ip link set lo up",
        "ip -4 route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
    ):
        subprocess.run(command.split(), check=True)


def _folders(hidden: list[str], *, with_home: bool) -> None:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    passwd = Path("/etc/passwd").read_text("utf-8").splitlines()
    for folder in hidden:
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    entries = [line.split(":") for line in passwd]
    for entry in entries:
        entry[5] = str(HOME)
    kept = [":".join(entry) for entry in entries if with_home or entry[2] != str(os.getuid())]
    Path("/tmp/passwd").write_text("\n".join(kept) + "\n", "utf-8")
    Path("/tmp/nsswitch").write_text("passwd: files\nhosts: files dns\n", "utf-8")
    subprocess.run(["mount", "--bind", "/tmp/passwd", "/etc/passwd"], check=True)
    subprocess.run(["mount", "--bind", "/tmp/nsswitch", "/etc/nsswitch.conf"], check=True)
    WORK.mkdir()
    HOME.mkdir()


class _Watch:
    """Sees every packet whose destination is not this machine in a world outside, and every name.

    Attributes:
        attempts: Each address with its port, and each name that was asked for.
    """

    def __init__(self) -> None:
        self.attempts: set[str] = set()
        names = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        names.bind(("::", 53))
        # ETH_P_ALL, on the one interface that there is.
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3))
        for target, own in ((self._answer, names), (self._read, packets)):
            threading.Thread(target=target, args=(own,), daemon=True).start()

    def _answer(self, own: socket.socket) -> None:
        while True:
            question, client = own.recvfrom(4096)
            name, at = [], 12
            while question[at]:
                name.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
                at += 1 + question[at]
            self.attempts.add(f"name {'.'.join(name)}")
            [kind] = struct.unpack_from("!H", question, at + 1)
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(_ANSWER)
            answers = record if kind == 1 else b""
            head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(answers), 0, 0)
            own.sendto(head + question[12 : at + 5] + answers, client)

    def _read(self, own: socket.socket) -> None:
        while True:
            packet = own.recv(65535)
            if packet[0] >> 4 == 4:
                target = packet[16:20]
                protocol, head = packet[9], packet[(packet[0] & 15) * 4 :]
            else:
                target = packet[24:40]
                protocol, head = packet[6], packet[40:]
            where = ipaddress.ip_address(target)
            if where.is_loopback or protocol not in (_TCP, _UDP):
                continue
            from_port, port = struct.unpack_from("!HH", head)
            if 53 in (from_port, port):
                continue  # told by name
            if protocol == _TCP and head[13] & (_SYN | _ACK) != _SYN:
                continue  # not the first packet of a connection
            self.attempts.add(f"{where} port {port}")


def _run(order: dict[str, Any]) -> tuple[int, str]:
    environment = order["environment"] | ({"HOME": str(HOME)} if order["home"] else {})
    for name, content in order["inputs"].items():
        path = WORK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    with Path("/tmp/output").open("w+b") as output:
        process = subprocess.Popen(
            order["command"],
            cwd=WORK,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            if order["serves"]:
                _ask(process)
                process.send_signal(signal.SIGTERM)
            process.wait(order["seconds"])
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                process.kill()
        status = process.wait(_END_SECONDS)
    return status, Path("/tmp/output").read_text("utf-8", "replace")


def _ask(process: subprocess.Popen[bytes]) -> None:
    """Wait until the service is ready, have it score, and leave it alone for a while."""
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), _open("http://127.0.0.1:8000/readyz"):
            break
        time.sleep(0.1)
    for number in range(3):
        pair = {"address1": f"紫萱路{number}号", "address2": "紫萱路3号"}
        with contextlib.suppress(OSError):
            _open("http://127.0.0.1:5000/predict", json.dumps(pair).encode()).close()
    with contextlib.suppress(OSError):
        _open("http://127.0.0.1:8000/metrics").close()
    time.sleep(_SERVES_SECONDS)


def _open(url: str, body: bytes | None = None) -> Any:
    return urllib.request.urlopen(
        urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=30
    )


def _files() -> set[str]:
    """Everything below the watched folders, folders too: an empty one is also left behind."""
    own = {HOME, WORK, *(Path("/tmp", name) for name in ("passwd", "nsswitch", "output"))}
    return {str(path) for root in WATCHED for path in root.rglob("*") if path not in own}


if __name__ == "__main__":
    main()
