"""What docs/bulk.md says of the flags is so; its commands are run with all others."""

from __future__ import annotations

import argparse
import re

from service.bulk import command
from tests.serving import ROOT

PAGE = (ROOT / "docs" / "bulk.md").read_text("utf-8")


def test_every_flag_named_on_the_page_exists() -> None:
    known = set(re.findall(r"--[a-z0-9-]+", _help()))
    named = set(re.findall(r"`(--[a-z0-9-]+)", PAGE)) - {"--pairs"}
    assert len(named) > 10
    assert named <= known


def _help() -> str:
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    return parser.format_help()
