"""The service as a process: how it starts, what it says when it cannot, and how it ends."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
import requests

from tests.conftest import TINY, eventually
from tests.serving import Process, run

pytestmark = pytest.mark.slow

PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}


def test_operations_answer_while_the_model_loads_and_predictions_follow() -> None:
    # torch, because its imports leave seconds in which to ask.
    with Process("--backend", "torch") as process:
        operations = "http://{}:{}".format(*process.address("operations"))
        predictions = "http://{}:{}".format(*process.address("predictions"))
        early = requests.get(operations + "/readyz", timeout=60)
        assert early.status_code == 503
        assert early.json()["status"] == "starting"
        assert 0 <= early.json()["progress"] < 1
        assert requests.get(operations + "/healthz", timeout=60).status_code == 200
        refused = requests.post(predictions + "/predict", json=PAIR, timeout=60)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")

        eventually(lambda: requests.get(operations + "/readyz", timeout=60).ok, 60)
        assert requests.post(predictions + "/predict", json=PAIR, timeout=60).ok
        metrics = requests.get(operations + "/metrics", timeout=60).text
        assert "mgeo_ready 1.0" in metrics
        assert process.terminate() == 0
    messages = [entry["message"] for entry in process.log()]
    assert messages.count("GPU metrics are off") <= 1
    # Nothing but log lines: no warning, no stack, no banner of a library.
    assert process.not_log() == []


def test_sigterm_while_loading_ends_at_once() -> None:
    with Process("--backend", "torch") as process:
        process.address("predictions")
        assert process.terminate(timeout=60) == 0


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        ((), {"MGEO_PROT": "1"}, "MGEO_PROT is not a setting; did you mean MGEO_PORT?"),
        (("--port", "99999"), {}, "--port='99999': must be from 0 to 65,535"),
        (("--model", "no/such/place/at/all"), {}, "no/such/place/at/all"),
        (("--api-keys-file", "no/such/file"), {}, "MGEO_API_KEYS_FILE=no/such/file: there is no"),
        (("--max-tokens", "3"), {}, "tiny reads from 5 to 512 tokens"),
        ((), {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "use grpc or http/protobuf"),
        ((), {"OTEL_TRACES_EXPORTER": "zipkin"}, "use one of otlp, console, none"),
    ],
)
def test_what_cannot_work_stops_the_start_with_one_line(
    flags: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    with Process(*flags, **variables) as process:
        assert process.wait() == 2
    [line] = process.not_log()
    assert line.startswith("mgeo: error: ")
    assert message in line


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Process("--port", port) as process:
            assert process.wait() == 2
    assert process.not_log() == [
        f"mgeo: error: cannot listen on 127.0.0.1:{port} for predictions: another process listens "
        "there; end it, or choose another port with MGEO_PORT"
    ]


def test_a_damaged_checkpoint_stops_the_start_with_one_line(tmp_path: Path) -> None:
    damaged = tmp_path / "model"
    shutil.copytree(TINY, damaged)
    weights = damaged / "pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with Process("--model", str(damaged)) as process:
        assert process.wait() == 2
    [line] = process.not_log()
    assert "pytorch_model.bin is corrupt or truncated" in line


def test_predict_and_model_info_work_without_a_server() -> None:
    predicted = run("predict", *PAIR.values(), "--model", str(TINY))
    assert predicted.returncode == 0, predicted.stderr
    assert '"label": "not_match"' in predicted.stdout
    empty = run("predict", "", "b", "--model", str(TINY))
    assert (empty.returncode, empty.stdout) == (2, "")
    assert empty.stderr == "mgeo: error: address1 is empty\n"
    made = run("key", "billing")
    assert made.stdout.startswith("billing ")
    assert made.stderr.startswith("The key, which is shown this once: ")
    info = run("model", "info")
    assert info.returncode == 0, info.stderr
    assert "not the published MGeo" in info.stdout
