"""What `MGEO_MODEL` may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import FetchError
from service.scoring import copies, source


def resolve(model: str) -> Path:
    return source.resolve(model, lambda stage, progress: None)


def test_bundled_is_the_directory_of_the_package() -> None:
    assert resolve("bundled").parts[-3:] == ("service", "models", "default")


def test_a_directory_is_itself(model: Path) -> None:
    assert resolve(str(model)) == model


@pytest.mark.parametrize(
    "name",
    [
        "nowhere", "./nowhere", "/nowhere/at/all", "a/b/c", "../a/b", "a/..", "a/b@", "a/b@../c",
        "a/b@/c", "@", "", "a /b", "a/b\n", "地/址", "x" * 5000, "a/" + "x" * 5000, "a\0b",
    ],
)  # fmt: skip
def test_what_is_neither_a_directory_nor_an_id_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    with pytest.raises(FetchError) as caught:
        resolve(name)
    assert "neither `bundled`, nor a directory here, nor a ModelScope id" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bundled", "service/models/default"])
def test_what_cannot_be_fetched_is_no_id(name: str) -> None:
    with pytest.raises(FetchError) as caught:
        source.parse_id(name)
    assert str(caught.value) == (f"'{name}' is no ModelScope id: owner/name or owner/name@revision")


@pytest.mark.parametrize(
    ("model", "meant", "pinned"),
    [
        ("iic/mgeo_geographic_entity_alignment_chinese_base", "v1.2.0", True),
        ("damo/mgeo_geographic_entity_alignment_chinese_base", "v1.2.0", True),
        ("iic/mgeo_geographic_entity_alignment_chinese_base@v1.1.2", "v1.1.2", True),
        ("me/mgeo_geographic_entity_alignment_chinese_base", "master", False),
        ("me/my.model-2", "master", False),
        ("me/my.model-2@master", "master", True),
        ("me/model@feature/new", "feature/new", True),
    ],
)
def test_the_revision_that_an_id_means(model: str, meant: str, pinned: bool) -> None:
    reference = copies.parse(model)
    assert reference is not None
    assert (reference.revision, reference.pinned) == (meant, pinned)
