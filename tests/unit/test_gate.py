"""The choice among backends: the fastest that answers as the reference does, and kept."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.__main__ import main
from service.lifecycle import LoadingCancelledError
from service.scoring import checkpoint as checkpoints
from service.scoring import model
from service.scoring.backends import Backend, Probabilities, calibration, choose, gate, kept
from service.scoring.backends.layout import Padding
from service.scoring.tokens import TokenizedPair
from service.settings import Settings
from tests.conftest import TINY

PAIRS = [TokenizedPair([1] * 5, 3, False)] * 64


@dataclass
class Fake:
    """Takes `seconds` for each pair, and answers the reference's probabilities changed.

    `shift` moves probability from the first label to the second, in the first `shifted` pairs.
    """

    name: str
    seconds: float
    shift: float = 0.0
    shifted: int = 64
    device = "cpu"
    padding = Padding.ROUNDED
    batch_tokens = 512
    streams = 1

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        time.sleep(self.seconds * len(pairs))
        rows = np.array([[0.42, 0.40, 0.18]] * len(pairs), dtype=np.float32)
        rows[: self.shifted] += np.float32([-self.shift, self.shift, 0])
        return rows


def _fastest(*fakes: Fake) -> tuple[str, list[gate.Candidate]]:
    by_name = {fake.name: fake for fake in fakes}
    best, measured = gate.fastest(list(by_name), by_name.__getitem__, PAIRS)
    return best.name, measured


def test_the_fastest_that_answers_as_the_reference_is_taken() -> None:
    name, measured = _fastest(Fake("f32", 0.002), Fake("bf16", 0.001), Fake("int8", 0.0002))
    assert name == "int8"
    assert [candidate.name for candidate in measured] == ["f32", "bf16", "int8"]
    times = [candidate.milliseconds or 0 for candidate in measured]
    assert times[0] > times[1] > times[2] > 0
    assert "times as fast as bf16" in measured[2].verdict


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (Fake("int8", 0.0, shift=0.06), "refused: a probability differs by more than 0.05"),
        (Fake("int8", 0.0, shift=float("nan")), "refused: a probability differs by more than 0.05"),
        (Fake("int8", 0.0, shift=0.02), "refused: labels agree on less than 95%"),
        (Fake("int8", 0.0011), "not taken: less than 1.1 times as fast as f32"),
    ],
)
def test_a_backend_that_differs_or_gains_nothing_is_not_used(other: Fake, verdict: str) -> None:
    name, measured = _fastest(Fake("f32", 0.001), other)
    assert name == "f32"
    assert measured[1].verdict == verdict


@pytest.mark.parametrize("fails", ["when it is built", "when it computes"])
def test_a_backend_that_fails_is_not_used_and_the_log_says_where(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Probabilities:
        raise ImportError("cannot open shared object file")

    def make(name: str) -> Fake:
        made = Fake(name, 0.001)
        if name == "int8":
            if fails == "when it is built":
                fail()
            made.predict = fail  # type: ignore[method-assign]
        return made

    best, measured = gate.fastest(["f32", "int8", "bf16"], make, PAIRS)

    assert best.name == "f32"
    assert [candidate.has_failed for candidate in measured] == [False, True, False]
    assert measured[1].verdict == "refused: it failed on this machine; the log says where"
    [line] = [record for record in caplog.records if record.message == "backend failed"]
    assert vars(line)["backend"] == "int8"
    assert line.exc_info
    assert line.exc_info[0] is ImportError


def test_a_reference_that_fails_and_an_end_of_loading_are_not_hidden() -> None:
    def make(name: str) -> Fake:
        raise ZeroDivisionError if name == "broken" else LoadingCancelledError

    with pytest.raises(ZeroDivisionError):
        gate.fastest(["broken", "int8"], make, PAIRS)
    with pytest.raises(LoadingCancelledError):
        gate.fastest(
            ["f32", "int8"], lambda name: Fake(name, 0) if name == "f32" else make(name), PAIRS
        )


def test_no_more_than_two_backends_are_in_memory_at_once() -> None:
    """Each holds the model's weights: the best so far, and the one that is measured."""
    made: list[weakref.ref[Fake]] = []
    most = 0

    def make(name: str) -> Fake:
        nonlocal most
        fake = Fake(name, 0.0, shift=0.06 if name != "f32" else 0.0)
        made.append(weakref.ref(fake))
        most = max(most, sum(one() is not None for one in made))
        return fake

    best, _ = gate.fastest(["f32", "bf16", "int8", "int4"], make, PAIRS)
    assert (best.name, most) == ("f32", 2)


def test_the_calibration_pairs_are_64_of_real_length() -> None:
    tokenizer = model._tokenizer(checkpoints.read(TINY), 0)
    lengths = [len(pair.ids) for pair in tokenizer.encode(calibration.pairs())]
    assert len(set(calibration.pairs())) == len(lengths) == 64
    assert 20 < min(lengths) < max(lengths) < 80


def _load() -> model.Model:
    return model.load(
        Settings(model=str(TINY), device="cpu", cpu_threads=1), lambda stage, progress: None
    )


def test_the_choice_is_measured_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    names, _ = choose.candidates(Settings(device="cpu"))
    first = _load()
    assert first.backend.name == first.choice.backend
    assert [candidate.name for candidate in first.choice.candidates] == list(names)
    assert all((candidate.agreement or 0) > 0.5 for candidate in first.choice.candidates)
    [file] = (tmp_path / "mgeo" / "backends").iterdir()

    def fail(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(gate, "fastest", fail)
    assert _load().choice == first.choice
    file.write_text("{}")
    with pytest.raises(AssertionError, match="measured again"):
        _load()


def test_a_choice_is_not_kept_if_a_candidate_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    make = choose._make

    def fail(name: str, *arguments: Any, **named: Any) -> Backend:
        if name != choose.candidates(Settings(device="cpu"))[0][0]:
            raise MemoryError
        return make(name, *arguments, **named)

    monkeypatch.setattr(choose, "_make", fail)
    assert [candidate.has_failed for candidate in _load().choice.candidates][:2] == [False, True]
    monkeypatch.setattr(choose, "_make", make)
    assert not any(candidate.has_failed for candidate in _load().choice.candidates)


def test_a_folder_that_takes_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    kept.write(tmp_path / "file" / "choice.json", kept.Choice("f32", "a test"))
    assert "not kept, so each start measures again" in caplog.text


def test_model_info_says_which_backend_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    assert main(["model", "info", str(TINY)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] in choose.candidates(Settings(device="cpu"))[0]
    assert facts["candidates"][0]["verdict"] == "the reference"
