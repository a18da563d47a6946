"""What the tests of bulk scoring share: a scorer without a model, and a way to run a job."""

from __future__ import annotations

import argparse
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from service.bulk import columns, command
from service.bulk.job import BulkJob
from service.bulk.tables import Chunk, Result
from service.http.schemas import Limits


class FakeScorer:
    """Scores that depend on the pair alone.

    Attributes:
        scored: Rows of each chunk that it was asked for.
        pairs: What it scored.
        dies_after: Chunks after which it raises `death`.
    """

    chunk_rows = 3
    identity: Mapping[str, object] = {"model": ["fake", "1"], "setting": {"backend": "none"}}
    dies_after: int | None = None
    death: BaseException = KeyboardInterrupt()

    def __init__(self) -> None:
        self.scored: list[int] = []
        self.pairs: list[tuple[str, str]] = []

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Result]]]:
        for chunk in chunks:
            if len(self.scored) == self.dies_after:
                raise self.death
            self.scored.append(len(chunk))
            report(len(chunk))
            pairs = columns.pairs(chunk, pair, Limits(512, 1))
            self.pairs += [value for value in pairs if not isinstance(value, str)]
            yield chunk, [result(value) for value in pairs]
        if len(self.scored) == self.dies_after:
            raise self.death


def share_strings(path: Path) -> None:
    """Write a workbook's texts apart from its cells, as Excel does and openpyxl does not."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    texts: list[bytes] = []

    def shared(found: re.Match[bytes]) -> bytes:
        texts.append(b"<si>%s</si>" % found[1])
        return b't="s"><v>%d</v>' % (len(texts) - 1)

    for name, data in parts.items():
        if "worksheets/" in name:
            parts[name] = re.sub(rb't="inlineStr"><is>(.*?)</is>', shared, data, flags=re.DOTALL)
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    parts["xl/sharedStrings.xml"] = b'<sst xmlns="%s">%s</sst>' % (main, b"".join(texts))
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(
        b"</Types>",
        b'<Override PartName="/xl/sharedStrings.xml" ContentType="%s"/></Types>' % kind,
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def result(pair: tuple[str, str] | str) -> Result:
    """What the fake scorer says of a pair."""
    if isinstance(pair, str):
        return Result(error=pair)
    number = zlib.crc32("\0".join(pair).encode()) % 1_000_000 / 1_000_000
    return Result(number, "partial_match", number / 4, 1 - number / 4, 0.0, truncated=False)


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    return parser


def parse(*arguments: str | Path) -> argparse.Namespace:
    """The flags of a call."""
    return _parser().parse_args([str(argument) for argument in arguments])


def score(*arguments: str | Path, by: FakeScorer | None = None) -> FakeScorer:
    """Run a job by a fake scorer, and return it."""
    scorer = by or FakeScorer()
    job = BulkJob(parse(*arguments))
    job._scorer = lambda note, stack: scorer  # type: ignore[method-assign]
    job.run()
    return scorer
