"""ModelScope's pipeline, as its users run MGeo today. Arguments: model directory, device.

`default` is what the model's card shows: every pair is padded to 512 tokens. `tuned` is the best
that its arguments allow: 128 tokens at most, and no padding. It pads to the longest allowed length
or not at all, so a batch of unequal pairs cannot go without padding to 128.
"""

from __future__ import annotations

import sys

from modelscope.pipelines import pipeline
from modelscope.utils.constant import Tasks

from benchmarks import loops


def main() -> None:
    """Build both pipelines and answer orders."""
    directory, device = sys.argv[1:]
    device = "gpu" if device == "cuda" else device
    task = Tasks.sentence_similarity
    default = pipeline(task, model=directory, device=device)
    tuned = pipeline(task, model=directory, device=device, sequence_length=128, padding=False)
    batches = pipeline(task, model=directory, device=device, sequence_length=128)
    loops.answer(
        {
            "default": loops.one_by_one(default),
            "tuned": loops.one_by_one(tuned),
            "tuned, batches of 16": loops.batched(
                loops.by_count(16), lambda batch: batches(batch, batch_size=16)
            ),
        }
    )


if __name__ == "__main__":
    main()
