"""Runs the stack of docker-compose.yml on loopback, without containers.

    python -m tools.stack                          all of it, until Ctrl-C
    python -m tools.stack --without mgeo           only what stands around the service
    python -m tools.stack -f docker-compose.replicas.yml   with another compose file on top
    python -m tools.stack --free-ports             on free ports instead of the compose file's
    python -m tools.stack --set mgeo.MGEO_MODEL=…  with another setting of a service

Log lines are kept by Loki where `LOKI` names one or `loki` is on the PATH, else by VictoriaLogs.

Starts each service's program with the compose file's own command, settings and mounted files,
waits until each is healthy, prints the addresses, and on Ctrl-C stops what it started.
"""

import argparse
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tools import native
from tools.build import BuildError
from tools.compose import ComposeError, ComposeService, load_services
from tools.processes import Managed, StackError

START_SECONDS = 90.0
"""How long one service may take to become healthy."""

_SHOWN = {
    "mgeo": (5000, "predictions"),
    "prometheus": (9090, "Prometheus"),
    "alertmanager": (9093, "Alertmanager"),
    "jaeger": (16686, "Jaeger"),
    "loki": (3100, "Loki"),
    "victorialogs": (9428, "VictoriaLogs"),
    "otel-collector": (4317, "OTLP"),
}


class Stack:
    """The services of the compose file as processes on loopback.

    Use as a context manager: leaving it stops every process it started, and no other.
    """

    def __init__(
        self,
        directory: Path,
        files: Sequence[Path],
        only: Iterable[str] | None = None,
        without: Iterable[str] = (),
        ports: Mapping[int, int] | None = None,
        extra_environment: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Prepares the processes; `start` starts them.

        Args:
            directory: Folder for data and logs; one sub-folder a service.
            files: Compose files, later ones on top of earlier ones.
            only: Services to run; all that can run without containers by default.
            without: Services to leave out.
            ports: Compose port → port to use; the compose file's own by default.
            extra_environment: Further settings, by service.

        Raises:
            BuildError, MissingProgramError: a program is not there; the message says how to get it.
            ComposeError: the compose file is not valid.
            KeyError: a name is no service of the compose file.
        """
        self.services: dict[str, ComposeService] = load_services(files)
        self.layout = native.default_layout(self.services, ports or {})
        self.names = self._choose(only, set(without))
        self.directory = directory
        self._processes: dict[str, Managed] = {}
        extra = extra_environment or {}
        for name in self.names:
            service = self.services[name]
            root = directory / name
            root.mkdir(parents=True, exist_ok=True)
            native.lay_out(service, self.layout, root, self.names)
            health = service.health_url
            self._processes[name] = Managed(
                name=name,
                command=native.command_line(service, self.layout, root),
                environment={
                    **native.environment(service, self.layout, root),
                    **extra.get(name, {}),
                },
                directory=native.working_directory(service, root),
                log=root / "log",
                health_url=self.layout.translate(health, name) if health else None,
            )

    def _choose(self, only: Iterable[str] | None, without: set[str]) -> list[str]:
        """The services to run, each after those it depends on."""
        wanted = list(only) if only is not None else list(self.services)
        unknown = (set(wanted) | without) - set(self.services)
        if unknown:
            raise KeyError(f"no such service: {', '.join(sorted(unknown))}")
        chosen = {
            name
            for name in wanted
            if name not in without
            and name not in native.LEFT_OUT
            and (only is not None or not self.services[name].profiles)
        }
        ordered: list[str] = []

        def visit(name: str) -> None:
            for dependency in self.services[name].depends_on:
                visit(dependency)
            if name in chosen and name not in ordered:
                ordered.append(name)

        for name in sorted(chosen):
            visit(name)
        return ordered

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything and waits until all of it is healthy.

        Raises:
            StackError: a service ended or was not healthy in time. What runs by then goes on
                until `stop`.
        """
        # Together rather than one after another: each copes with the others' absence.
        for name in self.names:
            self._processes[name].start()
        for name in self.names:
            self._processes[name].wait_healthy(START_SECONDS)

    def stop(self) -> None:
        """Stops what was started, last started first."""
        for name in reversed(self.names):
            self._processes[name].stop()

    def process(self, name: str) -> Managed:
        """The process of service `name`. Raises KeyError when it is not part of this run."""
        return self._processes[name]

    def url(self, service: str, port: int, path: str = "") -> str:
        """Where `service` answers on the compose file's `port`, such as `http://127.0.0.1:9090`."""
        return f"http://{self.layout.address(service, port)}{path}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stack until a signal; 0 when it was stopped, 1 when it could not start or broke."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("-f", "--file", action="append", default=[], type=Path, metavar="FILE")
    parser.add_argument("--without", action="append", default=[], metavar="SERVICE")
    parser.add_argument("--free-ports", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="SERVICE.VARIABLE=VALUE")
    parser.add_argument("--data", type=Path, help="keep data and logs here (default: thrown away)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mgeo-stack-") as temporary:
        try:
            files = native.compose_files([file.resolve() for file in options.file])
            services = load_services(files)
            wanted = native.ports_of(services.values())
            with Stack(
                directory=options.data or Path(temporary),
                files=files,
                without=options.without,
                ports=native.free_ports(wanted) if options.free_ports else None,
                extra_environment=_settings(options.set),
            ) as stack:
                return _run(stack)
        except (BuildError, ComposeError, StackError, native.MissingProgramError) as error:
            print(f"stack: {error}", file=sys.stderr)
        except KeyError as error:
            print(f"stack: {error.args[0]}", file=sys.stderr)
    return 1


def _settings(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """`SERVICE.VARIABLE=VALUE` arguments, by service. Raises KeyError for any other form."""
    result: dict[str, dict[str, str]] = {}
    for text in given:
        target, equals, value = text.partition("=")
        service, dot, variable = target.partition(".")
        if not (equals and dot and variable):
            raise KeyError(f"--set {text}: SERVICE.VARIABLE=VALUE is expected")
        result.setdefault(service, {})[variable] = value
    return result


def _run(stack: Stack) -> int:
    """Starts, waits for a signal or for a process that ends by itself, and reports."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    for name, reason in native.LEFT_OUT.items():
        if name in stack.services:
            print(f"stack: without {name}: {reason}", flush=True)
    print(f"stack: starting {', '.join(stack.names)}", flush=True)
    stack.start()
    for name, (port, what) in _SHOWN.items():
        if name in stack.names:
            print(f"stack: {what}: {stack.url(name, port)}", flush=True)
    print(f"stack: logs: {stack.directory}/SERVICE/log; Ctrl-C stops everything", flush=True)
    while not stopping.wait(1.0):
        for name in stack.names:
            if not stack.process(name).running:
                raise StackError(f"{name} ended:\n{stack.process(name).log_tail()}")
    print("stack: stopping", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
