"""Bits per byte: counted by hand, and the same however the text is cut into micro-batches."""

import math
from pathlib import Path

import numpy as np
import pytest

from ponder.data.document import Document
from ponder.data.shards.read import Shards
from ponder.data.shards.write import Group, write
from ponder.data.tokenizer import train_tokenizer
from ponder.model.model import Model
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.base.bits import Bits, measure, table
from ponder.train.base.score import scores
from ponder.train.stages.pretrain import Shape, fresh

TEXTS = [f"sentence {n} of some, and {n * 7} more" for n in range(40)]
SHAPE = Shape(hidden_size=16, layers=1, heads=2, kv_heads=1, head_dim=8, mlp=24, positions=64)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 320)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Model:
    return fresh(SHAPE.config(tokenizer), 0, tokenizer)


@pytest.fixture(scope="module")
def shards(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder: Path = tmp_path_factory.mktemp("shards")
    documents = [
        Document(text=text, source="ab"[n % 2], origin="", labels={"field": "stem" if n % 3 else "general"})
        for n, text in enumerate(TEXTS)
    ]
    write(documents, tokenizer, folder, held_out=0.3, held_out_sources=["b"])
    return Shards.open(folder, tokenizer)


def test_every_byte_but_those_of_first_ids_counts_once(model: Model, tokenizer: Tokenizer, shards: Shards) -> None:
    measured = measure(model, tokenizer, shards, sequence=64, ids=10**6)
    held = [t for t, h in zip(TEXTS, shards.documents["held"], strict=True) if h]
    first = sum(len(tokenizer.token_bytes(tokenizer.encode(t)[0])) for t in held)
    assert sum(b.bytes for b in measured) == sum(map(len, held)) - first
    assert sum(b.ids for b in measured) == sum(len(tokenizer.encode(t)) - 1 for t in held)
    again = measure(model, tokenizer, shards, sequence=64, ids=10**6, max_tokens=70)
    assert [b.nats for b in again] == pytest.approx([b.nats for b in measured], rel=1e-5)
    [whole] = [line for line in table(measured) if line.name == "all"]
    nats = 0.0
    for text in held:
        [scored] = scores(model, [np.array(tokenizer.encode(text), np.int32)])
        nats -= float(scored.logprobs.sum())
    assert whole.bits_per_byte == pytest.approx(nats / math.log(2) / whole.bytes, rel=1e-5)


def test_a_part_of_each_kind_is_enough(model: Model, tokenizer: Tokenizer, shards: Shards) -> None:
    few = measure(model, tokenizer, shards, sequence=64, ids=60)
    assert len(few) == len(shards.groups) and all(b.ids <= 80 for b in few) and sum(b.ids for b in few) > 100


def test_the_table_has_fields_languages_and_unseen_sources() -> None:
    def bits(source: str, language: str, field: str, unseen: bool, nats: float) -> Bits:
        group = Group(source, language, (("field", field),))
        return Bits(group=group, unseen=unseen, ids=10, bytes=100, nats=nats)

    lines = {
        line.name: line.bits_per_byte * math.log(2)
        for line in table([
            bits("a", "eng_Latn", "stem", False, 100), bits("b", "eng_Latn", "general", True, 200),
            bits("a", "swh_Latn", "general", False, 300),
        ])
    }  # fmt: skip
    assert lines == pytest.approx({
        "all": 2, "stem": 1, "general": 2.5, "unseen source: general": 2, "eng_Latn": 1.5, "swh_Latn": 3
    })  # fmt: skip
