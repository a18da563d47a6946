"""What the tests of files as they come share: a file of given bytes, its pairs, its refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import BulkError
from tests.bulk.jobs import score

HEADER = "id,address1,address2\n"
TEXT = (HEADER + "1,甲路,乙路\n").encode()


def made(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def pairs_of(path: Path, *flags: str) -> list[tuple[str, str]]:
    return score(path, "-o", path.with_name("out.csv"), "--force", *flags).pairs


def refused(path: Path, message: str, *flags: str) -> str:
    with pytest.raises(BulkError, match=message) as caught:
        pairs_of(path, *flags)
    said = str(caught.value)
    assert "\n" not in said
    assert not any(character in said for character in "路號号")
    return said
