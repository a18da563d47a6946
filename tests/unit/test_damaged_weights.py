"""Any damage to a model directory, and any sizes: read, or refused in one line."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import CheckpointError
from service.scoring import checkpoint, weights
from tests.conftest import TINY, examples
from tests.unit.conftest import MODEL_FILES, SIZES, assert_one_line, edit
from tests.unit.hub import FILES


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all examples, each of which leaves it as it was."""
    directory = tmp_path_factory.mktemp("any") / "tiny"
    directory.mkdir()
    for name in MODEL_FILES:
        shutil.copy(TINY / name, directory)
    return directory


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of the checkpoint with bytes changed, cut out, doubled or cut off."""
    # Half of the weights file's faults go to its ends, where the structure is.
    name = draw(st.sampled_from(MODEL_FILES))
    content = bytearray(FILES[name])
    size = len(content)
    anywhere = st.integers(0, size - 1)
    ends = st.integers(0, min(6000, size - 1)) | st.integers(max(0, size - 6000), size - 1)
    for _ in range(draw(st.integers(1, 4))):
        at = min(draw(anywhere | ends), len(content) - 1)
        kind = draw(st.sampled_from(["set", "flip", "delete", "insert", "cut", "copy"]))
        if kind == "set":
            content[at] = draw(st.integers(0, 255))
        elif kind == "flip":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "delete":
            del content[at : at + draw(st.integers(1, 300))]
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "cut":
            del content[at:]
        else:
            content[at:at] = content[at : at + draw(st.integers(1, 300))]
        if not content:
            break
    return name, bytes(content)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let torch warn about files it can hardly read; a user sees the refusal as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_or_refuse(directory: Path, changed: str) -> None:
    try:
        weights.load(checkpoint.read(directory))
    except CheckpointError as error:
        assert_one_line(error)
    finally:
        (directory / changed).write_bytes(FILES[changed])


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damaged())
def test_any_damage_is_read_or_refused(
    quiet: None, directory: Path, damage: tuple[str, bytes]
) -> None:
    name, content = damage
    (directory / name).write_bytes(content)
    read_or_refuse(directory, name)


@settings(max_examples=examples(60))
@given(
    sizes=st.dictionaries(
        st.sampled_from([*SIZES, "fusion_layer", "pad_token_id"]),
        st.sampled_from([1, 2, 3, 4, 8, 16, 31, 32, 64, 434, 512]) | st.integers(1, 3000),
        min_size=1,
        max_size=3,
    )
)
def test_any_sizes_are_read_or_refused(directory: Path, sizes: dict[str, int]) -> None:
    edit(directory / "config.json", lambda config: config.update(sizes))
    read_or_refuse(directory, "config.json")
