"""A key counts where greedy decoding would say it, and each way of reading is the one that it says it is."""

from dataclasses import replace

import numpy as np
import pytest

from ponder.core.sample import Ints
from ponder.data.tokenizer import train_tokenizer
from ponder.model.dual_chunk import Chunks
from ponder.model.model import Model
from ponder.model.torch.dual_chunk import dual_chunk
from ponder.tasks.retrieval import RETRIEVAL
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.base import lengths
from ponder.train.base.lengths import retrieve
from ponder.train.base.score import scores
from ponder.train.stages.pretrain import Shape, fresh, stretched

SHAPE = Shape(hidden_size=16, layers=1, heads=2, kv_heads=1, head_dim=8, mlp=24, positions=128)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([RETRIEVAL.question("12 3 4821 0")], 330, symbols=RETRIEVAL.symbols)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Model:
    return fresh(SHAPE.config(tokenizer), 0, tokenizer)


def test_each_length_is_read_in_each_way(model: Model, tokenizer: Tokenizer) -> None:
    found = list(retrieve(model, tokenizer, [128, 256], 3, seed=0))
    assert [(f.length, f.way, f.problems) for f in found] == [
        (n, way, 3) for n in (128, 256) for way in ("plain", "yarn", "dca")
    ]
    plain, yarn, dca = (f.nats for f in found[3:])
    assert plain != yarn != dca != plain  # beyond the trained length they differ
    assert found[0].nats == found[1].nats  # and at it yarn changes nothing


def test_the_ids_of_the_key_are_what_is_asked(model: Model, tokenizer: Tokenizer, monkeypatch) -> None:
    seen: list[tuple[list[Ints], int]] = []

    def knows(model: Model, texts: list[Ints], *, factor: float, last: int):
        seen.append((texts, last))
        for n, scored in enumerate(scores(model, texts, factor=factor, last=last)):
            yield scored._replace(greedy=np.ones(last, bool) if n % 2 else scored.greedy & False)

    monkeypatch.setattr(lengths, "scores", knows)
    [found] = retrieve(model, tokenizer, [200], 4, seed=0, ways=["plain"])
    assert (found.right, found.share) == (2, 0.5)
    [(texts, last)] = seen
    assert last == 4
    for ids in texts:
        text = tokenizer.decode(ids.tolist())
        assert len(ids) <= 200 and f"The key is {text[-4:]}." in text


def test_whoever_waits_hears_of_each_text(model: Model, tokenizer: Tokenizer) -> None:
    seen: list[None] = []
    list(retrieve(model, tokenizer, [64, 100], 2, seed=0, tick=lambda: seen.append(None)))
    assert len(seen) == 2 * 2 * 3  # lengths, problems, ways


def test_scores_of_the_last_ids_are_those_of_all(model: Model) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 250, n).astype(np.int32) for n in (9, 30, 5)]
    whole = list(scores(model, texts))
    for some, all_ in zip(scores(model, texts, last=3, max_tokens=12), whole, strict=True):
        np.testing.assert_allclose(some.logprobs, all_.logprobs[-3:], atol=1e-5)
        assert some.greedy.shape == (3,) and not len(all_.greedy)


def test_a_model_whose_base_was_changed_reads_otherwise(model: Model) -> None:
    ids = [np.arange(40, dtype=np.int32)]
    other = stretched(model, 10_000.0, 512)
    assert other.max_context == 512 and other.weights is model.weights
    [a], [b] = scores(model, ids), scores(other, ids)
    assert np.abs(a.logprobs - b.logprobs).max() > 1e-6
    [c] = scores(replace(dual_chunk(other, Chunks.of(512))), ids)
    np.testing.assert_allclose(c.logprobs, b.logprobs, atol=1e-4)
