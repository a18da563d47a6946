"""Every command, shut off from the world: it reaches for nothing, and leaves what is documented.

docs/privacy.md says the same under "What it reaches for, and what it leaves on disk".
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.conftest import TINY
from tests.isolation import sandbox
from tests.isolation.inside import HOME, WORK
from tests.isolation.sandbox import Outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = ("python", "-m", "service")
OWN = f"{HOME}/.cache(/modelscope(/mgeo(/backends(/[0-9a-f-]+[.]json)?)?)?)?"
"""The documented folder, and the folders that it lies in."""
TORCH = "/tmp/torchinductor_[^/]+"
"""torch makes it as it is imported, and leaves it empty."""

_TINY = ("--model", str(TINY), "--cpu-threads", "1")
_PAIR = ("紫萱路363号人力社保局", "紫萱路363号市人社局")
_ROWS = "address1,address2\n" + "".join(f"文三路{n}号,文三路{n + n % 2}号\n" for n in range(40))
_JUDGED = "".join(
    json.dumps(
        {
            "query_id": f"q{n}",
            "address1": f"文三路{n}号",
            "address2": f"文三路{n + n % 3}号",
            "label": ("exact_match", "partial_match", "not_match")[n % 3],
        },
        ensure_ascii=False,
    )
    + "\n"
    for n in range(60)
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command to watch.

    Attributes:
        words: Its command line.
        leaves: Patterns of what it may leave; each must match a whole path.
        inputs: Files in its working folder.
        serves: Whether it is asked over HTTP, and ended by SIGTERM.
    """

    words: tuple[str, ...]
    leaves: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    serves: bool = False


def _serving(backend: str, *leaves: str) -> Command:
    return Command((*SERVICE, "serve", *_TINY, "--backend", backend), leaves, serves=True)


COMMANDS = {
    "serve, as shipped": Command((*SERVICE, "serve"), (OWN, TORCH), serves=True),
    "serve, openvino-f32": _serving("openvino-f32"),
    "serve, openvino-int8": _serving("openvino-int8"),
    "serve, onnxruntime-int8": _serving("onnxruntime-int8"),
    "serve, torch": _serving("torch", TORCH),
    "predict, openvino": Command(
        (*SERVICE, "predict", *_PAIR, *_TINY, "--backend", "openvino-int8")
    ),
    "predict, onnxruntime": Command(
        (*SERVICE, "predict", *_PAIR, *_TINY, "--backend", "onnxruntime-int8")
    ),
    "predict, torch": Command(
        (*SERVICE, "predict", *_PAIR, *_TINY, "--backend", "torch"), (TORCH,)
    ),
    "score": Command(
        (*SERVICE, "score", "in.csv", "-o", "out.csv", *_TINY, "--backend", "onnxruntime-int8"),
        (f"{WORK}/out.csv",),
        {"in.csv": _ROWS},
    ),
    "score, as shipped": Command(
        (*SERVICE, "score", "in.csv", "-o", "out.csv"),
        (f"{WORK}/out.csv", OWN, TORCH),
        {"in.csv": _ROWS},
    ),
    "evaluate": Command(
        (*SERVICE, "evaluate", "in.csv", "--picture", "out.svg", "--errors", "out.jsonl"),
        (f"{WORK}/out.(svg|jsonl)", OWN, TORCH),
        {
            "in.csv": "address1,address2,label\n文三路1号,文三路1号,exact_match\n"
            "文三路1号,北京路2号,not_match\n文三路1号3栋,文三路1号,partial_match\n"
        },
    ),
    "index build": Command(
        (*SERVICE, "index", "build", "in.csv", "-o", "register", "--address", "address1"),
        (f"{WORK}/register(/.*)?",),
        {"in.csv": _ROWS},
    ),
    "match": Command(
        (
            *(*SERVICE, "match", "in.csv", "in.csv", "-o", "out.csv", "--address", "address1"),
            *("--right-address", "address2", *_TINY, "--backend", "onnxruntime-int8"),
        ),
        (f"{WORK}/out.csv",),
        {"in.csv": _ROWS},
    ),
    "dedupe": Command(
        (
            *(*SERVICE, "dedupe", "in.csv", "-o", "out.csv", "--address", "address1"),
            *(*_TINY, "--backend", "onnxruntime-int8"),
        ),
        (f"{WORK}/out(.pairs)?.csv",),
        {"in.csv": _ROWS},
    ),
    "key": Command((*SERVICE, "key", "billing")),
    "model info": Command((*SERVICE, "model", "info"), (OWN, TORCH)),
    "model fetch": Command(
        ("python", "-m", "tests.isolation.fetch"), (f"{HOME}/.cache(/modelscope(/mgeo(/.*)?)?)?",)
    ),
    "training": Command(
        ("python", "-m", "tests.isolation.train"), (f"{WORK}/(gazetteer|out)(/.*)?", TORCH)
    ),
    "training evaluate": Command(
        (
            *("python", "-m", "training", "evaluate", "--rounds", "10"),
            *("--model", str(sandbox.ROOT / "service/models/default"), "--pairs", "pairs.jsonl"),
        ),
        (TORCH,),
        {"pairs.jsonl": _JUDGED},
    ),
    "a backend in a benchmark": Command(
        ("python", "-m", "benchmarks.loops", str(TINY), "onnxruntime-int8", "cpu")
    ),
}
"""A new command belongs here."""


@functools.cache
def _watched(name: str, *, home: bool = True) -> Outcome:
    command = COMMANDS[name]
    return sandbox.run(
        *command.words, serves=command.serves, home=home, inputs=command.inputs, seconds=500
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_it_connects_to_loopback_only(name: str) -> None:
    outcome = _watched(name)
    assert outcome.status == 0, outcome.output
    assert outcome.attempts == []


@pytest.mark.parametrize("name", COMMANDS)
def test_it_leaves_what_is_documented_and_nothing_else(name: str) -> None:
    outcome = _watched(name)
    assert outcome.status == 0, outcome.output
    allowed = re.compile("|".join(COMMANDS[name].leaves) or "nothing")
    assert [path for path in outcome.files if not allowed.fullmatch(path)] == []


@pytest.mark.parametrize(
    "name",
    ["serve, as shipped", "serve, onnxruntime-int8", "predict, openvino", "predict, torch"],
)
def test_it_needs_no_home(name: str) -> None:
    """As in a container with a user id that it has no entry for."""
    outcome = _watched(name, home=False)
    assert outcome.status == 0, outcome.output
    assert outcome.attempts == []
    allowed = re.compile("|".join(COMMANDS[name].leaves) or "nothing")
    assert [path for path in outcome.files if not allowed.fullmatch(path)] == []


_REACHES = """
import socket, sys
kind, where, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "name":
    socket.getaddrinfo(where, port)
elif kind == "udp":
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (where, port))
else:
    try:
        socket.create_connection((where, port), 2)
    except ConnectionRefusedError:
        pass
"""


@pytest.mark.parametrize(
    ("kind", "where", "port", "seen"),
    [
        ("tcp", "192.0.2.1", 443, ["192.0.2.1 port 443"]),
        ("tcp", "2001:db8::1", 4317, ["2001:db8::1 port 4317"]),
        ("udp", "192.0.2.1", 514, ["192.0.2.1 port 514"]),
        ("udp", "2001:db8::1", 514, ["2001:db8::1 port 514"]),
        ("name", "collector.example", 80, ["name collector.example"]),
        ("tcp", "hub.example", 443, ["198.51.100.7 port 443", "name hub.example"]),
        ("tcp", "127.0.0.1", 9, []),
        ("tcp", "::1", 9, []),
    ],
)
def test_the_watch_sees_what_a_program_reaches_for(
    kind: str, where: str, port: int, seen: list[str]
) -> None:
    outcome = sandbox.run("python", "-c", _REACHES, kind, where, str(port))
    assert (outcome.status, outcome.attempts) == (0, seen), outcome.output


def test_the_watch_sees_what_a_program_leaves() -> None:
    places = (HOME / ".config/id", WORK / "notes", "/var/tmp/cache.db", "/dev/shm/ring")
    script = "import pathlib, sys; [pathlib.Path(p).touch() for p in sys.argv[1:]]"
    make = "import os; os.makedirs(os.path.expanduser('~/.config'));" + script
    outcome = sandbox.run("python", "-c", make, *map(str, places))
    assert outcome.status == 0, outcome.output
    assert set(outcome.files) == {str(HOME / ".config"), *map(str, places)}
