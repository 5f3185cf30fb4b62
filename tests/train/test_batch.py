"""Packing: the loss of samples side by side is the sum of their own losses, whatever their lengths."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
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


def same_gradients(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Up to the rounding of the largest: attention to a single id has a gradient of nothing else."""
    largest = max(1.0, *(float(g.abs().max()) for g in wanted.values()))
    for name in wanted:
        longest = float(wanted[name].abs().max())
        assert (found[name] - wanted[name]).abs().max() <= 1e-6 * largest + 1e-5 * longest, name


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
    same_gradients(grads_a, grads_b)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=8),
    st.integers(0, 99), st.sampled_from(TRAINERS), st.booleans(),
)  # fmt: skip
def test_a_shared_prompt_is_learned_from_as_often_as_it_is_asked(
    answers: list[tuple[int, int]], seed: int, trainer: Trainer, fill: bool
) -> None:
    """Answers to four prompts in any order, with ids between them that the model did not write: the loss, balance
    included, and all gradients are those of whole samples."""
    fill = fill and not trainer.model.config.num_experts
    samples = normalise(_answers(answers, seed), "token")
    packs = [pack(samples), pack(samples, share=True, fill=fill)]
    results = []
    for packed in packs:
        trainer.optimiser.zero()
        value, _ = trainer.loss(packed, trainer._balance(samples))
        value.backward()
        results.append((value.item(), tiny.gradients(trainer.parameters)))
    (a, grads_a), (b, grads_b) = results
    assert a == pytest.approx(b, abs=1e-6, rel=1e-6)
    same_gradients(grads_a, grads_b)


def _answers(answers: list[tuple[int, int]], seed: int) -> list[Sample]:
    prompts = [np.arange(4, 9), np.arange(9, 13), np.arange(4, 6), np.arange(1)]  # the third begins as the first
    samples = []
    for (which, _), drawn in zip(answers, tiny.samples([1 + n for _, n in answers], seed, top=3), strict=True):
        prompt = prompts[which]

        def behind(stream: np.ndarray, prompt: np.ndarray = prompt) -> np.ndarray:
            return np.concatenate([np.zeros((len(prompt), *stream.shape[1:]), stream.dtype), stream[1:]])

        streams = {name: behind(stream) for name, stream in vars(drawn).items()}
        samples.append(Sample.of(**streams | {"ids": np.concatenate([prompt, drawn.ids[1:]])}))
    return samples


def test_what_a_pack_with_shared_prompts_holds() -> None:
    """Rows: prompt 5 6, answer 7; answer 8 9; all of 5 3 4, since prompt 5 is another; two to fill."""
    samples = [Sample.of([*p, *a, 1], rl=[0] * len(p) + [1] * len(a) + [1]) for p, a in
               (([5, 6], [7]), ([5, 6], [8, 9]), ([5], [3, 4]))]  # fmt: skip
    p = pack(samples, share=True)
    assert p.ids.tolist() == [5, 6, 7, 8, 9, 5, 3, 4] and p.batch.positions.tolist() == [0, 1, 2, 2, 3, 0, 1, 2]
    assert p.batch.starts.tolist() == [0, 3, 7, 10] and p.batch.shared is not None
    assert p.batch.shared.tolist() == [0, 1, 2, 0, 1, 3, 4, 5, 6, 7]
    assert p.rows.tolist() == p.wanted.tolist() == [1, 2, 1, 3, 4, 5, 6, 7] and p.targets.tolist() == [
        7,
        1,
        8,
        9,
        1,
        3,
        4,
        1,
    ]
    assert p.batch.logit_rows.tolist() == list(range(1, 8))


def test_a_filled_pack_has_one_of_few_sizes_once_prompts_are_shared() -> None:
    samples = [Sample.of([*range(40), n, n], rl=[0.0] * 40 + [1.0, 1.0]) for n in range(3)]  # 41 places each, 43 rows
    p = pack(samples, share=True, fill=True)
    assert len(p.ids) == len(p.batch.positions) == 44 and p.batch.shared is not None
    assert p.batch.starts.tolist() == [0, 41, 82, 123, 124] and p.batch.shared[-1] == 43


def test_prompts_are_not_shared_where_little_is_saved() -> None:
    samples = [Sample.of([1, *range(3, 3 + n)], ce=1.0) for n in (20, 30)]
    assert pack(samples, share=True).batch.shared is None and len(pack(samples, share=True).ids) == 50


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


def test_micro_batches_keep_a_group_together() -> None:
    """Of four prompts two fit into a list, whatever the lengths of their answers."""
    samples = [Sample.of([*[prompt] * 4, *range(n)], rl=[0.0] * 4 + [1.0] * n)
               for n in (1, 2, 3, 4, 5) for prompt in range(4)]  # fmt: skip
    parts = micro_batches(samples, 70)
    assert [sorted({int(s.ids[0]) for s in part}) for part in parts] == [[0, 1], [2, 3]]
    assert [len(pack(part, share=True).ids) for part in parts] == [2 * 4 + 2 * (0 + 1 + 2 + 3 + 4)] * 2


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


def test_a_teacher_reads_a_shared_prompt_once() -> None:
    trainer = Trainer(tiny.model(), StepSettings(), Path("unused"), teacher=tiny.model(seed=1))
    samples = normalise([Sample.of([*range(2, 9), n], kl=[0.0] * 6 + [1.0, 1.0]) for n in range(3)], "token")
    packs = [pack(samples, share=share) for share in (False, True)]
    assert [len(p.ids) for p in packs] == [21, 9]
    with torch.no_grad():
        whole, shared = (trainer.loss(p)[0].item() for p in packs)
    assert shared == pytest.approx(whole, abs=1e-6) and whole > 0
