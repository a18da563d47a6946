"""What the tests of a model directory's small files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import CheckpointError
from service.scoring import checkpoint
from tests.unit.conftest import assert_one_line

Object = dict[str, Any]

ORDER = {"exact_match": 2, "partial_match": 0, "not_match": 1}
"""A label map that none of the small checkpoint's own files has."""


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(directory)
    assert_one_line(caught.value)
    return str(caught.value)


def assert_refused(model: Path, file: str, fault: str) -> None:
    line = refusal(model)
    assert str(model / file) in line
    assert fault in line


def setting(*path: str, to: Any) -> Callable[[Object], None]:
    """A change, for `edit`, that sets the key at the end of a path."""

    def change(value: Object) -> None:
        for key in path[:-1]:
            value = value.setdefault(key, {})
        value[path[-1]] = to

    return change


DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
