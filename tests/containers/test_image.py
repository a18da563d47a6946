"""The image as compose runs it: read-only, without rights, by a user that owns nothing of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from service.http import keys
from tests.conftest import TINY
from tests.containers.running import MGEO, Container, memory_limit, owned
from tests.models import wide_enough_for_int8
from tools import containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}
KEPT = MGEO.environment["MODELSCOPE_CACHE"]


@pytest.fixture(scope="module")
def service(image: str) -> Iterator[Container]:
    """A container that is healthy."""
    with Container() as container:
        print(f"healthy after {container.wait_until_healthy():.1f} s")
        yield container


def test_it_answers_and_its_health_command_agrees(service: Container) -> None:
    answer = requests.post(service.url("predictions", "/predict"), json=PAIR, timeout=60)
    assert answer.status_code == 200
    assert 0 <= answer.json()["similarity"] <= 1
    asked = service.run(*MGEO.raw["healthcheck"]["test"][1:])
    assert (asked.returncode, asked.stdout) == (0, "ready\n")


def test_the_process_has_no_rights(service: Container) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in service.run("cat", "/proc/1/status").stdout.splitlines()
        if ":\t" in line
    )
    assert set(status["Uid"].split()) == {"10001"}
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


def test_it_sees_the_memory_limit_of_the_compose_file(service: Container) -> None:
    metrics = requests.get(service.url("operations", "/metrics"), timeout=60).text
    [limit] = re.findall(r"^mgeo_memory_limit_bytes (\S+)", metrics, re.MULTILINE)
    assert float(limit) == memory_limit(MGEO)


@pytest.mark.parametrize("path", ["/app/service/x", "/venv/x", "/etc/x", "/x"])
def test_nothing_of_the_image_can_be_changed(service: Container, path: str) -> None:
    assert "Read-only file system" in service.run("touch", path).stderr


def test_it_writes_where_it_is_meant_to_alone(service: Container) -> None:
    places = f"find /tmp {KEPT} -xdev -type f"
    found = service.run("sh", "-c", places).stdout.split()
    assert [path for path in found if not path.startswith(f"{KEPT}/mgeo/backends/")] == []
    assert set(service.files()) <= {"/etc", "/run", "/run/.containerenv", "/run/secrets"}


def test_a_start_says_nothing_that_an_operator_should_mend(service: Container) -> None:
    assert [line for line in service.output().splitlines() if not line.startswith("{")] == []
    assert [line for line in service.log() if line["level"] not in ("info", "debug")] == []


def test_sigterm_ends_it_within_the_grace(image: str) -> None:
    with Container(MGEO_BACKEND="openvino-f32") as container:
        container.wait_until_healthy()
        seconds, status = container.stop()
    assert status == 0
    assert seconds < 30


@pytest.mark.parametrize("volume", [True, False], ids=["named volume", "the image's own"])
def test_the_choice_of_a_backend_is_kept(image: str, volume: bool, tmp_path: Path) -> None:
    wide = wide_enough_for_int8(owned(tmp_path / "wide"))
    (wide / "model.safetensors").chmod(0o644)
    volumes = [f"{owned(tmp_path / 'kept')}:{KEPT}"] if volume else []
    with Container(volumes=[*volumes, f"{wide}:/wide:ro"], MGEO_MODEL="/wide") as container:
        container.wait_until_healthy()
        kept = container.run("sh", "-c", f"cat {KEPT}/mgeo/backends/*.json")
        assert kept.returncode == 0, container.output()
        assert json.loads(kept.stdout)
        written = container.run("sh", "-c", f"stat -c %Y.%i {KEPT}/mgeo/backends/*").stdout
        assert container.stop()[1] == 0
        containers.call("podman", "start", container.id)
        container.wait_until_healthy()
        again = container.run("sh", "-c", f"stat -c %Y.%i {KEPT}/mgeo/backends/*").stdout
        assert again == written
        # What is compared again says so.
        assert not [line for line in container.log() if "not kept" in line["message"]]


def test_keys_and_models_that_are_mounted_are_used(image: str, tmp_path: Path) -> None:
    key, line = keys.make("tester")
    (tmp_path / "keys").write_text(line + "\n")
    (tmp_path / "models.json").write_text(
        json.dumps(
            {
                "models": [
                    {"name": "current", "source": "bundled", "weight": 1},
                    {"name": "other", "source": "/models/tiny", "weight": 0},
                ]
            }
        )
    )
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    with Container(
        volumes=[
            f"{tmp_path / 'keys'}:/run/keys:ro",
            f"{tmp_path / 'models.json'}:/run/models.json:ro",
            f"{TINY}:/models/tiny:ro",
        ],
        MGEO_API_KEYS_FILE="/run/keys",
        MGEO_MODELS_FILE="/run/models.json",
        MGEO_BACKEND="openvino-f32",
    ) as container:
        container.wait_until_healthy()
        url = container.url("predictions", "/predict")
        assert requests.post(url, json=PAIR, timeout=60).status_code == 401
        held = {"Authorization": f"Bearer {key}"}
        assert requests.post(url, json=PAIR, headers=held, timeout=60).status_code == 200
        named = {**held, "X-Mgeo-Version": "other"}
        answer = requests.post(url, json=PAIR, headers=named, timeout=60)
        assert answer.json()["model"]["name"] == "tiny"


def test_a_key_file_that_its_user_may_not_read_is_one_line(image: str, tmp_path: Path) -> None:
    """The commonest mistake with a mounted secret: it is root's, and the service is not."""
    file = tmp_path / "keys"
    file.write_text(keys.make("tester")[1] + "\n")
    file.chmod(0o600)
    with Container(volumes=[f"{file}:/run/keys:ro"], MGEO_API_KEYS_FILE="/run/keys") as container:
        containers.call("podman", "wait", container.id)
        assert container.state()["ExitCode"] == 2
        told = [line for line in container.output().splitlines() if not line.startswith("{")]
    assert len(told) == 1
    assert told[0].startswith("mgeo: error: ")
    assert "/run/keys" in told[0]
    assert "permission denied" in told[0]


def test_the_image_holds_nothing_that_is_not_needed_to_serve(service: Container) -> None:
    script = """
    find /venv -path '*/bin/pip*' -o -path '*/site-packages/pip' -o -name tests -type d \
        -o -path '*/onnx/backend/test'
    """
    assert service.run("sh", "-c", script).stdout.split() == []
    # Bytecode is compiled: a user that may write nothing would compile it at each start.
    absent = service.run(
        "sh", "-c", "find /venv/lib /app -name '*.py' | head -5000 | while read f; do "
        "d=$(dirname $f)/__pycache__; [ -d $d ] || echo $f; done"
    )  # fmt: skip
    assert absent.stdout.split() == []
