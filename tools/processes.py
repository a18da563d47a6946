"""One process of the stack: started, asked for its health, and stopped by its own id."""

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
)
_LOG_LINES_SHOWN = 12


class StackError(Exception):
    """A process did not start, or did not become healthy in time; the message says why."""


class Managed:
    """A process and what is needed to start it again in the same way."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        health_url: str | None,
    ) -> None:
        """Describes the process; `start` starts it.

        Args:
            name: The service's name, for messages.
            command: Command line.
            environment: Settings; of this process's own, only a few (PATH, HOME, …) are passed on,
                so that a variable of the caller's shell cannot change the stack.
            directory: Working directory.
            log: File that gets stdout and stderr.
            health_url: Answers 2xx once the process is ready; None when nothing can be asked.
        """
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.directory = directory
        self.log = log
        self.health_url = health_url
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id. Raises StackError when it was never started."""
        if self._process is None:
            raise StackError(f"{self.name} has not been started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process, and returns at once.

        Raises:
            StackError: it is running already.
        """
        if self.running:
            raise StackError(f"{self.name} is running already, with process id {self.pid}")
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        # setpriv replaces itself by the program, and has the kernel end it when this process
        # dies in whatever way: no test leaves a server behind.
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *self.command],
                cwd=self.directory,
                env={**inherited, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        """Whether the health address answers 2xx now; running is enough if there is none."""
        if not self.running:
            return False
        if self.health_url is None:
            return True
        try:
            with urllib.request.urlopen(self.health_url, timeout=2) as answer:  # noqa: S310
                return bool(200 <= answer.status < 300)
        except (urllib.error.URLError, OSError):
            return False

    def wait_healthy(self, seconds: float) -> float:
        """Waits until the process is healthy.

        Returns:
            How long that took, in seconds.

        Raises:
            StackError: it ended, or `seconds` passed; the message has its last log lines.
        """
        started = time.monotonic()
        while not self.healthy():
            if not self.running:
                code = self._process.returncode if self._process else None
                raise StackError(f"{self.name} ended with status {code}:\n{self.log_tail()}")
            if time.monotonic() - started > seconds:
                raise StackError(
                    f"{self.name} was not healthy within {seconds:.0f} s "
                    f"({self.health_url}):\n{self.log_tail()}"
                )
            time.sleep(0.1)
        return time.monotonic() - started

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to this process, and to no other."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the process at once (SIGKILL) and waits for its end."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait(timeout=10)

    def stop(self, seconds: float = 30.0) -> None:
        """Asks the process to end (SIGTERM); after `seconds` it is ended at once."""
        if self._process is None or not self.running:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def log_tail(self) -> str:
        """The last lines that the process wrote."""
        if not self.log.exists():
            return "(it wrote nothing)"
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        return "\n".join(lines) or "(it wrote nothing)"
