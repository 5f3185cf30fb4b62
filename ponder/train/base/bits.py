"""Bits per byte of held-out text, by what the text is: the measure of a base model that no tokenizer can flatter.

The first id of a piece has nothing before it, and the end of a document no byte; neither counts, with its bytes.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from ponder.core.sample import Ints
from ponder.data.shards.read import Shards
from ponder.data.shards.write import END, Group
from ponder.model.model import Model
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.base.score import scores

FIELD = "field"
"""The label that says what a text is about."""


class Bits(Struct, frozen=True, kw_only=True):
    """What was measured of one group of documents."""

    group: Group
    unseen: bool
    """The whole source is held out, and not only some of its documents."""
    ids: int
    bytes: int
    nats: float


class Line(Struct, frozen=True):
    """A line of a table."""

    name: str
    ids: int
    bytes: int
    bits_per_byte: float


def measure(
    model: Model, tokenizer: Tokenizer, shards: Shards, *, sequence: int, ids: int, max_tokens: int = 8192,
    tick: Callable[[], None] = lambda: None,
) -> list[Bits]:  # fmt: skip
    """sequence: ids of a piece, at most. ids: of each group, about, at most: pieces spread over all that it has. tick:
    called after each text; may raise."""
    pieces = shards.pieces(sequence, held_out=True)
    sizes = np.array([len(tokenizer.text_bytes(n)) for n in range(tokenizer.vocab_size)])
    sizes[tokenizer.control[END]] = 0
    found = []
    for number, group in enumerate(shards.groups):
        own = np.flatnonzero(pieces.group == number)
        if not len(own):
            continue
        total = int(pieces.length[own].sum())
        wanted = min(len(own), max(1, len(own) * ids // total))
        texts = [shards.ids(pieces, n) for n in own[np.arange(wanted) * len(own) // wanted]]
        nats, size, count = _added(model, texts, sizes, max_tokens, tick)
        unseen = bool(shards.documents["held"][shards.documents["group"] == number].all())
        found.append(Bits(group=group, unseen=unseen, ids=count, bytes=size, nats=nats))
    return found


def _added(
    model: Model, texts: Sequence[Ints], sizes: np.ndarray, max_tokens: int, tick: Callable[[], None]
) -> tuple[float, int, int]:
    nats, size, count = 0.0, 0, 0
    for ids, scored in zip(texts, scores(model, texts, max_tokens=max_tokens), strict=True):
        bytes_ = sizes[ids[1:]]
        nats -= float(scored.logprobs[bytes_ > 0].sum(dtype=np.float64))
        size += int(bytes_.sum())
        count += int((bytes_ > 0).sum())
        tick()
    return nats, size, count


def table(measured: Sequence[Bits]) -> list[Line]:
    """By field, by language, and all that is of unseen sources; sums over the groups, so large ones weigh more."""
    lines = [line("all", measured)]
    lines += by("", measured, lambda bits: bits.group.label(FIELD))
    unseen = [bits for bits in measured if bits.unseen]
    lines += by("unseen source: ", unseen, lambda bits: bits.group.label(FIELD) or "all")
    languages = {bits.group.language for bits in measured}
    return lines + (by("", measured, lambda bits: bits.group.language) if len(languages) > 1 else [])


def by(prefix: str, measured: Sequence[Bits], key: Callable[[Bits], str]) -> list[Line]:
    names = dict.fromkeys(key(bits) for bits in measured)
    return [line(f"{prefix}{name}", [b for b in measured if key(b) == name]) for name in names if name]


def line(name: str, measured: Sequence[Bits]) -> Line:
    size = sum(bits.bytes for bits in measured)
    nats = sum(bits.nats for bits in measured)
    return Line(name, sum(b.ids for b in measured), size, nats / math.log(2) / size if size else math.nan)
