"""The forward pass against transformers: every kind of model, every op set, every way of feeding it."""

from pathlib import Path

import hf_oracle as oracle
import numpy as np
import pytest
from transformers import PreTrainedModel

from ponder.core.batch import Batch
from ponder.model.load import load
from ponder.model.model import Model

OPS = ["numpy", "native", "torch"]
SEQS = oracle.sequences(90, 1, 33, 17)


@pytest.fixture(scope="module", params=oracle.MODELS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return oracle.save(request.param, folder), folder


@pytest.fixture(params=OPS)
def pair(request: pytest.FixtureRequest, saved: tuple[PreTrainedModel, Path]) -> tuple[PreTrainedModel, Model]:
    return saved[0], load(saved[1], ops=request.param)


def test_prefill_of_one(pair: tuple[PreTrainedModel, Model]) -> None:
    hf, model = pair
    got = oracle.to_numpy(model.forward(np.array(SEQS[0], np.int32), Batch.packed([len(SEQS[0])])))
    assert oracle.relative(got, oracle.hf_logits(hf, SEQS[0])) < 1e-4


def test_packed_with_others(pair: tuple[PreTrainedModel, Model]) -> None:
    hf, model = pair
    lengths = [len(s) for s in SEQS]
    ids = np.array([i for s in SEQS for i in s], np.int32)
    got = np.split(oracle.to_numpy(model.forward(ids, Batch.packed(lengths))), np.cumsum(lengths)[:-1])
    for one, seq in zip(got, SEQS):
        assert oracle.relative(one, oracle.hf_logits(hf, seq)) < 1e-4
    last = oracle.to_numpy(model.forward(ids, Batch.packed(lengths, all_logits=False)))
    assert oracle.relative(last, np.stack([one[-1] for one in got])) < 1e-6


def test_chunked_prefill_and_paged_decode(pair: tuple[PreTrainedModel, Model]) -> None:
    hf, model = pair
    for alone in SEQS[:1], SEQS:
        for got, seq in zip(oracle.paged_logits(model, alone), alone):
            assert oracle.relative(got, oracle.hf_logits(hf, seq)) < 1e-4


def test_hidden_states_are_what_the_head_reads(pair: tuple[PreTrainedModel, Model]) -> None:
    hf, model = pair
    hidden = oracle.to_numpy(model.hidden_states(np.array(SEQS[2], np.int32), Batch.packed([len(SEQS[2])])))
    head = hf.get_output_embeddings().weight.detach().numpy()
    assert oracle.relative(hidden @ head.T, oracle.hf_logits(hf, SEQS[2])) < 1e-4


def test_bf16_cache(pair: tuple[PreTrainedModel, Model]) -> None:
    """Near, and not equal: the rounding is there. A tie between two experts may flip, so nine tokens in ten."""
    hf, model = pair
    got, want = oracle.paged_logits(model, SEQS[:1], dtype="bf16")[0], oracle.hf_logits(hf, SEQS[0])
    error = np.abs(got - want).max(axis=1) / np.abs(want).max()  # [T]
    assert error.max() > 1e-5
    assert np.quantile(error, 0.9) < 2e-2


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8", "int4"])
def test_native_bits_do_not_depend_on_the_batch(saved: tuple[PreTrainedModel, Path], dtype: str) -> None:
    """DT-1: other chunks, other cache blocks, other neighbours."""
    model = load(saved[1], dtype=dtype)
    together = oracle.paged_logits(model, SEQS)
    for got, seq, seed in zip(together, SEQS, (11, 12, 13, 14)):
        np.testing.assert_array_equal(got, oracle.paged_logits(model, [seq], block_size=8, seed=seed)[0])
