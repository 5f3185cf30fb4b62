"""Packing: the loss of samples side by side is the sum of their own losses, whatever their lengths."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.train.batch import check, micro_batches, pack
from ponder.train.loss import LossSettings
from ponder.train.step import StepSettings, Trainer
from ponder.train.weights import normalise

LOSS = LossSettings(kappa=0.1, beta=0.5)
TRAINERS = [
    Trainer(tiny.model(config), StepSettings(loss=loss), Path("unused"))
    for config in (tiny.DENSE, tiny.MOE)
    for loss in (LOSS, LossSettings(ratio="sequence"))
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=5), st.integers(0, 99), st.sampled_from(TRAINERS))
def test_packed_equals_unpacked(lengths: list[int], seed: int, trainer: Trainer) -> None:
    samples = normalise(tiny.samples(lengths, seed, top=3), "token")
    results = []
    for parts in ([samples], [[s] for s in samples]):
        trainer.optimiser.zero()
        loss = 0.0
        for part in parts:
            value, _ = trainer.loss(pack(part))
            value.backward()
            loss += value.item()
        results.append((loss, tiny.gradients(trainer.parameters)))
    (a, grads_a), (b, grads_b) = results
    assert a == pytest.approx(b, abs=1e-6, rel=1e-6)  # k3 of random log-probs is large
    for name in grads_a:
        longest = float(grads_b[name].abs().max())
        assert (grads_a[name] - grads_b[name]).abs().max() <= 1e-6 + 1e-5 * longest, name


def test_what_a_pack_holds() -> None:
    one = Sample.of([5, 6, 7], ce=[0, 0, 1], kl=[0, 1, 0], teacher_ids=[[1], [2], [3]], teacher_logprobs=[[-1.0]] * 3)
    two = Sample.of([8, 9], rl=[0, 0.5], advantage=[0, 2], behaviour=[0, -1])
    p = pack([one, two])
    assert p.ids.tolist() == [5, 6, 8] and p.batch.positions.tolist() == [0, 1, 0]
    assert p.rows.tolist() == [1, 2] and p.targets.tolist() == [7, 9] and p.sequence.tolist() == [0, 1]
    assert p.ce.tolist() == [1, 0] and p.rl.tolist() == [0, 0.5] and p.behaviour.tolist() == [0, -1]
    assert p.taught.tolist() == [0] and p.kl.tolist() == [1] and p.batch.logit_rows.tolist() == [0, 1, 2]
    assert p.teacher_ids is not None and p.teacher_ids.tolist() == [[2]]


@given(st.lists(st.integers(2, 20), min_size=1, max_size=30))
@settings(deadline=None)
def test_micro_batches_hold_everything_once(lengths: list[int]) -> None:
    samples = [Sample.of(np.arange(n), ce=1.0) for n in lengths]
    parts = micro_batches(samples, 20)
    assert all(sum(len(s) for s in part) <= 20 for part in parts)
    assert sorted(id(s) for part in parts for s in part) == sorted(map(id, samples))


def test_what_does_not_fit_is_refused() -> None:
    long, short = Sample.of(np.arange(9), ce=1.0), Sample.of([1, 2], ce=1.0)
    with pytest.raises(UserError, match="9 ids and a micro-batch holds 8"):
        micro_batches([short, long], 8)
    with pytest.raises(UserError, match="another tokenizer"):
        check([long], vocab_size=8, positions=99)
    with pytest.raises(UserError, match="7 positions"):
        check([long], vocab_size=99, positions=7)
    check([long], vocab_size=9, positions=8)
    said = {"teacher_ids": [[1], [2]], "teacher_logprobs": [[-1.0], [-1.0]]}
    with pytest.raises(UserError, match="same in all samples"):
        pack([Sample.of([1, 2], kl=1.0, **said), Sample.of([1, 2], kl=1.0)])
    with pytest.raises(UserError, match="some not"):
        pack([Sample.of([1, 2], rl=1.0, reference=[0, -1]), Sample.of([1, 2], rl=1.0)])


def test_a_teacher_with_another_vocabulary_is_refused() -> None:
    teacher = tiny.model(replace(tiny.DENSE, vocab_size=30))
    trainer = Trainer(tiny.model(), StepSettings(), Path("unused"), teacher=teacher)
    with pytest.raises(UserError, match="one vocabulary"):
        trainer.loss(pack([Sample.of([1, 2], kl=1.0)]))
