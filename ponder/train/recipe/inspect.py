"""Samples as the trainer sees them: what is learned in green, what is only read in grey.

Without colours the learned parts stand between « and ».
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from ponder.core.sample import Sample
from ponder.text.tokenizer.tokenizer import Tokenizer

GREEN, GREY, PLAIN = "\x1b[32m", "\x1b[90m", "\x1b[0m"


def show(samples: Sequence[Sample], tokenizer: Tokenizer, out: TextIO) -> None:
    for n, sample in enumerate(samples):
        learned = int((sample.ce > 0).sum())
        weight = float(sample.ce.sum())
        out.write(f"--- sample {n + 1}: {len(sample)} ids, {learned} learned, {weight:.4g} of the loss of its step\n")
        for text, counts in parts(sample, tokenizer):
            if out.isatty():
                out.write(f"{GREEN if counts else GREY}{text}{PLAIN}")
            else:
                out.write(f"«{text}»" if counts else text)
        out.write("\n")


def parts(sample: Sample, tokenizer: Tokenizer) -> Iterator[tuple[str, bool]]:
    """Text of neighbours that all count, or all do not."""
    for counts, run in groupby(zip(sample.ids.tolist(), (sample.ce > 0).tolist()), key=lambda pair: pair[1]):
        yield tokenizer.decode([id_ for id_, _ in run], skip_special=False), counts
