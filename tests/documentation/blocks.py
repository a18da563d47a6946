"""The fenced blocks of a page, and what a page says of running them.

Above a block, as an HTML comment that no reader sees:

    <!-- not run: REASON -->             none of its commands is run, because …
    <!-- not run: `COMMAND`: REASON -->  this one is not
    <!-- file: NAME -->                  the commands below find it as this file
    <!-- yours differs -->               numbers and ids of the answer are others each time

A `console` block has commands after `$`, each with what it prints; a `json` block right below one
is the answer of its last command. A `sh` or `python` block is one program.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

SHOWN = {"json", "csv", "yaml", "text"}
"""Languages of blocks that hold no commands."""

RUN = {"console", "sh", "python"}
"""Languages of blocks that are run."""

_MARK = re.compile(r"<!-- (not run|file|yours differs)(?:: (.*?))? -->")
_ONE = re.compile(r"`(.+?)`: (.+)")


@dataclass(frozen=True)
class Command:
    """One command or program.

    Attributes:
        text: What the shell, or Python, is given.
        shown: What the page says that it prints; "" where the page shows nothing.
    """

    text: str
    shown: str = ""


@dataclass
class Block:
    """One fenced block.

    Attributes:
        page: The file, relative to the repository.
        line: Where its fence is, counted from 1.
        language: The word after the fence.
        text: What is inside.
        file: The file that it stands for, or "".
        reason: Why none of it is run, or "".
        left_out: The beginnings of commands that are not run, and why.
        differs: Whether numbers and ids are others each time.
        answer: The JSON that the page shows as the last command's answer, or "".
    """

    page: str
    line: int
    language: str
    text: str
    file: str = ""
    reason: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    differs: bool = False
    answer: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[Command]:
        """Its commands, those that are not run among them."""
        if self.language != "console":
            return [Command(self.text)]
        return list(_commands(self.text))

    def why_not(self, command: Command) -> str:
        """Why `command` is not run; "" when it is."""
        for text, reason in self.left_out.items():
            if command.text.startswith(text):
                return reason
        return self.reason


def pages() -> list[Path]:
    """README and all of docs, but not the translations: they hold the same blocks."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if not path.name.endswith(".zh-CN.md")]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return parsed(path.read_text("utf-8"), str(path.relative_to(ROOT)))


def parsed(text: str, page: str) -> list[Block]:
    """The fenced blocks of a page's text, in their order."""
    found: list[Block] = []
    marks: list[tuple[str, str]] = []
    inside: Block | None = None
    between = ""
    for number, line in enumerate(text.splitlines(), 1):
        if inside is not None:
            if line.strip() == "```":
                found.append(inside)
                inside, between = None, ""
            else:
                inside.text += line + "\n"
        elif line.lstrip().startswith("```"):
            language = line.strip().removeprefix("```")
            inside = Block(page, number, language, "")
            _apply(inside, marks)
            if language == "json" and found and found[-1].language == "console" and not between:
                inside.differs = found[-1].differs
                found[-1].answer = "…"
            marks = []
        elif mark := _MARK.fullmatch(line.strip()):
            marks.append((mark[1], mark[2] or ""))
        elif line.strip():
            between += line
            marks = []
    for block, following in itertools.pairwise(found):
        if block.answer:
            block.answer = following.text
    return found


def _apply(block: Block, marks: list[tuple[str, str]]) -> None:
    for kind, value in marks:
        if kind == "file":
            block.file = value
        elif kind == "yours differs":
            block.differs = True
        elif one := _ONE.fullmatch(value):
            block.left_out[one[1]] = one[2]
        else:
            block.reason = value


def _commands(text: str) -> Iterator[Command]:
    """The commands of a `console` block: from `$` to where the shell would begin to work."""
    lines = iter(text.splitlines(keepends=True))
    command, shown = "", ""
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield Command(command.strip(), shown)
            command, shown = line[2:], ""
            while _unfinished(command):
                command += next(lines)
        else:
            shown += line
    if command:
        yield Command(command.strip(), shown)


def _unfinished(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:  # a quote is open, or the line ends in a backslash
        return True
    return command.rstrip("\n").endswith("\\")
