"""Dual chunk attention: torch equals the oracle, short texts are as ever, and no distance is longer than trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.model.dual_chunk import Chunks, DualChunkReference
from ponder.model.load import make_ops
from ponder.model.torch.dual_chunk import dual_chunk
from ponder.model.weights.build import build, random_checkpoint
from tests.train.tiny import DENSE

CHUNKS = Chunks(12, 3, 16)  # chunks of 9


def states(kind: str, chunks: Chunks | None, lengths: list[int]) -> np.ndarray:
    model = build(random_checkpoint(DENSE, seed=0, noisy=True), make_ops(kind))
    if chunks is not None and kind == "torch":
        model = dual_chunk(model, chunks)
    elif chunks is not None:
        model = replace(model, ops=DualChunkReference(chunks, model.rope))
    batch = Batch.packed(lengths)
    ids = np.random.default_rng(1).integers(0, DENSE.vocab_size, len(batch.positions)).astype(np.int32)
    with torch.no_grad():
        return np.asarray(model.hidden_states(ids, batch))


def test_torch_equals_the_oracle() -> None:
    lengths = [64, 3, 9, 10, 41]
    np.testing.assert_allclose(states("torch", CHUNKS, lengths), states("numpy", CHUNKS, lengths), atol=2e-5)


def test_a_text_of_one_chunk_is_as_ever_and_a_longer_one_is_not() -> None:
    np.testing.assert_allclose(states("torch", CHUNKS, [9]), states("torch", None, [9]), atol=1e-5)
    assert np.abs(states("torch", CHUNKS, [40]) - states("torch", None, [40])).max() > 1e-2


def test_distances_by_hand() -> None:
    own, before, far = CHUNKS.places(np.arange(30, dtype=np.int32))
    assert own[[0, 8, 9, 20]].tolist() == [0, 8, 0, 2]
    assert (before - own[0])[[9, 11, 12, 17]].tolist() == [9, 11, 12, 12]  # true up to the size
    assert {12} == set(far.tolist()) and max(before) == 12  # the farthest that there is
    # the last token of a chunk and the first of the next one
    assert before[9] - own[8] == 1


def test_scores_are_sharpened_behind_the_trained_length_only() -> None:
    sharp = CHUNKS.sharpness(np.array([0, 15, 31, 63], np.int32))
    assert sharp.tolist() == pytest.approx([1, 1, 1.0693147, 1.1386294])


def test_chunks_for_a_trained_length() -> None:
    assert Chunks.of(1024) == Chunks(768, 256, 1024)
    with pytest.raises(UserError, match="0 < local < size < trained"):
        Chunks(16, 3, 16)
