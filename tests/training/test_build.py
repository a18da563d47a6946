"""From a tiny gazetteer to a model folder, and the errors a user can cause."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training import __main__ as command
from training import ablation, batches, families, operating_point
from training.build import RealPairs, Sizes, build
from training.checkpoint import CheckpointError, load
from training.evaluation import PairsError, evaluate, half_of, read_pairs, score
from training.gazetteer import GazetteerError, Source, check
from training.trainer import Plan

SIZES = Sizes(hidden=24, layers=2, heads=2, intermediate=32)
PLAN = Plan(pairs=1500, batch=16, threads=2, seed=4)


@pytest.fixture(scope="module", autouse=True)
def _small_steps() -> Iterator[None]:
    """Chunks and searches of a size that suits seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "CHUNK_PAIRS", 2048)
        patch.setattr(operating_point, "PAIRS", 400)
        patch.setattr(families, "PAIRS", 1)
        yield


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    names = ["阳光小区1栋", "金桂花园", "翠湖路5号", "春江村"]
    labels = ["exact_match", "partial_match", "not_match"]
    rows = [
        {"query_id": f"q{i}", "address1": a, "address2": b, "label": labels[(i + j) % 3]}
        for i in range(12)
        for j, (a, b) in enumerate(zip(names, names[1:] + names[:1], strict=True))
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return path


@pytest.fixture(scope="module")
def built(
    gazetteer_folder: Path,
    sources: tuple[Source, ...],
    pairs_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("built")
    real = RealPairs(read_pairs(pairs_file, "A"), read_pairs(pairs_file, "B"))
    build(gazetteer_folder, out, PLAN, SIZES, real, sources)
    return out


@pytest.mark.slow
def test_a_build_writes_the_whole_folder(built: Path) -> None:
    names = {path.name for path in built.iterdir() if path.is_file()}
    assert names == {
        "config.json",
        "configuration.json",
        "vocab.txt",
        "model.safetensors",
        "README.md",
        "NOTICE",
    }


@pytest.mark.slow
def test_the_card_says_what_the_model_is_and_what_was_measured(built: Path) -> None:
    card = (built / "README.md").read_text(encoding="utf-8")
    for phrase in ("not the published MGeo", "generated", "macro-F1 at argmax", "temperature"):
        assert phrase in card


@pytest.mark.slow
def test_the_config_has_the_keys_mgeo_needs(built: Path) -> None:
    config = json.loads((built / "config.json").read_text(encoding="utf-8"))
    assert config["gis_embedding"] == 0
    assert config["fusion_layer"] == config["num_hidden_layers"]
    assert config["encoder_width"] == config["hidden_size"]
    assert config["id2label"] == {"0": "exact_match", "1": "partial_match", "2": "not_match"}
    weights = load_file(built / "model.safetensors")
    assert all(name.startswith(("bert.text_encoder.", "classifier.")) for name in weights)


@pytest.mark.slow
def test_one_seed_one_model(
    built: Path,
    gazetteer_folder: Path,
    sources: tuple[Source, ...],
    tmp_path: Path,
) -> None:
    build(gazetteer_folder, tmp_path / "a", PLAN, SIZES, None, sources)
    build(gazetteer_folder, tmp_path / "b", PLAN, SIZES, None, sources)
    first = load_file(tmp_path / "a" / "model.safetensors")
    second = load_file(tmp_path / "b" / "model.safetensors")
    assert first
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(
    gazetteer_folder: Path, sources: tuple[Source, ...], tmp_path: Path
) -> None:
    once = build(gazetteer_folder, tmp_path, PLAN, SIZES, None, sources)
    again = build(gazetteer_folder, tmp_path, PLAN, SIZES, None, sources)
    assert again["pairs"] == once["pairs"]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_from_its_state(
    gazetteer_folder: Path, sources: tuple[Source, ...], tmp_path: Path
) -> None:
    half = dataclasses.replace(PLAN, pairs=800)
    first = build(gazetteer_folder, tmp_path, half, SIZES, None, sources)
    second = build(gazetteer_folder, tmp_path, PLAN, SIZES, None, sources)
    assert first["pairs"] < second["pairs"]
    assert second["pairs"] >= PLAN.pairs


@pytest.mark.slow
def test_a_run_goes_on_from_a_model_folder(
    built: Path, gazetteer_folder: Path, sources: tuple[Source, ...], tmp_path: Path
) -> None:
    nothing = dataclasses.replace(PLAN, pairs=1, learning_rate=0.0)
    build(gazetteer_folder, tmp_path, nothing, Sizes(), None, sources, go_on_from=built)
    (network, tokens, words), (before, _, words_before) = load(tmp_path), load(built)
    assert words == words_before
    assert network.shape == before.shape
    texts = ["阳光小区1栋", "翠湖路５号"], ["阳光小区", "翠湖路5号(东门)"]
    moved = score(network, tokens, *texts) - score(before, tokens, *texts)
    # The operating point is chosen anew: it moves the classes for all pairs alike.
    assert moved - moved[:, 1:2] == pytest.approx(
        np.tile(moved[0] - moved[0, 1], (len(moved), 1)), abs=0.02
    )


def test_going_on_from_something_else_is_refused(
    gazetteer_folder: Path, sources: tuple[Source, ...], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        build(gazetteer_folder, tmp_path, PLAN, SIZES, None, sources, go_on_from=tmp_path)


@pytest.mark.slow
def test_weights_may_keep_a_share_of_the_ones_gone_on_from(
    built: Path, gazetteer_folder: Path, sources: tuple[Source, ...], tmp_path: Path
) -> None:
    for share in (0.0, 0.5, 1.0):
        out = tmp_path / str(share)
        build(gazetteer_folder, out, PLAN, SIZES, None, sources, go_on_from=built, keep=share)
    name = "bert.text_encoder.encoder.layer.1.output.dense.weight"
    new, mean, old = (
        load_file(tmp_path / share / "model.safetensors")[name].float()
        for share in ("0.0", "0.5", "1.0")
    )
    assert torch.allclose(old, load_file(built / "model.safetensors")[name].float(), atol=1e-3)
    assert torch.allclose(mean, (new + old) / 2, atol=1e-3)
    assert not torch.allclose(new, old, atol=1e-3)


@pytest.mark.slow
def test_the_clock_ends_a_run(
    gazetteer_folder: Path, sources: tuple[Source, ...], tmp_path: Path
) -> None:
    plan = dataclasses.replace(PLAN, pairs=10_000_000, minutes=0.05)
    measured = build(gazetteer_folder, tmp_path, plan, SIZES, None, sources)
    assert 0 < measured["pairs"] < 10_000_000


@pytest.mark.slow
def test_scores_do_not_depend_on_the_batch(built: Path) -> None:
    network, tokens, _ = load(built)
    first, second = ["阳光小区", "翠湖路5号", "春江村"], ["金桂花园1栋", "", "春江村"]
    together = score(network, tokens, first, second)
    alone = [score(network, tokens, [a], [b])[0] for a, b in zip(first, second, strict=True)]
    assert together == pytest.approx(np.array(alone), abs=1e-5)


@pytest.mark.slow
def test_the_report_counts_every_pair(built: Path, pairs_file: Path) -> None:
    network, tokens, _ = load(built)
    report = evaluate(network, tokens, read_pairs(pairs_file), rounds=20)
    assert report.pairs == 48
    assert sum(map(sum, report.confusion)) == 48
    assert sum(n for _, _, n in report.reliability) == 48


def test_the_halves_share_no_query_and_miss_none(pairs_file: Path) -> None:
    sizes = [len(read_pairs(pairs_file, half)) for half in ("A", "B", "all")]
    assert sizes[0] + sizes[1] == sizes[2]
    assert half_of("q1") == half_of("q1")


def test_a_missing_gazetteer_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GazetteerError, match=r"modood_pcas\.json: no such gazetteer file"):
        check(tmp_path)


def test_a_changed_gazetteer_file_is_refused(
    gazetteer_folder: Path, sources: tuple[Source, ...]
) -> None:
    changed = (dataclasses.replace(sources[0], sha256="0" * 64), *sources[1:])
    with pytest.raises(GazetteerError, match="sha256"):
        check(gazetteer_folder, changed)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{}", "line 1: needs query_id"), ("not json", "line 1"), ("", "no pairs")],
)
def test_bad_pairs_are_refused_with_their_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(line)
    with pytest.raises(PairsError, match=message):
        read_pairs(path)


def test_the_command_reports_a_mistake_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = command.main(["evaluate", "--model", str(tmp_path), "--pairs", str(tmp_path / "no")])
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.slow
def test_the_command_evaluates(
    built: Path, pairs_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", str(built), "--pairs", str(pairs_file), "--rounds", "10"]
    assert command.main(arguments) == 0
    assert "macro-F1" in capsys.readouterr().out


@pytest.mark.slow
def test_an_ablation_measures_one_variant(
    gazetteer_folder: Path, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "check", lambda folder: None)
    plan = dataclasses.replace(PLAN, pairs=200, threads=1)
    line = ablation.ablate(gazetteer_folder, tmp_path, "drawn-labels", plan, read_pairs(pairs_file))
    assert line.split()[0] == "drawn-labels"
    assert len(line.split()) == len(ablation.HEADER.replace("with offsets", "offsets").split())


def test_offsets_are_found_that_undo_a_shift() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(6000, 3)) * 3
    truth = logits.argmax(1)
    shifted = logits - np.array((0.7, 0.0, -0.5))
    same = np.tile((9.0, 0.0, 0.0), (10, 1))
    found = operating_point.best_offsets(shifted, truth, np.ones(len(truth)), same)
    assert found == pytest.approx((0.7, 0.0, -0.5), abs=0.11)


def test_offsets_keep_an_address_equal_to_itself() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(6000, 3)) * 3
    same = np.tile((0.0, 0.85, 0.0), (10, 1))  # exact only from an offset of .9 on
    found = operating_point.best_offsets(logits, logits.argmax(1), np.ones(6000), same)
    assert found[0] == pytest.approx(0.9)
