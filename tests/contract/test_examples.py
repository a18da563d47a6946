"""The examples of docs/api.md answer what is shown, asked of the bundled model."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Running, start

TEXT = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```console\n\$ (curl .*?)\n```\n\n```json\n(.*?)\n```", TEXT, re.DOTALL)
PROGRAMS = re.findall(r"```python\n(.*?)\n```", TEXT, re.DOTALL)
BASE = "http://127.0.0.1:5000"


@pytest.fixture(scope="module")
def bundled() -> Iterator[Running]:
    running = start(model="bundled", device="cpu")
    yield running
    running.service.stop()


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[e[0][:60] for e in EXAMPLES])
def test_an_example_answers_what_is_shown(bundled: Running, command: str, shown: str) -> None:
    assert _agree(_ask(bundled.predictions, command), json.loads(shown))


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_runs_and_its_assertions_hold(bundled: Running, program: str) -> None:
    assert "assert " in program
    address = bundled.predictions.removeprefix("http://")
    exec(compile(program.replace("127.0.0.1:5000", address), "docs/api.md", "exec"), {})


def test_every_shown_command_is_run() -> None:
    assert len(EXAMPLES) == TEXT.count("$ curl") > 0


def _ask(predictions: str, command: str) -> Any:
    """What curl would be told; only the options that the examples use are known."""
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "curl"
    url, data, headers = "", None, {}
    while words:
        match words.pop(0):
            case "-s":
                pass
            case "-H":
                name, value = words.pop(0).split(": ")
                headers[name] = value
            case "-d":
                data = words.pop(0)
            case word:
                assert word.startswith(BASE), word
                url = word.replace(BASE, predictions)
    if data is None:
        return requests.get(url, headers=headers, timeout=30).json()
    return requests.post(url, data.encode(), headers=headers, timeout=30).json()


def _agree(told: Any, shown: Any) -> bool:
    """Equal, where a shown number may be rounded to three places."""
    if isinstance(shown, dict):
        assert told.keys() == shown.keys()
        return all(_agree(told[key], shown[key]) for key in shown)
    if isinstance(shown, list):
        return len(told) == len(shown) and all(map(_agree, told, shown))
    if isinstance(shown, float):
        return bool(told == pytest.approx(shown, abs=6e-4))
    return bool(told == shown)
