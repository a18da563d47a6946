"""No block of the documentation is left out of the tests in silence."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.documentation.blocks import ROOT, RUN, SHOWN, Block, blocks, pages, parsed
from tests.documentation.compare import same_answer, same_text
from tools import picture

BLOCKS = [block for path in pages() for block in blocks(path)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PROGRAMS = r"(?:\$ |python |make |curl |docker |kubectl |pip |export )"
PAGES = pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language in RUN | SHOWN, "name the language; `text` for a picture or a header"
    if block.language in SHOWN:
        assert not re.search(f"^{PROGRAMS}", block.text, re.MULTILINE), "commands: use `console`"
        return
    for command in block.commands:
        reason = block.why_not(command)
        # Whoever leaves something out says why, in more than a word.
        assert not reason or len(reason.split()) > 3, reason
    for text in block.left_out:
        assert any(command.text.startswith(text) for command in block.commands), text
    if block.language == "python" and not block.reason:
        assert "assert " in block.text, "a program that shows no result can show a wrong one"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in RUN], ids=str)
def test_what_is_not_run_names_files_and_targets_that_exist(block: Block) -> None:
    for target in re.findall(r"^(?:\$ )?(?:\w+=\S+ )*make ([a-z][a-z-]*)", block.text, re.M):
        assert target in TARGETS
    for name in re.findall(r"(?:docker compose -f|apply -k) (\S+)", block.text):
        assert (ROOT / name).exists(), name


@PAGES
def test_commands_in_the_text_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"`make ([a-z][a-z-]*)", text):
        assert target in TARGETS, target
    for module in re.findall(r"`python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), module
    for name in re.findall(r"`docker compose[^`]*? -f (\S+)", text):
        assert (ROOT / name).exists(), name


@PAGES
def test_marks_are_read(path: Path) -> None:
    """A comment that looks like a mark is one, and stands where it is read."""
    text = path.read_text("utf-8")
    meant = len(re.findall(r"<!-- ?(?:not run|file:|yours differs)", text))
    read = sum(
        len(block.left_out) + bool(block.reason) + bool(block.file) + block.differs
        for block in blocks(path)
        if block.language != "json" or block.file
    )
    assert meant == read


def test_the_picture_is_of_panels_that_exist() -> None:
    assert len(picture.panels()) == len(picture.PANELS)


def test_blocks_are_read_as_a_reader_would() -> None:
    text = """# A page

<!-- file: a.csv -->
```csv
a,b
```

<!-- not run: `make test`: it would run itself -->
```console
$ curl -d '{
    "a": 1}' \\
    http://127.0.0.1:5000
printed
$ make test    # all
```

```json
{"a": 1}
```
"""
    one, two, three = parsed(text, "page.md")
    assert (one.language, one.file, one.text) == ("csv", "a.csv", "a,b\n")
    assert [command.shown for command in two.commands] == ["printed\n", ""]
    assert two.commands[0].text.endswith("http://127.0.0.1:5000")
    assert [two.why_not(command) for command in two.commands] == ["", "it would run itself"]
    assert two.answer == three.text == '{"a": 1}\n'


@pytest.mark.parametrize(
    ("told", "shown", "differs", "same"),
    [
        ("score 0.472876", "score 0.473", False, True),
        ("score 0.472876", "score 0.474", False, False),
        ("score 0.472876", "score 0.472879", False, True),
        ("row 3", "row 4", False, False),
        ("row 3", "row 4", True, True),
        ("took 12.5 s: done", "took ...: done", False, True),
        ("trace 6eb4998a874fbbd8272a7e8fa9ce7ec2", "trace 0123456789abcdef0123456789abcdef", True,
         True),
        ("trace none", "trace 0123456789abcdef0123456789abcdef", True, False),
        ("a\nb", "a", False, False),
    ],
)  # fmt: skip
def test_text_is_compared(told: str, shown: str, differs: bool, same: bool) -> None:
    assert same_text(told, shown, differs) is same


@pytest.mark.parametrize(
    ("told", "shown", "differs", "same"),
    [
        ({"a": 0.4728}, {"a": 0.473}, False, True),
        ({"a": 0.4728}, {"a": 0.471}, False, False),
        ({"a": 0.4728}, {"a": 0.1}, True, True),
        ({"a": 1, "b": 2}, {"a": 1}, True, False),
        ([True, None], [True, None], False, True),
        ([True], [1], False, False),
        (["x"], ["y"], True, False),
    ],
)
def test_answers_are_compared(told: object, shown: object, differs: bool, same: bool) -> None:
    assert same_answer(told, shown, differs) is same
