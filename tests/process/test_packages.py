"""What `make release` builds, installed where nothing else is, as a stranger installs it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from service.version import __version__
from tests import serving
from tests.serving import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAIR = ("杭州市西湖区文三路478号华星时代广场A座", "文三路478号华星时代广场")
UV = str(Path(sys.executable).parent / "uv")


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions: sdists, and the wheels that are built from them."""
    folder = tmp_path_factory.mktemp("built")
    for source in (ROOT, ROOT / "packages" / "client"):
        _run(
            *(UV, "build", "--no-build-isolation", "--python", sys.executable),
            *("--out-dir", folder, source),
        )
    return folder


def _installed(folder: Path, *what: str | Path) -> Path:
    """The Python of a new environment in which nothing but `what` was installed."""
    python = folder / "bin" / "python"
    _run(UV, "venv", "--python", sys.executable, folder)
    _run(UV, "pip", "install", "--python", python, "-c", ROOT / "requirements.lock", *what)
    return python


@pytest.fixture(scope="module")
def service(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (wheel,) = built.glob("mgeo_inference-*.whl")
    return _installed(tmp_path_factory.mktemp("service"), wheel)


@pytest.fixture(scope="module")
def client(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (wheel,) = built.glob("mgeo_client-*.whl")
    return _installed(tmp_path_factory.mktemp("client"), wheel)


class Installed(serving.Service):
    """The service that a wheel installed, away from this checkout."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.command = (str(python.parent / "mgeo"), "serve")
        super().__init__(cwd=folder)


def test_the_installed_service_answers_the_installed_client(
    service: Path, client: Path, tmp_path: Path
) -> None:
    ask = (
        "import sys, json, mgeo_client\n"
        "with mgeo_client.MGeoClient(sys.argv[1], timeout=30) as client:\n"
        "    print(json.dumps([client.predict(*sys.argv[2:]),\n"
        "                      client.predict_batch([sys.argv[2:]] * 2),\n"
        "                      client.rerank(sys.argv[2], sys.argv[3:])]))\n"
        "    try:\n"
        "        client.predict('', 'a')\n"
        "    except mgeo_client.Refused as error:\n"
        "        print(error)\n"
    )
    with Installed(service, tmp_path) as running:
        host, port = running.predictions
        out = _run(client, "-I", "-c", ask, f"http://{host}:{port}", *PAIR, cwd=tmp_path)
        assert running.terminate() == 0
    answers, refusal = out.splitlines()
    one, many, ranks = json.loads(answers)
    assert one["label"] in ("exact_match", "partial_match", "not_match")
    assert [result["similarity"] for result in many["results"]] == [one["similarity"]] * 2
    assert [rank["index"] for rank in ranks] == [0]
    assert refusal == "400: address1 is empty"


def test_the_command_is_mgeo_and_brings_the_bundled_model(service: Path, tmp_path: Path) -> None:
    mgeo = service.parent / "mgeo"
    assert _run(mgeo, "--version", cwd=tmp_path) == f"{__version__}\n"
    assert _run(mgeo, "--help", cwd=tmp_path).startswith("usage: mgeo ")
    assert _run(service, "-I", "-m", "mgeo_inference", "--version", cwd=tmp_path)
    answer = json.loads(_run(mgeo, "predict", *PAIR, cwd=tmp_path))
    assert answer["model"]["name"] == "mgeo-small-generated"
    (tmp_path / "pairs.csv").write_text("address1,address2\n" + ",".join(PAIR) + "\n", "utf-8")
    _run(mgeo, "score", "pairs.csv", "-o", "scores.csv", cwd=tmp_path)
    assert answer["label"] in (tmp_path / "scores.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("score in.parquet -o out.csv", "bulk"),
        ("match in.csv register -o out.csv", "match"),
        ("dedupe in.csv -o out.csv", "match"),
        ("index build in.csv -o register", "match"),
        ("serve --register register", "match"),
    ],
)
def test_what_an_extra_would_bring_is_named_in_one_line(
    service: Path, tmp_path: Path, words: str, extra: str
) -> None:
    (tmp_path / "in.csv").write_text("address\n" + PAIR[0] + "\n", "utf-8")
    (tmp_path / "in.parquet").write_bytes(b"PAR1")
    done = subprocess.run(
        [service.parent / "mgeo", *words.split()],
        *(), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    *logged, line = done.stderr.splitlines()
    assert line.endswith(f", or install mgeo-inference[{extra}]")
    assert all(json.loads(record)["level"] == "info" for record in logged)


def test_only_names_of_its_own_are_on_everybodys_path(service: Path, client: Path) -> None:
    for python, name in ((service, "mgeo_inference"), (client, "mgeo_client")):
        code = (
            "from importlib.metadata import files\n"
            f"names = {{f.parts[0] for f in files({name.replace('_', '-')!r})}}\n"
            "print(*sorted(n for n in names if n != '..' and '.dist-info' not in n))"
        )
        assert _run(python, "-I", "-c", code).split() == [name]


def test_the_client_needs_urllib3_alone_and_is_typed(client: Path, tmp_path: Path) -> None:
    listed = json.loads(_run(UV, "pip", "list", "--python", client, "--format", "json"))
    assert {package["name"] for package in listed} == {"mgeo-client", "urllib3"}
    (tmp_path / "program.py").write_text(
        "from mgeo_client import MGeoClient\n"
        "answer = MGeoClient().predict('a', 'b')\n"
        "reveal_type(answer['probabilities']['exact_match'])\n"
        "reveal_type(answer['label'])\n"
        "answer['labell']\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", client, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Revealed type is "float"' in done.stdout
    assert "Literal['exact_match']" in done.stdout
    assert 'has no key "labell"' in done.stdout
    assert "Found 1 error" in done.stdout


def test_a_source_distribution_holds_what_its_wheel_needs(built: Path) -> None:
    """uv builds the wheel from it, so what is not in one is in neither."""
    for name, files in (
        ("mgeo_inference", {"LICENSE", "NOTICE", "service/models/default/NOTICE"}),
        ("mgeo_client", {"LICENSE", "mgeo_client/py.typed", "mgeo_client/__init__.py"}),
    ):
        with tarfile.open(built / f"{name}-{__version__}.tar.gz") as archive:
            held = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        assert files <= set(held)
        assert all(member.isfile() for member in held.values())
    with zipfile.ZipFile(built / f"mgeo_inference-{__version__}-py3-none-any.whl") as wheel:
        packed = {n.removeprefix("mgeo_inference/") for n in wheel.namelist()}
    kept = subprocess.run(
        ["git", "ls-files", "service", "telemetry"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(kept) <= packed
