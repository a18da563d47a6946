"""The compose file, brought up by Docker's own Compose; podman takes the daemon's place."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tests.containers import programs
from tests.containers.running import IMAGE
from tests.stack.clients import eventually
from tools import containers, native
from tools.build import require
from tools.compose import REPOSITORY, ComposeService, load_services

PROJECT = "mgeo-tests"
RUN = (
    "mgeo", "otel-collector", "prometheus", "alertmanager", "jaeger", "victorialogs",
    "node-exporter",
)  # fmt: skip
"""All of docker-compose.yml with docker-compose.victorialogs.yml but what cannot be had here."""
LEFT_OUT = {"grafana", "cadvisor"}
WAIT_SECONDS = 300
"""A bound, not an expectation: a machine may be busy with other things."""


class Composed:
    """Services of compose files, all started and healthy inside the block; then removed.

    What a run that was killed has left of the project is removed first. Only the published ports
    differ from the files: each is a free one, so that a stack that runs here already is in nobody's
    way.

    Args:
        files: The compose files.
        names: The services to start, with what they depend on.
        profiles: Profiles to switch on.
        override: A further compose file's text.
    """

    def __init__(
        self,
        files: Sequence[Path],
        names: Sequence[str],
        *,
        profiles: Sequence[str] = (),
        override: str = "",
    ) -> None:
        self.names = names
        self.services = load_services(files)
        # Not pytest's own folder: that is gone before what was interrupted is removed.
        self._folder = tempfile.TemporaryDirectory(prefix="mgeo-compose-")
        folder = self._place = Path(self._folder.name)
        self._log = (folder / "podman.log").open("w")
        self._files = [*files, folder / "ports.yml"]
        self._files[-1].write_text(_free_ports(self.services))
        if override:
            self.override(override)
        self._profiles = [word for name in profiles for word in ("--profile", name)]
        self._socket = folder / "podman.sock"
        self._ended = threading.Event()
        self._asking = threading.Thread(target=self._ask_for_health, daemon=True)
        self._lock = (containers.cache_dir() / "compose.lock").open("w")
        self.seconds = 0.0
        """From `up` to all healthy."""

    def __enter__(self) -> Self:
        _take(self._lock.fileno())
        programs.make(self.services.values())
        # By Docker's API a name without a registry means Docker's.
        containers.call("podman", "tag", IMAGE, f"docker.io/library/{IMAGE}")
        self._engine = subprocess.Popen(
            # Ends by itself when nobody has asked for so long, should this process be killed.
            ["podman", "system", "service", "--time", "3600", f"unix://{self._socket}"],
            env=containers.environment(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually("podman's socket", self._socket.exists, bool, 60)
            self._remove()
            self._asking.start()
            started = time.monotonic()
            self.up()
            self.seconds = time.monotonic() - started
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._asking.ident is not None:
            self._asking.join(60)
        try:
            self._remove()
        finally:
            self._engine.terminate()
            self._engine.wait(120)
            self._log.close()
            self._lock.close()
            self._folder.cleanup()

    def up(self, *flags: str, names: Sequence[str] = ()) -> None:
        """`docker compose up`, until these services (all that are to run) are healthy."""
        self.compose(
            *("up", "--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS)),
            *("--no-build", "--pull", "never", *flags, *(names or self.names)),
        )

    def override(self, text: str) -> None:
        """Name a further compose file, last, for all that is asked of Compose from now on."""
        self._files.append(self._place / f"override-{len(self._files)}.yml")
        self._files[-1].write_text(text)

    def start_load(self) -> None:
        """Start the load of the file's profile beside what runs.

        Not waited for: of a service whose health command is disabled podman says an empty word,
        which Compose does not know.
        """
        self.compose("up", "--detach", "--no-build", "--no-recreate", "--pull", "never", "load")

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on these files."""
        named = [word for file in self._files for word in ("--file", str(file))]
        done = subprocess.run(
            [
                *(str(require("docker-compose")), "--project-name", PROJECT, *named),
                *("--project-directory", str(REPOSITORY), "--progress", "plain"),
                *(*self._profiles, *arguments),
            ],
            env={**containers.environment(), "DOCKER_HOST": f"unix://{self._socket}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS + 100,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr[-3000:]}\n{self._troubles()}"
        return done.stdout

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        """What podman knows of the containers of these services; of all, if none is named."""
        ids = containers.call(*_OURS).split()
        if not ids:
            return []
        # One may be gone by now; the others are told all the same.
        told = containers.call("podman", "inspect", *ids, check=False)
        found: list[dict[str, Any]] = json.loads(told or "[]")
        return [one for one in found if not names or _service_of(one) in names]

    def pid(self, name: str) -> int:
        """The process of a service; 0 while it does not run."""
        found = self.inspect(name)
        return int(found[0]["State"]["Pid"]) if found and found[0]["State"]["Running"] else 0

    def wait_until_it_runs_again(self, name: str, ended: int) -> None:
        """Wait for another process than the one that has ended, and until all are healthy.

        Podman may take a while to see that one has ended.
        """
        eventually(
            f"{name} runs again", lambda: self.pid(name), lambda pid: pid not in (0, ended),
            WAIT_SECONDS,
        )  # fmt: skip
        eventually("all are healthy", self.not_healthy, lambda waiting: not waiting, WAIT_SECONDS)

    def not_healthy(self) -> list[str]:
        """Services that do not run, or are not well by their health command."""
        found = {_service_of(one): one for one in self.inspect()}
        waiting = [name for name in self.names if name not in found]
        for name, one in found.items():
            if self.services[name].raw.get("restart") == "no":
                continue  # it ends
            if not one["State"]["Running"] or not _is_well(one):
                waiting.append(name)
        return waiting

    def url(self, name: str, port: int, path: str = "") -> str:
        """Where a port of a service is reached from this machine; its published one, if it has."""
        [one] = self.inspect(name)
        ports = one["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        if ports:
            return f"http://127.0.0.1:{ports[0]['HostPort']}{path}"
        [network] = one["NetworkSettings"]["Networks"].values()
        return f"http://{network['IPAddress']}:{port}{path}"

    def _ask_for_health(self) -> None:
        """What a timer of Docker's daemon or of systemd does for podman: the health commands.

        Every ten seconds, as the file says; until one is healthy, each second.
        """
        asked: dict[str, float] = {}
        while not self._ended.wait(1):
            # What fails (one is just being removed) is asked for again in a second.
            with contextlib.suppress(containers.ContainersError, subprocess.TimeoutExpired):
                for one in self.inspect():
                    now = time.monotonic()
                    due = not _is_well(one) or now - asked.get(one["Id"], 0) >= 10
                    if due and one["State"]["Running"] and _has_health_command(one):
                        asked[one["Id"]] = now
                        containers.call("podman", "healthcheck", "run", one["Id"], check=False)

    def _troubles(self) -> str:
        """The last lines of each service that is not well."""
        waiting = self.not_healthy()
        return "\n".join(
            f"--- {_service_of(one)}: {one['State']['Status']} {one['State']['ExitCode']}\n"
            + containers.output(one["Id"], "--tail", "15")
            for one in self.inspect()
            if _service_of(one) in waiting
        )

    def _remove(self) -> None:
        """Remove the project: containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        assert not containers.call(*_OURS)


_OURS = (
    "podman",
    "ps",
    "--all",
    "--quiet",
    "--filter",
    f"label=com.docker.compose.project={PROJECT}",
)


def _service_of(one: dict[str, Any]) -> str:
    name: str = one["Config"]["Labels"]["com.docker.compose.service"]
    return name


def _has_health_command(one: dict[str, Any]) -> bool:
    return (one["Config"].get("Healthcheck") or {}).get("Test") not in (None, [], ["NONE"])


def _is_well(one: dict[str, Any]) -> bool:
    """Whether the health command says so, asked since the last start; also where there is none."""
    if not _has_health_command(one):
        return True
    health, started = one["State"]["Health"], one["State"]["StartedAt"]
    answers = [datetime.fromisoformat(entry["Start"]) for entry in health["Log"] or ()]
    fresh = bool(answers) and answers[-1] > datetime.fromisoformat(started)
    return health["Status"] == "healthy" and fresh


def _take(lock: int) -> None:
    """One run at a time; the other may take minutes."""
    deadline = time.monotonic() + 600
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert time.monotonic() < deadline, "another run holds the project mgeo-tests"
            time.sleep(1)
        else:
            return


def _free_ports(services: dict[str, ComposeService]) -> str:
    """An override that publishes on free ports, and after a restart on the same ones."""
    published = [(name, port) for name, s in services.items() for port in s.raw.get("ports", ())]
    free = native.free_ports(range(len(published)))
    ports: dict[str, list[str]] = {}
    for number, (name, port) in enumerate(published):
        ports.setdefault(name, []).append(f'"127.0.0.1:{free[number]}:{port["target"]}"')
    lines = ["services:"]
    for name, pairs in ports.items():
        lines += [f"  {name}:", f"    ports: !override [{', '.join(pairs)}]"]
    return "\n".join(lines) + "\n"
