"""What turns the compose file into processes: addresses, files, programs, and their absence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import eventually
from tools import build, native, stack
from tools.binaries import BINARIES, MODULES, Binary, find
from tools.compose import COMPOSE_FILE, load_services
from tools.processes import Managed, StackError

SERVICES = load_services()
PORTS = {4317: 40000, 14318: 40001, 8889: 40002}
LAYOUT = native.default_layout({**SERVICES, "mgeo-2": SERVICES["mgeo"]}, PORTS)


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("http://jaeger:14318", "http://127.0.0.1:40001"),
        ("0.0.0.0:8889", "127.0.0.1:40002"),
        ("127.0.0.1:8889", "127.0.0.1:40002"),
        ("http://loki:3100/otlp", "http://127.0.0.1:3100/otlp"),
        ("mgeo-2:5000", "127.0.0.3:5000"),
        ("mgeo:5000", "127.0.0.1:5000"),
        ("not-jaeger:14318", "not-jaeger:14318"),
        ("jaeger", "jaeger"),
    ],
)
def test_addresses_become_loopback(text: str, translated: str) -> None:
    assert LAYOUT.translate(text, "otel-collector") == translated


def test_own_address_of_a_replica_is_the_replicas() -> None:
    assert LAYOUT.translate("0.0.0.0:5000", "mgeo-2") == "127.0.0.3:5000"


def test_settings_are_the_compose_files_with_ports_and_paths_of_this_machine() -> None:
    layout = native.Layout({"loki": "127.0.0.1"}, {3100: 1})
    made = native.environment(SERVICES["loki"], layout, Path("/r"))
    assert made == {
        "LOKI_LISTEN_ADDRESS": "127.0.0.1",
        "LOKI_HTTP_PORT": "1",
        "LOKI_GRPC_PORT": "9096",
        "LOKI_STORAGE_DIR": "/r/loki",
    }


def test_targets_that_do_not_run_are_left_out() -> None:
    text = "# comment with 'grafana:3000'\n- targets: ['grafana:3000', 'loki:3100']\n"
    kept = native.targets_text(text, LAYOUT, "prometheus", {"loki"})
    assert kept.splitlines()[1] == "- targets: ['127.0.0.1:3100']"


def test_free_ports_are_different() -> None:
    chosen = native.free_ports(range(1000, 1050))
    assert len(set(chosen.values())) == 50


def test_free_ports_are_none_that_an_outgoing_connection_may_take() -> None:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    if int(first) <= 11_000:
        pytest.skip("this kernel leaves no room below its outgoing connections")
    chosen = native.free_ports(range(50)).values()
    assert not [port for port in chosen if int(first) <= port <= int(last)]


def test_without_room_below_them_free_ports_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "range"
    file.write_text("1024\t65535\n")
    monkeypatch.setattr(native, "_OUTGOING_PORTS", file)
    assert len(set(native.free_ports(range(20)).values())) == 20
    monkeypatch.setattr(native, "_OUTGOING_PORTS", tmp_path / "absent")
    assert len(set(native.free_ports(range(20)).values())) == 20


@pytest.mark.parametrize("binary", BINARIES, ids=lambda b: b.name)
def test_every_program_is_built_and_is_the_pinned_source(binary: Binary) -> None:
    path = build.require(binary.name)
    done = subprocess.run(["go", "version", "-m", path], capture_output=True, text=True, check=True)
    assert f"\t{binary.source}\t{build.source_version(binary)}" in done.stdout
    assert "CGO_ENABLED=0" in done.stdout


def test_a_program_that_is_there_is_not_built_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = build.require("promtool").stat().st_mtime_ns
    build.build(find("promtool"))
    assert "there already" in capsys.readouterr().out
    assert build.require("promtool").stat().st_mtime_ns == before


def test_without_go_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACK_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main(["promtool"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "stack-build: go is not on the PATH: install Go 1.26.5 or newer"
    ]


def test_a_build_that_fails_is_one_line_and_leaves_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK_CACHE_DIR", str(tmp_path))
    broken = Binary("broken", "ocb", "example.invalid/missing", "1", "example.invalid/missing")
    with pytest.raises(build.BuildError, match=r"broken: go build failed: .*build\.log") as raised:
        build.build(broken)
    assert "\n" not in str(raised.value)
    assert not build.path_of(broken).exists()


def test_a_missing_program_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK_CACHE_DIR", str(tmp_path))
    with pytest.raises(build.BuildError, match="make stack-build"):
        build.require("jaeger")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(native.MissingProgramError, match=r"apt-get install .*alertmanager"):
        native.program(SERVICES["alertmanager"])


@pytest.fixture
def loki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called `loki`, alone on the PATH."""
    path = tmp_path / "loki"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.delenv("LOKI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_a_loki_on_the_path_keeps_the_log_lines(loki: Path) -> None:
    assert native.log_store() == "loki"
    assert native.compose_files([Path("other.yml")]) == [COMPOSE_FILE, Path("other.yml")]
    assert native.program(SERVICES["loki"]) == [str(loki)]


@pytest.mark.parametrize("named", ["", None])
def test_victorialogs_keeps_them_without_a_loki(
    named: str | None, loki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named is None:
        loki.unlink()
    else:
        monkeypatch.setenv("LOKI", named)
    assert native.log_store() == "victorialogs"
    files = native.compose_files([Path("other.yml")])
    assert files == [COMPOSE_FILE, native.VICTORIALOGS_FILE, Path("other.yml")]
    with pytest.raises(native.MissingProgramError, match=r"LOKI=/path.*docker-compose\.vic"):
        native.program(SERVICES["loki"])


def test_a_loki_named_elsewhere_is_taken(
    loki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = loki.rename(tmp_path / "loki-3")
    assert native.log_store() == "victorialogs"
    monkeypatch.setenv("LOKI", str(other))
    assert native.program(SERVICES["loki"]) == [str(other)]


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable"])
def test_a_loki_that_is_no_program_is_told_in_one_line(
    kind: str, loki: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loki.chmod(0o644)
    named = {"missing": loki / "x", "folder": loki.parent, "not executable": loki}[kind]
    monkeypatch.setenv("LOKI", str(named))
    assert stack.main([]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"stack: LOKI={named} is no program: ")
    assert told.count("\n") == 1


def test_packages_named_for_the_missing_are_the_listed_ones() -> None:
    listed = (MODULES.parent / "apt.txt").read_text("utf-8").split("\n")
    assert set(native.PACKAGED.values()) <= set(listed)


def test_unknown_services_and_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert stack.main(["--without", "jaguar"]) == 1
    assert capsys.readouterr().err == "stack: no such service: jaguar\n"
    assert stack.main(["--set", "mgeo"]) == 1
    assert "SERVICE.VARIABLE=VALUE is expected" in capsys.readouterr().err


def _managed(tmp_path: Path, code: str, health: str | None = None) -> Managed:
    return Managed("it", [sys.executable, "-c", code], {}, tmp_path, tmp_path / "log", health)


def test_a_process_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = _managed(tmp_path, "raise SystemExit('no disk')", "http://127.0.0.1:1/")
    process.start()
    with pytest.raises(StackError, match=r"it ended with status 1:\nno disk"):
        process.wait_healthy(10)


def test_a_process_that_ignores_the_polite_signal_is_ended(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(60)"
    )
    process = _managed(tmp_path, code)
    process.start()
    eventually(lambda: "up" in process.log_tail())
    process.stop(seconds=0.5)
    assert not process.running


def test_a_process_gets_no_variable_of_the_callers_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    process = _managed(tmp_path, "import os; print('OTEL_TRACES_SAMPLER' in os.environ)")
    process.start()
    eventually(lambda: not process.running)
    assert process.log_tail() == "False"
