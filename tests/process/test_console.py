"""Closed standard streams, full disks and other locales: one line, or the answer."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from service.__main__ import main
from tests.conftest import TINY, eventually
from tests.serving import ROOT, Process
from tests.waiting import RunningClock

pytestmark = pytest.mark.slow

PREDICT = ("predict", "紫萱路363号人力社保局", "紫萱路363号市人社局", "--model", str(TINY))
GBK_LINE = "an address is neither UTF-8 nor in the encoding of this terminal"


def _shell(
    redirections: str, *arguments: str | bytes, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the service by a shell, which closes and redirects its streams."""
    words = b" ".join(
        argument if isinstance(argument, bytes) else shlex.quote(argument).encode()
        for argument in (sys.executable, "-m", "service", *arguments)
    )
    return subprocess.run(
        [b"sh", b"-c", words + b" " + redirections.encode()],
        cwd=ROOT,
        env=os.environ | {"MGEO_BACKEND": "openvino-f32", "MGEO_CPU_THREADS": "1"} | variables,
        capture_output=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [PREDICT, ("key", "billing"), ("model", "info"), ("model", "compare", str(TINY))],
)
@pytest.mark.parametrize(
    ("redirections", "message"),
    [
        (">&-", "standard output is closed: there is nowhere to write the answer to"),
        (">/dev/full", "standard output cannot be written: No space left on device"),
    ],
)
def test_an_answer_that_cannot_be_written_is_an_error(
    arguments: tuple[str, ...], redirections: str, message: str
) -> None:
    done = _shell(redirections, *arguments)
    assert done.returncode == 2, done.stderr.decode()
    told = done.stderr.decode().splitlines()
    assert told[-1] == f"mgeo: error: {message}"
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "work"),
    [
        (PREDICT, "service.scoring.model.load"),
        (("model", "info"), "service.scoring.inspect.describe"),
        (("model", "compare"), "service.scoring.backends.compare.measure"),
    ],
)
def test_an_interrupted_command_says_so_in_one_line(
    arguments: tuple[str, ...],
    work: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, interrupted)
    assert main(arguments) == 130
    assert capsys.readouterr() == ("", "mgeo: interrupted\n")


@pytest.mark.parametrize("redirections", ["<&-", "2>&-", "<&- 2>&-"])
def test_what_is_not_needed_may_be_closed(redirections: str) -> None:
    done = _shell(redirections, *PREDICT)
    assert done.returncode == 0
    assert json.loads(done.stdout)["label"] == "not_match"


def test_with_standard_error_closed_an_error_is_not_written_as_an_answer() -> None:
    done = _shell("2>&-", "predict", "", "x")
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_no_socket_takes_the_place_of_a_closed_stream(closed: tuple[int, ...]) -> None:
    with Process(closed=closed) as process:
        if 2 in closed:  # its log goes nowhere
            process.wait_until(lambda: len(_sockets(process.pid)) >= 2, "listeners")
        else:
            process.address("predictions")
        assert _sockets(process.pid).isdisjoint({0, 1, 2})
        process.wait_until(lambda: process.handles(signal.SIGTERM), "handler")
        assert process.terminate() == 0


def _sockets(pid: int) -> set[int]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(link).startswith("socket:"):
                found.add(int(link.name))
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "no_SUCH.locale"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C.utf8", "PYTHONIOENCODING": "latin-1"},
    ],
)
def test_utf8_addresses_in_any_locale(variables: dict[str, str]) -> None:
    done = _shell("", *PREDICT, **variables)
    assert done.returncode == 0, done.stderr.decode()
    usual = _shell("", *PREDICT, LC_ALL="C.utf8")
    assert json.loads(done.stdout) == json.loads(usual.stdout)


def test_gbk_addresses_in_a_gbk_locale_and_elsewhere(tmp_path: Path) -> None:
    made = subprocess.run(
        ["localedef", "-f", "GBK", "-i", "zh_CN", tmp_path / "zh_CN.gbk"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert (tmp_path / "zh_CN.gbk").is_dir(), f"localedef of the C library is needed: {made.stderr}"
    given = tuple(b"'" + word.encode("gbk") + b"'" for word in PREDICT[1:3])
    read = _shell("", "predict", *given, *PREDICT[3:], LC_ALL="zh_CN.gbk", LOCPATH=str(tmp_path))
    assert read.returncode == 0, read.stderr.decode("gbk")
    usual = _shell("", *PREDICT, LC_ALL="C.utf8")
    assert json.loads(read.stdout.decode("gbk")) == json.loads(usual.stdout)
    for variables in ({"LC_ALL": "C.utf8"}, {"LC_ALL": "C"}):
        refused = _shell("", "predict", *given, *PREDICT[3:], **variables)
        assert refused.returncode == 2
        assert GBK_LINE in refused.stderr.decode()
        assert refused.stderr.count(b"\n") == 1


def test_it_serves_on_when_nobody_reads_its_log() -> None:
    """As in `serve 2>&1 | head -1`."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "service", "serve", "--model", str(TINY)),
            *("--backend", "openvino-f32", "--port", "0", "--metrics-port", "0"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()

        def ready() -> bool:
            assert process.poll() is None
            # Which port is which is in the log alone.
            found = psutil.Process(process.pid).net_connections("tcp4")
            ports = [one.laddr.port for one in found if one.status == psutil.CONN_LISTEN]
            urls = [f"http://127.0.0.1:{port}/readyz" for port in ports]
            return any(requests.get(url, timeout=60).status_code == 200 for url in urls)

        eventually(ready, 60)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)


def _on_a_terminal(*flags: str, **variables: str) -> list[str]:
    """What `serve` writes to a terminal until it is ready, and after SIGTERM."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "service", "serve", "--port", "0", "--metrics-port", "0"),
            *("--cpu-threads", "1", *flags),
        ],
        cwd=ROOT,
        env=os.environ | {"MGEO_BACKEND": "openvino-f32"} | variables,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    written, is_asked = b"", False
    try:
        clock = RunningClock()
        while clock.seconds() < 90:
            if select.select([ours], [], [], 0.5)[0]:
                try:
                    written += os.read(ours, 65536)
                except OSError:  # it has ended
                    break
            elif not is_asked and (b"nswers" in written or b'"ready"' in written):
                is_asked = True
                process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)
    return written.decode().replace("\r\n", "\n").splitlines()


def test_on_a_terminal_it_says_in_three_plain_lines_where_it_is_and_who_answers() -> None:
    lines = _on_a_terminal()
    assert not [line for line in lines if line.startswith("{")], lines
    first = next(i for i, line in enumerate(lines) if line.startswith("Page: "))
    assert re.fullmatch(r"Page: http://127\.0\.0\.1:\d+", lines[first])
    assert re.fullmatch(r"Metrics: http://127\.0\.0\.1:\d+/metrics", lines[first + 1])
    assert lines[first + 2] == (
        "A small demonstration model answers. "
        "MGEO_MODEL chooses another, such as the published MGeo."
    )
    assert re.search(r"^\d\d:\d\d:\d\d state from=starting to=ready", "\n".join(lines), re.M)


def test_another_model_is_named() -> None:
    assert "Answers: " in "\n".join(_on_a_terminal("--model", str(TINY)))


@pytest.mark.parametrize("way", [{"MGEO_LOG_FORMAT": "json"}, {"MGEO_LOG_FORMAT": "plain"}])
def test_the_setting_decides_whether_a_terminal_or_a_file_gets_json(way: dict[str, str]) -> None:
    is_json = way["MGEO_LOG_FORMAT"] == "json"
    lines = _on_a_terminal(**way)
    assert all(line.startswith("{") for line in lines) == is_json, lines
    with Process(**way) as process:  # by a pipe
        process.wait_until(lambda: "ready" in "\n".join(process.lines), "readiness")
        assert process.terminate() == 0
        assert bool(process.log()) == is_json


def test_where_nobody_watches_every_line_is_json() -> None:
    with Process() as process:
        process.wait_until(lambda: '"ready"' in "\n".join(process.lines), "readiness")
        assert process.terminate() == 0
        assert process.not_log() == []
