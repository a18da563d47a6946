"""Models from the hub: fetched whole and checked, resumed, or refused with one line."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.errors import FetchError
from service.scoring import checkpoint, copies, fetch, source
from tests.conftest import eventually
from tests.unit.conftest import MODEL_FILES
from tests.unit.hub import FILES, PUBLISHED, Hub

WEIGHTS = "pytorch_model.bin"


def get(model: str, to: Path | None = None) -> fetch.Fetched:
    return fetch.fetch(source.parse_id(model), lambda done, total: None, to)


def refusal(model: str, to: Path | None = None) -> str:
    with pytest.raises(FetchError) as caught:
        get(model, to)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_known_model_is_fetched_at_its_pinned_revision(hub: Hub) -> None:
    fetched = get(PUBLISHED)
    assert hub.listings == [f"{PUBLISHED}@v1.2.0"]
    assert {file for file, _, _ in hub.sent} == set(MODEL_FILES), "only what is read"
    assert fetched.sha256 == {n: hashlib.sha256(FILES[n]).hexdigest() for n in fetched.sha256}
    assert (
        checkpoint.read(fetched.directory).name == "mgeo_geographic_entity_alignment_chinese_base"
    )


def test_what_was_fetched_loads_and_scores(hub: Hub, golden: dict[str, Any]) -> None:
    from service.scoring import model, scorer
    from service.settings import Settings

    seen: list[tuple[str, float]] = []
    settings = Settings(model=PUBLISHED, cpu_threads=1)
    loaded = model.load(settings, lambda stage, done: seen.append((stage, done)))
    row = golden["runs"]["default"]["rows"][0]
    score = scorer.score_now(loaded, (row["a"], row["b"]))
    assert score.probabilities == pytest.approx(row["prob"], abs=1e-5)
    fetching = [stage for stage, _ in seen if stage.startswith(f"fetching {PUBLISHED}@v1.2.0: ")]
    assert fetching[-1].endswith("0 of 0 MB")
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    hub.sent.clear()
    assert source.resolve(PUBLISHED, lambda stage, done: None).is_dir()
    assert not hub.sent, "a copy that is here is taken"


@pytest.mark.parametrize(("asked", "there"), [("damo", "iic"), ("iic", "damo")])
def test_both_names_of_the_namespace_are_accepted(hub: Hub, asked: str, there: str) -> None:
    name = PUBLISHED.partition("/")[2]
    hub.models = {f"{there}/{name}": {"v1.2.0": FILES}}
    fetched = get(f"{asked}/{name}")
    assert copies.find(source.parse_id(f"{there}/{name}")) == fetched.directory
    assert copies.find(source.parse_id(f"{asked}/{name}")) == fetched.directory
    assert get(f"{there}/{name}") == fetched


def test_an_unknown_model_without_a_revision_is_not_pinned(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.models["someone/tuned"] = {"master": FILES}
    with caplog.at_level(logging.WARNING):
        directory = source.resolve("someone/tuned", lambda stage, done: None)
    assert directory.name == "tuned"
    [record] = [record for record in caplog.records if record.name == "service.scoring.source"]
    assert "not pinned" in record.message


def test_a_cut_connection_is_resumed_at_the_byte_where_it_was_cut(hub: Hub) -> None:
    size, cut = len(FILES[WEIGHTS]), 100_000
    hub.cut[WEIGHTS] = [cut]
    fetched = get(PUBLISHED)
    assert [sent for sent in hub.sent if sent[0] == WEIGHTS] == [
        (WEIGHTS, 0, cut),
        (WEIGHTS, cut, size - cut),
    ]
    assert (fetched.directory / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_a_second_run_fetches_only_what_the_first_did_not(hub: Hub) -> None:
    cut = 60_000
    hub.cut[WEIGHTS] = [cut, 0, 0, 0]
    line = refusal(PUBLISHED)
    assert line.startswith(f"{PUBLISHED}@v1.2.0 was not fetched from {hub.endpoint}: ")
    assert WEIGHTS in line
    assert "run it again: what was fetched is kept in" in line
    assert copies.find(source.parse_id(PUBLISHED)) is None, "a part is never taken as the whole"
    hub.cut.clear()
    fetched = get(PUBLISHED)
    assert {name: hub.bytes_sent(name) for name in FILES} == {
        name: len(content) for name, content in FILES.items()
    }
    assert copies.is_complete(fetched.directory)


def test_a_directory_of_a_part_is_refused_as_a_model(hub: Hub, tmp_path: Path) -> None:
    hub.cut["vocab.txt"] = [0, 0, 0]
    to = tmp_path / "model"
    refusal(PUBLISHED, to)
    with pytest.raises(FetchError, match="not completed"):
        source.resolve(str(to), lambda stage, done: None)
    hub.cut.clear()
    get(PUBLISHED, to)
    assert source.resolve(str(to), lambda stage, done: None) == to


def test_a_file_that_shrank_since_is_not_complete(hub: Hub) -> None:
    directory = get(PUBLISHED).directory
    (directory / WEIGHTS).write_bytes(b"")
    assert copies.find(source.parse_id(PUBLISHED)) is None
    get(PUBLISHED)
    assert (directory / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_a_damaged_file_is_fetched_again(hub: Hub) -> None:
    directory = get(PUBLISHED).directory
    (directory / WEIGHTS).write_bytes(FILES[WEIGHTS][:-1] + b"?")
    get(PUBLISHED)
    assert (directory / WEIGHTS).read_bytes() == FILES[WEIGHTS]


@pytest.mark.parametrize("name", ["vocab.txt", WEIGHTS])
def test_a_wrong_checksum_is_refused(hub: Hub, name: str) -> None:
    hub.corrupt.add(name)
    assert f"{name}: wrong checksum" in refusal(PUBLISHED)
    assert not (copies.own_directory(source.parse_id(PUBLISHED), "iic") / name).exists()


def test_an_unknown_revision_is_refused_with_those_there_are(hub: Hub) -> None:
    assert refusal(f"{PUBLISHED}@v9") == (
        f"{PUBLISHED} has no revision 'v9'; it has master, v1.2.0"
    )


def test_an_unknown_model_is_refused(hub: Hub) -> None:
    assert "nobody/nothing is no directory here and no public model" in refusal("nobody/nothing")


def test_a_model_of_another_kind_is_refused_before_its_files_are_fetched(hub: Hub) -> None:
    hub.models["some/gguf"] = {"master": {"model.gguf": b"x", "config.json": b"{}"}}
    assert "has no configuration.json and no vocab.txt" in refusal("some/gguf")
    hub.models["some/gguf"]["master"].update({"configuration.json": b"{}", "vocab.txt": b""})
    assert "has no pytorch_model.bin and no model.safetensors" in refusal("some/gguf")
    assert not hub.sent


def test_an_unreachable_hub_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", f"http://user:secret@127.0.0.1:{port}")
    line = refusal(PUBLISHED)
    assert f"from 127.0.0.1:{port}: the connection failed; check the network" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "listing",
    [b"<html>log in</html>", b"[]", b'{"Data": {"Files": [1]}}', b'{"Data": 1}', b'{"Data": {}}'],
)
def test_an_answer_that_is_not_the_hubs_is_refused(hub: Hub, listing: bytes) -> None:
    hub.listing = listing
    refusal(PUBLISHED)


@pytest.mark.parametrize("facts", [{"Size": "many"}, {"Size": -5}, {"Sha256": 5}, {"Path": [1]}])
def test_a_listing_with_wrong_types_is_refused(hub: Hub, facts: dict[str, Any]) -> None:
    files = [{"Path": name, "Size": len(content)} | facts for name, content in FILES.items()]
    hub.listing = json.dumps({"Data": {"Files": files}}).encode()
    refusal(PUBLISHED)


def test_a_listing_without_sizes_and_sums_is_enough(hub: Hub) -> None:
    hub.listing = json.dumps({"Data": {"Files": [{"Path": name} for name in FILES]}}).encode()
    assert copies.is_complete(get(PUBLISHED).directory)


def test_a_damaged_record_in_the_services_own_folder_is_made_anew(hub: Hub) -> None:
    directory = get(PUBLISHED).directory
    (directory / copies.RECORD).write_bytes(b"")
    assert copies.find(source.parse_id(PUBLISHED)) is None
    assert copies.is_complete(get(PUBLISHED).directory)


def test_a_listing_cannot_name_a_file_elsewhere(hub: Hub, tmp_path: Path) -> None:
    hub.models[PUBLISHED]["v1.2.0"] = FILES | {"../outside.json": b"{}", "sub/vocab.txt": b"x"}
    get(PUBLISHED)
    assert {file for file, _, _ in hub.sent} == set(MODEL_FILES)


def test_a_private_model_needs_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "ms-1"
    assert "access denied; set MODELSCOPE_API_TOKEN" in refusal(PUBLISHED)
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-1")
    get(PUBLISHED)


def test_a_full_disk_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.cut[WEIGHTS] = [0, 0, 0]
    refusal(PUBLISHED, tmp_path / "model")
    hub.cut.clear()
    partial = tmp_path / "model" / f"{WEIGHTS}.incomplete"
    partial.unlink(missing_ok=True)
    partial.symlink_to("/dev/full")  # a device on which every write finds the disk full
    assert "the disk is full" in refusal(PUBLISHED, tmp_path / "model")


def test_a_disk_without_room_is_refused_at_once(hub: Hub) -> None:
    files = [{"Path": name, "Size": 10**15} for name in FILES]
    hub.listing = json.dumps({"Data": {"Files": files}}).encode()
    assert re.search(
        r"the disk is full \(4000000000 MB are needed, \d+ MB free\)", refusal(PUBLISHED)
    )
    assert not hub.sent


def test_a_folder_that_cannot_be_written_is_refused(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(PUBLISHED, tmp_path / "file" / "model")


def test_a_directory_with_something_else_in_it_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("mine")
    assert "holds something else already" in refusal(PUBLISHED, tmp_path / "model")
    assert (tmp_path / "model" / "config.json").read_text() == "mine"


def test_a_directory_of_another_revision_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    get(f"{PUBLISHED}@master", tmp_path / "model")
    assert f"holds {PUBLISHED}@master already" in refusal(PUBLISHED, tmp_path / "model")


def test_a_branch_that_moved_leaves_nothing_of_its_old_state(hub: Hub) -> None:
    labels = b'{"exact_match": 0, "partial_match": 1, "not_match": 2}'
    hub.models[PUBLISHED]["master"] = FILES | {"label_mapping.json": labels}
    directory = get(f"{PUBLISHED}@master").directory
    assert (directory / "label_mapping.json").read_bytes() == labels
    hub.models[PUBLISHED]["master"] = FILES
    get(f"{PUBLISHED}@master")
    assert not (directory / "label_mapping.json").exists()


def test_of_two_weights_files_the_one_that_is_read_is_fetched(hub: Hub) -> None:
    hub.models[PUBLISHED]["v1.2.0"] = FILES | {"model.safetensors": b"x" * 1000}
    get(PUBLISHED)
    assert not hub.bytes_sent("model.safetensors")


def test_who_is_told_of_the_progress_can_end_it(hub: Hub) -> None:
    def stop(stage: str, done: float) -> None:
        if done > 0:
            raise RuntimeError("draining")

    with pytest.raises(RuntimeError, match="draining"):
        source.resolve(PUBLISHED, stop)
    assert copies.find(source.parse_id(PUBLISHED)) is None


@pytest.mark.slow
def test_an_interrupted_run_is_one_line_and_goes_on_later(hub: Hub) -> None:
    hub.stall[WEIGHTS] = 50_000
    command = [sys.executable, "-m", "service", "model", "fetch", PUBLISHED]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # Standing still: every small file is there, and the beginning of the large one.
        partial = copies.own_directory(source.parse_id(PUBLISHED), "iic") / f"{WEIGHTS}.incomplete"
        eventually(lambda: partial.is_file() and partial.stat().st_size == 50_000)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "interrupted; run it again: what was fetched is kept in" in err.splitlines()[-1]
    assert "Traceback" not in err
    hub.stall.clear()
    hub.sent.clear()
    get(PUBLISHED)
    assert (WEIGHTS, 50_000, len(FILES[WEIGHTS]) - 50_000) in hub.sent


@pytest.mark.parametrize(
    ("layout", "version"),
    [
        ("models/iic--{name}/snapshots/v1.2.0", None),
        ("models/damo--{name}/snapshots/v1.2.0", None),
        ("models/iic/{name}", "Revision:v1.2.0,CreatedAt:1700000000"),
        ("hub/models/iic/{name}", "Revision:v1.2.0,CreatedAt:1700000000"),
        ("hub/damo/{name}", None),
        ("damo/{name}", "Revision:v1.2.0,CreatedAt:1700000000"),
    ],
)
def test_copies_of_modelscopes_own_tools_are_found(
    hub: Hub, tmp_path: Path, layout: str, version: str | None
) -> None:
    name = PUBLISHED.partition("/")[2]
    copy = tmp_path / "cache" / layout.format(name=name)
    copy.mkdir(parents=True)
    for file, content in FILES.items():
        (copy / file).write_bytes(content)
    if version:
        (copy / ".mv").write_text(version)
    assert source.resolve(PUBLISHED, lambda stage, done: None) == copy
    assert checkpoint.read(copy).name == name
    assert not hub.listings
    if "snapshots" not in layout:
        assert copies.find(source.parse_id(f"{PUBLISHED}@v1.1.2")) is None, "another revision"
    (copy / f"{WEIGHTS}.incomplete").write_bytes(b"x")
    assert copies.find(source.parse_id(PUBLISHED)) is None


@pytest.mark.parametrize(
    "record", [b"", b"[]", b'{"complete": true}', b'{"complete": true, "files": {"a": 1}}', b"\xff"]
)
def test_a_damaged_record_is_not_complete(tmp_path: Path, record: bytes) -> None:
    (tmp_path / copies.RECORD).write_bytes(record)
    assert copies.is_unfinished(tmp_path)
