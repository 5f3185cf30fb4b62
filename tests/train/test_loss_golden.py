"""The loss against values that the peers' own functions gave: TRL 1.16.0's (tests/train/golden) and transformers'."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streams import streams
from transformers.loss.loss_utils import ForCausalLMLoss

from ponder.core.sample import Sample
from ponder.train.batch import pack
from ponder.train.head import TopK, Whole, divergence
from ponder.train.loss import LossSettings, Streams, total
from ponder.train.rollouts.advantage import advantages
from ponder.train.weights import kind_of, normalise

GOLDEN = Path(__file__).parent / "golden"
POLICY: dict[str, Any] = json.loads((GOLDEN / "trl_grpo.json").read_text())
DISTILL: dict[str, Any] = json.loads((GOLDEN / "trl_distill.json").read_text())
LONGEST = 12  # TRL's max_completion_length in write_grpo.py


def _samples(loss_type: str) -> list[Sample]:
    """Each completion behind one id of prompt. Streams are set where TRL has log-probs, masked ids included; those
    of its random log-probs that are above 0 are put in later, since no sample may hold them."""
    mask = np.array(POLICY["mask"], np.float32)
    samples = [
        Sample.of(np.arange(mask.shape[1] + 1), rl=[0, *row], advantage=[0.0, *([adv] * len(row))])
        for row, adv in zip(mask, POLICY["adv"])
    ]
    kind = kind_of(loss_type)
    return normalise(samples, kind, length=LONGEST if kind == "constant" else None)


@pytest.mark.parametrize(
    "case", POLICY["cases"], ids=lambda c: f"{c['loss_type']}-{c['level']}-{c['beta']}" if isinstance(c, dict) else c
)
def test_policy_loss_equals_trl(case: dict[str, Any]) -> None:
    mask = torch.tensor(POLICY["mask"]) > 0
    lp = torch.tensor(POLICY["lp"], requires_grad=True)
    packed = pack(_samples(case["loss_type"]))
    given = Streams.of(packed, lp.device)._replace(
        behaviour=torch.tensor(POLICY["old"])[mask], reference=torch.tensor(POLICY["ref"])[mask]
    )
    cispo = case["loss_type"] == "cispo"
    settings = LossSettings(
        surrogate="cispo" if cispo else "ppo",
        ratio=case["level"],
        clip_high=0.28,
        cap=case["hi"] if cispo else 5.0,
        kappa=case["beta"],
    )
    loss, _ = total(lp[mask], torch.zeros(int(mask.sum())), None, given, settings)
    loss.backward()
    assert lp.grad is not None
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    assert (lp.grad - torch.tensor(case["grad"])).abs().max() <= 1e-7


def test_advantages_equal_trl() -> None:
    got = advantages(np.array(POLICY["rewards"]).reshape(2, 3))
    np.testing.assert_allclose(got.flatten(), POLICY["adv"], atol=1e-6)


@pytest.mark.parametrize("rows", [None, 3])
@pytest.mark.parametrize("case", DISTILL["cases"], ids=lambda c: f"beta-{c['beta']}")
def test_divergence_equals_trl(case: dict[str, Any], rows: int | None) -> None:
    x, head, hidden, teacher_head = (
        torch.tensor(DISTILL[k]) for k in ("student", "student_head", "teacher", "teacher_head")
    )
    x.requires_grad_()
    head.requires_grad_()
    mask = torch.tensor(DISTILL["mask"]) > 0
    d = divergence(x[mask], head, Whole(hidden[mask], teacher_head), case["beta"], rows=rows)
    n = int(mask.sum())
    loss, _ = total(d[:0], d[:0], d, streams(0, kl=torch.full((n,), 1 / n)), LossSettings(beta=case["beta"]))
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    assert x.grad is not None and head.grad is not None
    assert (x.grad - torch.tensor(case["grad"])).abs().max() <= 1e-7
    assert (head.grad - torch.tensor(case["head_grad"])).abs().max() <= 1e-7


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 4, None])
def test_divergence_equals_the_formula(beta: float, k: int | None) -> None:
    """In double precision, autograd through the plain formula; K ids and a tail class, or every id."""
    torch.manual_seed(1)
    rows, width, words = 7, 5, 11
    x, head = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((rows, width), (words, width))
    )
    hidden, teacher_head = torch.randn(rows, 3, dtype=torch.float64), torch.randn(words, 3, dtype=torch.float64)
    p, q = (x @ head.T).softmax(-1), (hidden @ teacher_head.T).softmax(-1)
    teacher: TopK | Whole = Whole(hidden, teacher_head)
    if k is not None:
        top = q.topk(k, -1).indices
        teacher = TopK(top, q.gather(-1, top).log())
        p, q = (torch.cat([a.gather(-1, top), 1 - a.gather(-1, top).sum(-1, keepdim=True)], -1) for a in (p, q))
    m = beta * q + (1 - beta) * p
    wanted = {0.0: (q * (q / p).log()).sum(-1), 1.0: (p * (p / q).log()).sum(-1)}.get(
        beta, beta * (q * (q / m).log()).sum(-1) + (1 - beta) * (p * (p / m).log()).sum(-1)
    )
    weight = torch.rand(rows, dtype=torch.float64)
    got = divergence(x, head, teacher, beta, rows=2)
    torch.testing.assert_close(got, wanted, atol=1e-12, rtol=0)
    a = torch.autograd.grad((weight * wanted).sum(), (x, head), retain_graph=True)
    b = torch.autograd.grad((weight * got).sum(), (x, head))
    torch.testing.assert_close(b, a, atol=1e-12, rtol=0)


def test_cross_entropy_equals_transformers() -> None:
    torch.manual_seed(2)
    logits, ids = torch.randn(2, 6, 13), torch.randint(13, (2, 6))
    labels = ids.clone()
    labels[0, :3] = -100  # a prompt
    logits.requires_grad_()
    wanted = ForCausalLMLoss(logits, labels, vocab_size=13)
    samples = [Sample.of(row, ce=[0, *(mark[1:] >= 0).float().tolist()]) for row, mark in zip(ids, labels)]
    packed = pack(normalise(samples, "token"))
    flat = torch.cat([sequence[:-1] for sequence in logits])[torch.from_numpy(packed.rows)]  # as pack lays them out
    logp = flat.log_softmax(-1).gather(-1, torch.from_numpy(packed.targets).long()[:, None])[:, 0]
    loss, sums = total(logp, torch.zeros_like(logp), None, Streams.of(packed, logp.device), LossSettings())
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-6)
    assert (sums["nll"][0] / sums["nll"][1]).item() == pytest.approx(wanted.item(), abs=1e-6)
    a, b = (torch.autograd.grad(v, logits, retain_graph=True)[0] for v in (wanted, loss))
    assert (a - b).abs().max() <= 1e-7
