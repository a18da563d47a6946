"""On two workers of a real Spark cluster comes out what one machine writes."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.__main__ import main
from tests.matching.spark_job import ROOT, SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java, which is not installed"),
]

FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
SAID = "^mgeo: .*(earlier one|--least-share|column cut)"
CHUNK = 80 * 100 // 40
"""Rows, by the tokens of a batch: more chunks than one, the last one shorter."""


def _addresses(count: int) -> tuple[list[str | None], list[str | None]]:
    """Made-up addresses, and each of them written otherwise or another one; some have none."""
    source = random.Random(5)
    roads = ["文三路", "江南大道", "文枢东路", "人民大街", "中山北路", "桐和街", "新华路"]
    first, second = [], []
    for _ in range(count):
        road, number = source.choice(roads), source.randrange(1, 60)
        first.append(f"杭州市西湖区{road}{number}号{source.randrange(1, 9)}幢")
        second.append(f"{road}{number + source.choice([0, 0, 1])}号")
    first[5], first[CHUNK], second[7], second[-1] = None, "无", "", "N/A"
    return first, second


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what one machine wrote, and what the cluster did."""
    made = tmp_path_factory.mktemp("spark")
    first, second = _addresses(2 * CHUNK + 30)
    pairs = pa.table({"n": range(len(first)), "address1": first, "address2": second})
    pq.write_table(pairs, made / "pairs.parquet", row_group_size=60)
    rows = [*first[:40], *second[:40], *first[10:13]]  # some texts twice
    when = pa.array(range(len(rows)), pa.timestamp("us", tz="UTC"))  # a type that pandas changes
    table = pa.table({"n": pa.array(range(len(rows)), pa.int16()), "at": when, "address": rows})
    pq.write_table(table, made / "rows.parquet", row_group_size=30)
    # Enough texts for `least_share`, which leaves nearly all of their candidates out.
    roads = [one + other for one in "甲乙丙丁戊" for other in "子丑寅卯辰巳午未"]
    many = [f"{road}路{number}号" for road in roads for number in range(1, 27)]
    pq.write_table(pa.table({"address": [*many, *many[:7]]}), made / "many.parquet")
    right = pa.table({"address": second})
    pq.write_table(right, made / "right.parquet")
    for words in (
        ["index", "build", "right.parquet", "-o", "register"],
        ["score", "pairs.parquet", "-o", "score.parquet", *FLAGS],
        ["match", "rows.parquet", "register", "-o", "match.parquet", "--top=2",
         "--candidates=5", *FLAGS],
        ["dedupe", "rows.parquet", "-o", "dedupe.parquet", "--threshold=0.4", "--by=probability",
         *FLAGS],
        ["dedupe", "many.parquet", "-o", "out.parquet", "--candidates=2", "--least-share=0.9",
         *FLAGS],
    ):  # fmt: skip
        is_file = [word.endswith(".parquet") or word == "register" for word in words]
        named = [str(made / w) if is_one else w for w, is_one in zip(words, is_file, strict=True)]
        with contextlib.redirect_stderr(said := io.StringIO()):
            assert main(named) == 0
        (made / f"{words[1]}.said").write_text(said.getvalue(), "utf-8")
    command = [sys.executable, "-m", "tests.matching.spark_job", str(made)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr.partition("Traceback")[2][:4000] or done.stderr[-4000:]
    (made / "spark.said").write_text(done.stderr, "utf-8")
    return made


def test_the_driver_says_what_the_command_says_of_its_comparisons(folder: Path) -> None:
    names = ("rows.parquet", "many.parquet", "spark")
    lines = {name: (folder / f"{name}.said").read_text("utf-8").splitlines() for name in names}
    expected = [line for name in names[:2] for line in lines[name] if re.search(SAID, line)]
    assert [line for line in lines["spark"] if re.search(SAID, line)] == expected
    assert any("--least-share" in line for line in expected)
    assert sum("text of an earlier one" in line for line in expected) == 2


@pytest.mark.parametrize("name", ["score", "match", "dedupe", "dedupe.pairs"])
def test_two_workers_write_the_rows_of_one_machine(folder: Path, name: str) -> None:
    one = pq.read_table(folder / f"{name}.parquet")
    # In the order of the parts' names, as every reader takes them.
    parts = sorted((folder / f"spark-{name}.parquet").glob("part-*"))
    two = pa.concat_tables([pq.read_table(part) for part in parts])
    assert two.schema.names == one.schema.names
    # What `dedupe` makes itself, the numbers of a pair's rows, is text in its Parquet.
    numbers = [place for place, name in enumerate(one.schema.names) if name in ("row1", "row2")]
    for place in numbers:
        text = two.column(place).cast(pa.string())
        two = two.set_column(place, one.schema.names[place], text)
    assert two.to_pylist() == one.to_pylist()
    assert len(one) > (1 if name.startswith("dedupe") else CHUNK // 5)


def test_both_workers_have_a_part_and_none_reads_the_model_twice(folder: Path) -> None:
    told = json.loads((folder / "processes.json").read_text("utf-8"))
    assert len({executor for executor, _, _ in told}) == 2
    # Spark ends a process that had nothing to do for a minute; the next one has read none yet.
    assert {loads for _, _, loads in told} <= {0, 1}
