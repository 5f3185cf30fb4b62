"""One small training of many: a pattern stage with other numbers, and what its model makes of text it did not read.

node = trained(recipe, stage, out, log)         # finished before: nothing is done again
losses = held_out(node, most=50_000)
"""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from msgspec.structs import replace

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.data.shards.read import Shards
from ponder.model.load import load
from ponder.model.torch.modules import Decoder
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.batch import pack
from ponder.train.recipe.graph import Node, run
from ponder.train.recipe.read import Recipe
from ponder.train.stage import MODEL, SHARDS, TOKENIZER
from ponder.train.stages.pretrain import Pretrain

LOSSES = "held-out.json"
TOGETHER = 4096  # ids of a forward pass


def pattern_of(recipe: Recipe, name: str) -> Pretrain:
    """The stage that trials are made of. Raises UserError where it is none, or nothing is held out."""
    found = next((stage for stage in recipe.stages if stage.name == name), None)
    if not isinstance(found, Pretrain) or found.shards is None:
        raise UserError(
            f"trials repeat a stage of kind pretrain that reads shards with a part held out; {name!r} is none",
            param="stage",
        )
    return found


def of_length(pattern: Pretrain, name: str, tokens: int, batch: int) -> Pretrain:
    """The pattern under another name, with so many ids in steps of `batch`; warm-up and decay keep their shares."""
    steps = max(2, tokens // batch)
    parts = {key: round(value / pattern.steps * steps) for key, value in
             (("warmup", pattern.warmup), ("decay", pattern.decay))}  # fmt: skip
    return replace(pattern, name=name, tokens=None, steps=steps, batch_tokens=batch, **parts)


def trained(recipe: Recipe, stage: Pretrain, out: Path, log: TextIO) -> Node:
    """After the stages of the recipe that stand before the pattern."""
    before = []
    for each in recipe.stages:
        if isinstance(each, Pretrain):
            break
        before.append(each)
    return run(replace(recipe, stages=(*before, stage)), out, log=log)[-1]


def held_out(node: Node, most: int) -> dict[str, float]:
    """Nats an id over the held-out part of the stage's shards, at most so many ids: of each kind of document, by its
    names (`field:code`, `source:docs`), and of all under "all". Kept in the stage's folder."""
    path = node.folder / LOSSES
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    stage = node.stage
    assert isinstance(stage, Pretrain)
    model = load(node.folder / MODEL, dtype="f32", ops="torch")
    parent = node.parents["shards"].folder
    tokenizer = Tokenizer.from_path(parent / TOKENIZER)
    shards = Shards.open(parent / SHARDS, tokenizer)
    pieces = shards.pieces(stage.sequence or model.max_context, held_out=True)
    if not len(pieces.length):
        raise UserError("nothing is held out: give the shards a held_out share", param="held_out")
    order = np.random.default_rng(0).permutation(len(pieces.length))
    order = order[: max(1, int(np.searchsorted(np.cumsum(pieces.length[order]), most)))]
    decoder = Decoder(model)
    sums: dict[str, list[float]] = {}
    for batch in _batches([int(n) for n in pieces.length[order]]):
        numbers = order[batch]
        losses = _losses(decoder, [Sample.of(shards.ids(pieces, n), ce=1.0) for n in numbers])
        for n, (loss, ids) in zip(numbers, losses, strict=True):
            for name in ("all", *shards.groups[pieces.group[n]].names()):
                sums.setdefault(name, [0.0, 0.0])
                sums[name][0] += loss
                sums[name][1] += ids
    means = {name: loss / ids for name, (loss, ids) in sorted(sums.items())}
    with replacing(path) as file:
        file.write(json.dumps(means, indent=1).encode() + b"\n")
    return means


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers that share a forward pass."""
    ends = np.cumsum(lengths) // TOGETHER
    return [list(own) for _, own in groupby(range(len(lengths)), key=lambda n: int(ends[n]))]


@torch.no_grad()
def _losses(decoder: Decoder, samples: Sequence[Sample]) -> list[tuple[float, int]]:
    """Nats and ids of each sample."""
    packed = pack(samples)
    logprob, _, _ = decoder(packed.ids, packed.batch, packed.targets)
    sums = torch.zeros(len(samples), dtype=torch.float64)
    sums.index_add_(0, torch.from_numpy(packed.sequence), -logprob.double())
    return [(float(total), len(sample) - 1) for total, sample in zip(sums, samples, strict=True)]
