"""Every command of README and docs is run as a reader would, and prints what the page shows.

One service, started by the README's own `make run`, answers all pages that start none. Installing
is not part of it (`make` finds everything installed), and neither is what a page marks as not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.blocks import ROOT, RUN, Block, Command, blocks, pages
from tests.documentation.compare import same_answer, same_text
from tests.documentation.shell import SERVES, Server, Shell, workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FIRST = "make run"


def _runnable(path: Path) -> list[Block]:
    """The blocks of a page that are run, and the files that they need."""
    return [
        block
        for block in blocks(path)
        if block.file or (block.language in RUN and not block.reason)
    ]


PAGES = [path for path in pages() if _runnable(path)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service that the README's first command starts."""
    shell = Shell(workspace(tmp_path_factory.mktemp("first")))
    server = Server(FIRST, shell.folder, shell.variables)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_page_does_what_it_says(path: Path, first: Server, tmp_path: Path) -> None:
    shell = Shell(workspace(tmp_path), first)
    try:
        for block in _runnable(path):
            if block.file:
                (tmp_path / block.file).write_text(block.text, "utf-8")
                continue
            commands = block.commands
            for command in commands:
                if not block.why_not(command):
                    _follow(shell, block, command, last=command is commands[-1])
    finally:
        shell.close()


def _follow(shell: Shell, block: Block, command: Command, *, last: bool) -> None:
    if block.language == "python":
        done = shell.program(command.text)
    elif SERVES.search(command.text):
        if command.text.partition("#")[0].strip() != FIRST:  # which runs already
            shell.serve(command.text)
        return
    else:
        done = shell.run(command.text)
    assert done.returncode == 0, f"{block}: {command.text}\n{done.stdout}{done.stderr}"
    # What goes on standard error is shown where there is nothing else.
    told = done.stdout or done.stderr
    if command.shown:
        assert same_text(told, command.shown, block.differs), f"{block}: {command.text}\n{told}"
    if last and block.answer:
        answer, shown = json.loads(done.stdout), json.loads(block.answer)
        assert same_answer(answer, shown, block.differs), f"{block}: {command.text}\n{told}"
