"""From sessions to an adapter: tuned beside the model, tried beside it, and used only when somebody says so.

OUT/run/         the recipe's stages: model, conversations, tuning
OUT/adapter/     what is in use; the one before it is OUT/adapter-before/
"""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import torch

from ponder.core.errors import UserError
from ponder.model.load import load
from ponder.model.torch.modules import Decoder
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.batch import micro_batches, pack
from ponder.train.learn.sessions import taken
from ponder.train.lora.adapter import ADAPTER
from ponder.train.recipe.graph import run
from ponder.train.recipe.read import recipe_of
from ponder.train.select.conversations import Conversation, samples, write
from ponder.train.stage import MODEL
from ponder.train.stages.conversation import sample_of

HELD_OUT = 5  # one conversation in so many
LEAST = 5
BEFORE = "adapter-before"


class Tried(NamedTuple):
    """Nats an id of the held-out answers."""

    before: float
    after: float
    answers: int


def learn(
    model: str, files: Sequence[Path], out: Path, *, steps: int, rank: int, rate: float, log: TextIO,
    agreed: Callable[[Tried], bool], unpack: bool = False, seed: int = 0,
) -> Path | None:  # fmt: skip
    """The adapter that is in use now, None where it was not wanted. agreed: is asked when it has been tried."""
    found = [taken(path) for path in files]
    for one in found:
        print(one.told, file=log)
    every = [conversation for one in found for conversation in one.conversations]
    if len(every) < LEAST:
        raise UserError(f"{len(every)} conversations are too few to learn from and to try it on: name {LEAST} or more",
                        param="files")  # fmt: skip
    random.Random(seed).shuffle(every)
    held_out, learned = every[::HELD_OUT], [c for n, c in enumerate(every) if n % HELD_OUT]
    out.mkdir(parents=True, exist_ok=True)
    write(out / "chosen.jsonl", learned)
    stages = [
        {"name": "base", "kind": "model", "model": model, "unpack": unpack},
        {"name": "chosen", "kind": "conversations", "file": str(out / "chosen.jsonl")},
        {"name": "learned", "kind": "sft", "from": "base", "data": ["chosen"], "steps": steps, "rate": rate,
         "batch": min(16, len(learned)), "lora": {"rank": rank}, "warmup": min(5, steps), "weight_decay": 0.0},
    ]  # fmt: skip
    nodes = {n.stage.name: n for n in run(recipe_of({"name": "learn", "seed": seed, "stage": stages}, "ponder learn"),
                                          out / "run", from_="chosen", log=log)}  # fmt: skip
    before, after = (nodes[name].folder / MODEL for name in ("base", "learned"))
    (nll, answers), (later, _) = loss(before, held_out), loss(after, held_out)
    if not agreed(Tried(nll, later, answers)):
        return None
    return swap(nodes["learned"].folder / ADAPTER, out)


def loss(folder: Path, held_out: Sequence[Conversation]) -> tuple[float, int]:
    """(nats an id, how many answers)"""
    tokenizer = Tokenizer.from_path(folder)
    decoder = Decoder(load(folder, dtype="f32", ops="torch"))
    told = [sample_of(*one) for each in held_out for one in samples(each, tokenizer)]
    nats, ids = 0.0, 0
    with torch.no_grad():
        for micro in micro_batches(told, max(4096, *map(len, told))):
            packed = pack(micro)
            logp, _, _ = decoder(packed.ids, packed.batch, packed.targets)
            nats, ids = nats - float(logp.double().sum()), ids + len(logp)
    return nats / ids, len(told)


def swap(adapter: Path, out: Path) -> Path:
    """OUT/adapter is the new one; the old one stays beside it."""
    new = out / f"{ADAPTER}.partial"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(adapter, new)
    if (out / ADAPTER).exists():
        shutil.rmtree(out / BEFORE, ignore_errors=True)
        (out / ADAPTER).rename(out / BEFORE)
    new.rename(out / ADAPTER)
    return out / ADAPTER
