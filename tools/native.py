"""Turns a compose service into a process on this machine: the same command, settings and files.

Three things differ from a container, and only these are translated:
addresses (`jaeger:14318`, `0.0.0.0:8889` → an address and port on loopback), mounted paths
(`/etc/prometheus` → a folder of links to the same files), and the program (a built binary, a
distribution's package, or this Python, instead of the image's).
"""

import os
import random
import re
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.build import require
from tools.compose import COMPOSE_FILE, REPOSITORY, ComposeService

BUILT = {
    "otel/opentelemetry-collector-contrib": "otelcol-mgeo",
    "prom/prometheus": "prometheus",
    "jaegertracing/jaeger": "jaeger",
    "victoriametrics/victoria-logs": "victoria-logs",
    "prom/node-exporter": "node_exporter",
}
"""Image → program built by tools/build.py."""

PACKAGED = {"prom/alertmanager": "prometheus-alertmanager", "haproxy": "haproxy"}
"""Image → program of a Debian package, which is named like it (tools/apt.txt)."""

LOKI_IMAGE = "grafana/loki"
"""The image whose program is the user's own: it is AGPL, so no target here builds or fetches it."""

VICTORIALOGS_FILE = REPOSITORY / "docker-compose.victorialogs.yml"
"""The compose file by which VictoriaLogs keeps the log lines in Loki's place."""

OWN_IMAGE = "mgeo-inference"
"""The image whose programs are this repository's Python modules."""

LEFT_OUT = {
    "grafana": "Grafana's source cannot be built from its Go module; use the image or a package",
    "cadvisor": "there are no containers to watch",
    "volume-permissions": "there are no volumes whose owner would have to change",
}
"""Services that do not run without containers, and why."""

_COMMAND_WORDS = {"python", "haproxy"}
_FIRST_FREE_PORT = 10_000
_OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class MissingProgramError(Exception):
    """A program is not installed; the message says how to get it."""


def find_loki() -> str | None:
    """The user's Loki: what `LOKI` names, by default `loki` on the PATH. `LOKI=` stands for none.

    Raises:
        MissingProgramError: `LOKI` names no program.
    """
    named = os.environ.get("LOKI")
    path = shutil.which(named or "loki") if named != "" else None
    if named and path is None:
        raise MissingProgramError(
            f"LOKI={named} is no program: correct it, or leave it out to run VictoriaLogs instead"
        )
    return path


def log_store() -> str:
    """The service that keeps the log lines here. Raises what `find_loki` raises."""
    return "loki" if find_loki() else "victorialogs"


def compose_files(further: Sequence[Path] = ()) -> list[Path]:
    """The compose files of what runs here: the log store's among them, then `further`.

    Raises:
        MissingProgramError: `LOKI` names no program.
    """
    store = [] if find_loki() else [VICTORIALOGS_FILE]
    return [COMPOSE_FILE, *store, *further]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where on loopback each service listens.

    Attributes:
        hosts: Loopback address of each service.
        ports: Port in the compose file → port to use here.
    """

    hosts: Mapping[str, str]
    ports: Mapping[int, int]

    def address(self, service: str, port: int) -> str:
        """`host:port` at which `service` is reached for the compose file's `port`."""
        return f"{self.hosts[service]}:{self.ports.get(port, port)}"

    def translate(self, text: str, own: str) -> str:
        """`text` with every address of the compose network replaced by one on loopback.

        Args:
            text: A setting, an argument or a file's content.
            own: The service whose text it is: what `0.0.0.0` and `127.0.0.1` stand for.
        """
        names = "|".join(sorted(map(re.escape, self.hosts), key=len, reverse=True))
        pattern = rf"(?<![\w.-])(0\.0\.0\.0|127\.0\.0\.1|{names}):(\d+)\b"

        def replace(match: re.Match[str]) -> str:
            service = match.group(1) if match.group(1) in self.hosts else own
            return self.address(service, int(match.group(2)))

        return re.sub(pattern, replace, text)


def ports_of(services: Iterable[ComposeService]) -> dict[int, set[str]]:
    """Every port that the services' commands and settings name → the services that listen on it.

    Listening shows as `0.0.0.0:port`, `127.0.0.1:port`, or a setting called `..._PORT`.
    """
    found: dict[int, set[str]] = {}
    for service in services:
        texts = [*service.command, *service.environment.values(), service.health_url or ""]
        for text in texts:
            for port in re.findall(r"(?:0\.0\.0\.0|127\.0\.0\.1):(\d+)", text):
                found.setdefault(int(port), set()).add(service.name)
        for key, value in service.environment.items():
            if key.endswith("_PORT"):
                found.setdefault(int(value), set()).add(service.name)
    return found


def free_ports(wanted: Iterable[int]) -> dict[int, int]:
    """A free loopback port for each of `wanted`, all different.

    They are below those that the kernel gives to outgoing connections, where it leaves room there:
    such a connection would else take the port of a program that is yet to start, or starts again.
    """
    quiet = range(_FIRST_FREE_PORT, _first_outgoing_port())
    with ExitStack() as held:
        chosen: dict[int, int] = {}
        for port in wanted:
            holder = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            _bind(holder, quiet)
            chosen[port] = holder.getsockname()[1]
    return chosen


def _bind(holder: socket.socket, among: Sequence[int]) -> None:
    """Bind to one of these ports on loopback, or to any if there is none."""
    chance = random.SystemRandom()
    for candidate in chance.sample(among, min(len(among), 100)):
        with suppress(OSError):  # somebody has it
            holder.bind(("127.0.0.1", candidate))
            return
    holder.bind(("127.0.0.1", 0))


def _first_outgoing_port() -> int:
    try:
        return int(_OUTGOING_PORTS.read_text("ascii").split()[0])
    except OSError:  # another system
        return 0


def program(service: ComposeService) -> list[str]:
    """The command line that starts the service's program, before its arguments.

    Raises:
        BuildError: it is one of the built programs, and has not been built.
        MissingProgramError: it comes with a package that is not installed.
    """
    if service.image == OWN_IMAGE:
        return [sys.executable]
    if service.image in BUILT:
        return [str(require(BUILT[service.image]))]
    if service.image == LOKI_IMAGE:
        loki = find_loki()
        if loki is None:
            raise MissingProgramError(
                "loki is not installed: name one with LOKI=/path/to/loki, or run VictoriaLogs "
                f"instead: -f {VICTORIALOGS_FILE.name}"
            )
        return [loki]
    name = PACKAGED[service.image]
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if path is None:
        raise MissingProgramError(
            f"{name} is not installed: run `apt-get install -y --no-install-recommends {name}` "
            "(all that the tests need: tools/apt.txt)"
        )
    return [path]


def command_line(service: ComposeService, layout: Layout, root: Path) -> list[str]:
    """The whole command line of the service's process. Raises what `program` raises."""
    arguments = list(service.command)
    if arguments and arguments[0] in _COMMAND_WORDS:
        arguments = arguments[1:]
    return program(service) + [_local(a, service, layout, root) for a in arguments]


def environment(service: ComposeService, layout: Layout, root: Path) -> dict[str, str]:
    """The service's settings, with addresses, ports and paths of this machine."""
    result: dict[str, str] = {}
    for key, value in service.environment.items():
        if value == "0.0.0.0":  # noqa: S104 - the compose file's, replaced here by loopback
            result[key] = layout.hosts[service.name]
        elif key.endswith("_PORT"):
            result[key] = str(layout.ports.get(int(value), int(value)))
        else:
            result[key] = _local(value, service, layout, root)
    return result


def _local(text: str, service: ComposeService, layout: Layout, root: Path) -> str:
    """`text` with the service's mounted paths and addresses as they are on this machine."""
    for mount in sorted(service.mounts, key=lambda m: len(m.target), reverse=True):
        target = mount.target.rstrip("/")
        place = f"{root}{target}".replace("\\", r"\\")
        text = re.sub(rf"(?<![\w/.-]){re.escape(target)}(?![\w.-])", place, text)
    return layout.translate(text, service.name)


def lay_out(service: ComposeService, layout: Layout, root: Path, running: Iterable[str]) -> None:
    """Makes `root` look to the service like its container: links to the mounted files.

    Prometheus's target files, those in a folder called `targets`, are copied with their addresses
    translated, less the services that do not run.
    """
    # Shorter paths first: a file may be mounted over one in a mounted folder.
    for mount in sorted(service.mounts, key=lambda m: len(m.target)):
        place = root / mount.target.strip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        source = Path(mount.source)
        if mount.kind == "volume":
            place.mkdir(parents=True, exist_ok=True)
        elif place.name == "targets" or place.parent.name == "targets":
            for file in sorted(source.glob("*.yml")) if source.is_dir() else [source]:
                copy = place / file.name if source.is_dir() else place
                copy.parent.mkdir(exist_ok=True)
                text = targets_text(file.read_text(), layout, service.name, set(running))
                copy.write_text(text)
        elif not place.is_symlink():
            place.symlink_to(source.resolve())


def targets_text(text: str, layout: Layout, own: str, running: set[str]) -> str:
    """A target file's text with loopback addresses, without the services that do not run."""

    def keep(match: re.Match[str]) -> str:
        host = match.group(1)
        return match.group(0) if host in running or host == "127.0.0.1" else ""

    lines = [
        line if line.lstrip().startswith("#") else re.sub(r"'([\w.-]+):\d+'(?:,\s*)?", keep, line)
        for line in text.splitlines()
    ]
    return layout.translate("\n".join(lines) + "\n", own)


def default_layout(services: Mapping[str, ComposeService], ports: Mapping[int, int]) -> Layout:
    """Every service on 127.0.0.1, but replicas `mgeo-1`, `mgeo-2`, … on 127.0.0.2 onwards."""
    hosts = {}
    for name in services:
        replica = re.fullmatch(r"mgeo-(\d+)", name)
        hosts[name] = f"127.0.0.{int(replica.group(1)) + 1}" if replica else "127.0.0.1"
    return Layout(hosts=hosts, ports=dict(ports))


def working_directory(service: ComposeService, root: Path) -> Path:
    """This repository for its own modules, the service's folder for the rest."""
    return REPOSITORY if service.image == OWN_IMAGE else root
