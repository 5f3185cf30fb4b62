"""How far a model looks back: a key in a long text, at the trained length and beyond, read in three ways.

    plain   RoPE as it was trained
    yarn    slow dimensions stretched by length / trained (`model/rope.py`)
    dca     dual chunk attention (`model/dual_chunk.py`)

A key counts where each of its ids would have been said greedily: what greedy decoding gives, in one pass.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from ponder.core.sample import Ints
from ponder.model.dual_chunk import Chunks
from ponder.model.model import Model
from ponder.model.torch.dual_chunk import dual_chunk
from ponder.tasks.retrieval import RETRIEVAL
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.base.score import scores

Way = Literal["plain", "yarn", "dca"]
WAYS: tuple[Way, ...] = ("plain", "yarn", "dca")


class Found(Struct, frozen=True, kw_only=True):
    length: int
    """Ids of each text, about."""
    way: Way
    problems: int
    right: int
    nats: float
    """Of an id of the key, on average."""

    @property
    def share(self) -> float:
        return self.right / self.problems


def retrieve(
    model: Model, tokenizer: Tokenizer, lengths: Sequence[int], problems: int, seed: int,
    ways: Sequence[Way] = WAYS, chunks: Chunks | None = None, tick: Callable[[], None] = lambda: None,
) -> Iterator[Found]:  # fmt: skip
    """Test questions, the same for every way. chunks: of dca; those for the model's length. tick: called after
    each text; may raise."""
    trained = model.max_context
    far = dual_chunk(model, chunks or Chunks.of(trained))
    for length in lengths:
        texts, keys = _texts(tokenizer, length, problems, seed)
        for way in ways:
            reader, factor = (far if way == "dca" else model), (max(1.0, length / trained) if way == "yarn" else 1.0)
            right, nats = 0, []
            for key, scored in zip(keys, scores(reader, texts, factor=factor, last=max(keys)), strict=True):
                right += bool(scored.greedy[-key:].all())
                nats.append(-float(scored.logprobs[-key:].mean()))
                tick()
            yield Found(length=length, way=way, problems=problems, right=right, nats=float(np.mean(nats)))


def _texts(tokenizer: Tokenizer, length: int, problems: int, seed: int) -> tuple[list[Ints], list[int]]:
    """Ids with the key at the end, and how many the key has."""
    rng = random.Random(f"{seed} {length}")
    texts: list[Ints] = []
    keys: list[int] = []
    while len(texts) < problems:
        id_ = RETRIEVAL.at_most(length - 8, lambda text: len(tokenizer.encode(text)), rng)
        if RETRIEVAL.split_of(id_) != "test":
            continue
        prompt = tokenizer.encode(RETRIEVAL.prompt(id_))
        whole = tokenizer.encode(RETRIEVAL.prompt(id_) + RETRIEVAL.solve(id_))
        texts.append(np.array(whole, np.int32))
        keys.append(len(whole) - len(prompt))
    return texts, keys
