"""The accuracy check: the first backend that answers as fp32 does, and its verdict kept."""

from __future__ import annotations

import json
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
from service.scoring.backends import (
    Backend,
    Probabilities,
    accuracy_cache,
    accuracy_check,
    calibration,
    choose,
    compare,
)
from service.scoring.backends.accuracy_check import BackendCandidate
from service.scoring.backends.compare import Timing
from service.scoring.backends.layout import Padding
from service.scoring.tokens import TokenizedPair
from service.settings import Settings
from tests.conftest import TINY

PAIRS = [TokenizedPair([1] * 5, 3, False)] * 64


@dataclass
class Fake:
    """Answers the reference's probabilities, changed.

    `shift` moves probability from the first label to the second, in the first `shifted` pairs.
    """

    name: str
    shift: float = 0.0
    shifted: int = 64
    device = "cpu"
    padding = Padding.ROUNDED
    batch_tokens = 512
    streams = 1

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        rows = np.array([[0.42, 0.40, 0.18]] * len(pairs), dtype=np.float32)
        rows[: self.shifted] += np.float32([-self.shift, self.shift, 0])
        return rows


def _chosen(
    *fakes: Fake, known: Sequence[BackendCandidate] = ()
) -> tuple[str, list[BackendCandidate]]:
    by_name = {fake.name: fake for fake in fakes}
    backend, checked = accuracy_check.first_accepted(
        list(by_name), by_name.__getitem__, PAIRS, known
    )
    return backend.name, checked


def test_the_first_that_answers_as_the_reference_is_taken() -> None:
    name, checked = _chosen(Fake("int8", shift=0.06), Fake("bf16"), Fake("fp16"), Fake("f32"))
    assert name == "bf16"
    assert [(one.name, one.accepted) for one in checked] == [("int8", False), ("bf16", True)]
    assert (checked[1].agreement, checked[1].difference) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (Fake("int8", shift=0.06), "refused: a probability differs by more than 0.05"),
        (Fake("int8", shift=float("nan")), "refused: a probability differs by more than 0.05"),
        (Fake("int8", shift=0.02), "refused: labels agree on less than 95%"),
    ],
)
def test_a_backend_that_differs_is_not_used_and_that_is_logged(
    other: Fake, verdict: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, [checked] = _chosen(other, Fake("f32"))
    assert name == "f32"
    assert checked.verdict == verdict
    [line] = [record for record in caplog.records if record.message == "backend checked"]
    assert (line.levelname, vars(line)["backend"]) == ("WARNING", "int8")


@pytest.mark.parametrize("fails", ["when it is built", "when it computes"])
def test_a_backend_that_fails_is_not_used_and_the_log_says_where(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Probabilities:
        raise ImportError("cannot open shared object file")

    def make(name: str) -> Fake:
        made = Fake(name)
        if name == "int8":
            if fails == "when it is built":
                fail()
            made.predict = fail  # type: ignore[method-assign]
        return made

    best, checked = accuracy_check.first_accepted(["int8", "bf16", "f32"], make, PAIRS)

    assert best.name == "bf16"
    assert [candidate.has_failed for candidate in checked] == [True, False]
    assert checked[0].verdict == "refused: it failed on this machine; the log says where"
    [line] = [record for record in caplog.records if record.message == "backend failed"]
    assert vars(line)["backend"] == "int8"
    assert line.exc_info
    assert line.exc_info[0] is ImportError


def test_a_reference_that_fails_and_an_end_of_loading_are_not_hidden() -> None:
    def make(name: str) -> Fake:
        if name == "f32":
            return Fake(name)
        raise ZeroDivisionError if name == "broken" else LoadingCancelledError

    with pytest.raises(ZeroDivisionError):
        accuracy_check.first_accepted(["f32", "broken"], make, PAIRS)
    with pytest.raises(LoadingCancelledError):
        accuracy_check.first_accepted(["int8", "f32"], make, PAIRS)


def test_only_one_backend_is_in_memory_at_a_time() -> None:
    """Each holds the model's weights."""
    made: list[weakref.ref[Fake]] = []
    most = 0

    def make(name: str) -> Fake:
        nonlocal most
        fake = Fake(name, shift=0.06 if name != "f32" else 0.0)
        made.append(weakref.ref(fake))
        most = max(most, sum(one() is not None for one in made))
        return fake

    best, _ = accuracy_check.first_accepted(["int4", "int8", "bf16", "f32"], make, PAIRS)
    assert (best.name, most) == ("f32", 1)


def test_what_is_known_is_not_compared_again() -> None:
    refused = BackendCandidate("int8", False, 0.5, 0.3, "refused: a test")
    accepted = BackendCandidate("bf16", True, 1.0, 0.0, "accepted: a test")
    # Both are now the opposite of what is known of them.
    fakes = Fake("int8"), Fake("bf16", shift=0.06), Fake("f32")
    assert _chosen(*fakes, known=[refused, accepted]) == ("bf16", [refused, accepted])
    assert _chosen(*fakes, known=[refused])[0] == "f32"


def test_the_calibration_pairs_are_64_of_real_length() -> None:
    tokenizer = model.tokenizer_of(checkpoints.read(TINY), Settings())
    lengths = [len(pair.ids) for pair in tokenizer.encode(calibration.pairs())]
    assert len(set(calibration.pairs())) == len(lengths) == 64
    assert 20 < min(lengths) < max(lengths) < 80


@pytest.fixture
def int8_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small model on a CPU on which int8 is preferred; returns where verdicts are kept."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(choose, "LEAST_HIDDEN_SIZE_FOR_INT8", 1)
    monkeypatch.setattr(choose, "processor_flags", lambda: frozenset({"avx2"}))
    # The small model's random weights are ten times a trained one's: rounding moves it by .08.
    monkeypatch.setattr(accuracy_check, "LARGEST_DIFFERENCE", 0.2)
    return tmp_path / "mgeo" / "backends"


def _load() -> model.LoadedModel:
    return model.load(
        Settings(model=str(TINY), device="cpu", cpu_threads=1), lambda stage, progress: None
    )


def test_a_verdict_is_found_once_and_kept(
    int8_first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _load()
    assert first.backend.name == first.choice.backend == "onnxruntime-int8"
    [checked] = first.choice.candidates
    assert checked.accepted
    [file] = int8_first.iterdir()

    def fail(*_: object) -> None:
        raise AssertionError("compared again")

    monkeypatch.setattr(accuracy_check, "predict", fail)
    assert _load().choice == first.choice
    file.write_text("{}")
    with pytest.raises(AssertionError, match="compared again"):
        _load()


def test_a_verdict_is_not_kept_of_a_candidate_that_failed(
    int8_first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = choose.make

    def fail(name: str, *arguments: Any, **named: Any) -> Backend:
        if name == "onnxruntime-int8":
            raise MemoryError
        return make(name, *arguments, **named)

    monkeypatch.setattr(choose, "make", fail)
    fallen_back = _load()
    assert fallen_back.backend.name == "openvino-f32"
    assert [candidate.has_failed for candidate in fallen_back.choice.candidates] == [True]
    monkeypatch.setattr(choose, "make", make)
    assert _load().backend.name == "onnxruntime-int8"


def test_a_folder_that_takes_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    accuracy_cache.write(tmp_path / "file" / "checks.json", [])
    assert "not kept, so each start compares again" in caplog.text


def test_model_info_says_which_backend_and_why(
    int8_first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "info", str(TINY)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] == "onnxruntime-int8"
    assert facts["reason"] == "this CPU has AVX2 and no VNNI"
    assert facts["candidates"][0]["verdict"].startswith("accepted")


def test_model_compare_measures_each_backend_and_recommends(
    int8_first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "compare", str(TINY), "--device", "cpu", "--cpu-threads", "1"]) == 0
    out, err = capsys.readouterr()
    head, *rows, last = out.splitlines()
    assert head.split()[0] == "backend"
    assert [row.split()[0] for row in rows] == list(compare.ON_CPU)
    assert last.startswith("auto takes onnxruntime-int8 here; ")
    assert "measuring openvino-f32" in err


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [(0.5, "f32 is 2.0 times as fast: MGEO_BACKEND=f32"), (0.95, "none is 1.1 times as fast")],
)
def test_another_backend_is_recommended_only_for_a_gain(milliseconds: float, told: str) -> None:
    rows = [
        Timing(
            BackendCandidate("f32", True, 1.0, 0.0, "the reference"), 1, milliseconds, milliseconds
        ),
        Timing(BackendCandidate("int8", True, 1.0, 0.01, "accepted"), 1, 1, milliseconds),
        Timing(BackendCandidate("bf16", False, 0.5, 0.3, "refused"), 0.1, 0.1, milliseconds),
        Timing(BackendCandidate("int4", False, None, None, "refused: it failed")),
    ]
    assert told in compare.report("int8", rows).splitlines()[-1]
