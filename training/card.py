"""The model card and the notice, written from what the run knows and measured."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import numpy
import tokenizers
import torch

from training.evaluation import Report
from training.families import PAIRS, families
from training.gazetteer import Source
from training.network import Shape
from training.relations import LABELS
from training.trainer import Plan


@dataclass(frozen=True)
class Found:
    """What was chosen and measured after training. families: rate of each family."""

    offsets: tuple[float, float, float]
    temperature: float
    report: Report | None
    families: dict[str, float]


def write(
    shape: Shape,
    plan: Plan,
    measured: dict[str, float],
    found: Found,
    sources: tuple[Source, ...],
) -> str:
    """The card as Markdown."""
    parameters = (
        (shape.vocabulary + shape.positions + 4) * shape.hidden
        + shape.layers
        * (
            4 * shape.hidden * (shape.hidden + 1)
            + 2 * shape.hidden * shape.intermediate
            + shape.intermediate
            + 5 * shape.hidden
        )
        + shape.hidden * (shape.hidden + 1)
        + len(LABELS) * (shape.hidden + 1)
    )
    pairs, seconds = int(measured["pairs"]), measured["seconds"]
    origins = "\n".join(f"| {s.name} | {s.origin} | {s.licence} |" for s in sources)
    return f"""# The bundled default model

**This is a small stand-in, not the published MGeo.** It was trained from random weights on
generated address pairs only, so that the service gives sensible answers before the published
weights are fetched. Its answers are clearly weaker than theirs (see the figures).

| | |
|---|---|
| architecture | MGeo text cross-encoder (BERT, three labels), ModelScope layout |
| size | {shape.layers} layers, hidden {shape.hidden}, {shape.heads} heads, intermediate \
{shape.intermediate}, vocabulary {shape.vocabulary}, {parameters / 1e6:.2f} M parameters, \
weights stored as fp16 |
| labels | {", ".join(f"{i} {label}" for i, label in enumerate(LABELS))} |
| trained on | {pairs:,} showings of generated pairs, none of them real, \
after those of the model that it went on from (docs/default-model.md) |
| training time | {seconds / 60:.0f} minutes, {plan.threads} thread(s), seed {plan.seed} |
| offsets of the logits | {", ".join(f"{o:+.1f}" for o in found.offsets)}, \
chosen on generated pairs, in the classifier's bias |
| temperature | {found.temperature:.3f}, folded into the classifier: use the softmax as it is |
| versions | Python {platform.python_version()}, torch {torch.__version__}, \
tokenizers {tokenizers.__version__}, numpy {numpy.__version__} |

## Figures on real labelled pairs

{_figures(found.report)}

## Fully written addresses

{_families(found.families)}

## Which address is read first

The shorter of the two addresses is read first, whichever was given first
(`preprocessor.shorter_first` in configuration.json), in training as in serving. So f(a, b) and
f(b, a) are one answer, at no cost. A program that reads this folder in another way has to put the
two in this order itself.

## Limits

- It knows what two texts share and what kind of thing they are about. It does not know the world:
  which shop stands at which number, which village belongs to which county beyond the names seen,
  or that two names mean one place.
- It was made for mainland Chinese addresses in simplified characters. English, traditional
  characters and addresses of other countries are outside of what it saw.
- Characters outside its vocabulary become [UNK]; two different rare characters look the same.
- Trained on pairs of up to 96 tokens; longer ones are accepted (512 at most) but unproven.

## Made from

The generator draws names from these files; they are not in the repository. What ships is derived:
the vocabulary and the weights. Licence notices are in NOTICE.

| file | origin | licence |
|---|---|---|
{origins}

Rebuild: see docs/default-model.md. This card is written by the run.
"""


def _families(measured: dict[str, float]) -> str:
    every = families()
    low = {name: rate for name, rate in measured.items() if rate < every[name].floor}
    rows = "\n".join(
        f"| {name} | {LABELS[every[name].label]} | {rate:.0%} | {every[name].floor:.0%} |"
        for name, rate in low.items()
    )
    table = (
        "These are below their floor; they are limits of this model:\n\n"
        f"| family | should be | is | floor |\n|---|---|---|---|\n{rows}"
        if low
        else "None is below its floor."
    )
    return f"""Two addresses written equally fully, with one element changed or none: {len(every)} \
families of {PAIRS} pairs, from
names that training never draws; docs/labels.md says which label each should get. Mean rate:
{sum(measured.values()) / len(measured):.1%}. {table}"""


def _figures(report: Report | None) -> str:
    if report is None:
        return "Not measured in this run (no labelled pairs were given)."
    rows = [
        ("pairs", f"{report.pairs:,}"),
        (
            "macro-F1 at argmax",
            f"**{report.macro_f1:.3f}** (95 % interval by query "
            f"{report.interval[0]:.3f} to {report.interval[1]:.3f})",
        ),
        *((f"F1 {label}", f"{f1:.3f}") for label, f1 in zip(LABELS, report.f1, strict=True)),
        ("AUC of 1 - P(not_match)", f"{report.auc:.3f}"),
        ("ECE, 10 bins", f"{report.ece:.3f}"),
        ("a == b called exact_match", f"{report.same_is_exact:.2%}"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    bins = "\n".join(
        f"| {sure:.2f} | {right:.2f} | {n:,} |" for sure, right, n in report.reliability
    )
    return f"""Measured on half B (by query) of a real labelled set (CCKS 2021 track 3). Errors were
read and choices made on half A, where the one temperature was fitted too; docs/default-model.md
says what else was known. No pair was ever trained on.

| figure | value |
|---|---|
{table}

For orientation, macro-F1 on another set of 22,675 real pairs (10/40/50): always not_match 0.224;
two thresholds on bigram Jaccard 0.489; gradient boosting trained on 19,000 real pairs 0.561. The
card of the published MGeo says 79.99 for this task (GeoEAG), in a measure that it does not name.

Reliability (mean confidence, accuracy, pairs by bin of confidence):

| confidence | accuracy | pairs |
|---|---|---|
{bins}"""


def notice(sources: tuple[Source, ...]) -> str:
    """Origins and licences of the data that vocabulary and weights are derived from."""
    rows = "\n".join(f"- {s.name}: {s.origin}, {s.licence}" for s in sources)
    return f"""The vocabulary and the weights in this folder are derived from names in these files,
which are not part of this repository:

{rows}

Copyright notices:

- areacity_ok_data_level4.csv: MIT License, Copyright (c) 2019 xiangyuecn
- bitlap_community.txt and derived_bitlap_roads.tsv: The MIT License, Copyright (c) 2018 IceMimosa
- THUOCL_diming.txt: MIT License, Copyright (c) 2018 THUNLP. The authors ask for this citation:
  Shiyi Han, Yuhui Zhang, Yunshan Ma, Cunchao Tu, Zhipeng Guo, Zhiyuan Liu, Maosong Sun.
  THUOCL: Tsinghua Open Chinese Lexicon. 2016.
- modood_pcas.json: Do What The Fuck You Want To Public License, version 2 (December 2004)
- wainshine_company_short_28w.txt: Apache License, Version 2.0
  (http://www.apache.org/licenses/LICENSE-2.0); by wainshine; used unmodified as a source of names

The MIT licence, which covers the first three lines above:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions: The above copyright notice and this
permission notice shall be included in all copies or substantial portions of the Software. THE
SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
