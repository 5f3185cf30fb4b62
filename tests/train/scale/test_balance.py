"""The balance loss of a mixture: transformers' value and gradient, exactly 1 where all is even, only learned ids."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.model.load import load, make_ops
from ponder.model.torch.modules import Decoder
from ponder.model.torch.ops import TorchOps
from ponder.model.weights.build import build, random_checkpoint
from ponder.train.batch import pack
from ponder.train.recipe.graph import run
from ponder.train.recipe.read import recipe_of
from ponder.train.record.metrics import read
from ponder.train.scale.balance import Balance, BalanceSettings, balance, choices
from ponder.train.step import StepSettings, Trainer
from ponder.train.weights import normalise
from recipes import SHAPE, base, recipe, text, tokenizer

E, K = 4, 2


def scores(layers: int, rows: int, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, E, generator=draw).requires_grad_() for _ in range(layers)]


def term(kind: str, rows: int) -> Balance:
    return Balance(BalanceSettings(kind=kind), TorchOps(), K, rows, together=False)  # type: ignore[arg-type]


def test_value_and_gradient_are_those_of_transformers() -> None:
    """Which lays all layers together and counts a choice once for each of the k: layer by layer it is k times ours."""
    ours, theirs = scores(3, 40), scores(3, 40)
    learned = torch.arange(40) % 3 > 0
    loss = term("global", int(learned.sum())).loss(ours, learned.nonzero()[:, 0])
    mask = learned[None].long()
    their = sum(load_balancing_loss_func((s,), E, K, mask) for s in theirs) / (3 * K)
    torch.testing.assert_close(loss, their)
    loss.backward()
    their.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
        assert a.grad is not None and (a.grad[~learned] == 0).all()  # nobody learns from these


@pytest.mark.parametrize("kind", ["global", "micro"])
def test_even_probabilities_give_exactly_one(kind: str) -> None:
    assert term(kind, 24).loss([torch.zeros(24, E)] * 2, torch.arange(24)).item() == 1.0


def test_one_expert_for_all_gives_the_number_of_experts() -> None:
    logits = torch.full((1, 8, E), -100.0)
    logits[..., 2] = 100
    assert balance(choices(TorchOps(), logits, 1), logits).item() / 8 == pytest.approx(E)


def test_global_is_the_loss_of_the_ids_so_far_and_micro_that_of_each_part() -> None:
    """Each expert is used by one half of the ids alone: even over the step, uneven in its parts."""
    half = torch.tensor([[9.0, 9.0, 0.0, 0.0]]).repeat(6, 1)
    parts, rows = [half, half.flip(1)], torch.arange(6)
    whole = term("global", 12).loss([torch.cat(parts)], torch.arange(12)).item()
    global_, micro = term("global", 12), term("micro", 12)
    first, second = (global_.loss([part], rows).item() for part in parts)
    apart = [micro.loss([part], rows).item() for part in parts]
    assert whole == pytest.approx(1, abs=1e-6)
    assert first == pytest.approx(1, abs=1e-3) and second == pytest.approx(0.5, abs=1e-3)
    assert apart == pytest.approx([1, 1], abs=1e-3)  # each is twice as uneven, and half of the step
    assert global_.loads() == micro.loads() == [1.0]


def test_none_counts_and_asks_for_nothing() -> None:
    none = term("none", 8)
    [given] = scores(1, 8)
    assert none.loss([given], torch.arange(8)).item() == 0
    assert none.counts is not None and none.counts.sum() == 8 * K and none.loads()[0] >= 1


def test_finite_differences_through_the_router(tmp_path: Path) -> None:
    """The whole loss, mixed experts and balance, against the gradient of each router's weights."""
    settings = StepSettings(balance=BalanceSettings(weight=0.3))
    trainer = Trainer(tiny.model(tiny.MOE), settings, tmp_path)
    samples = normalise([Sample.of(np.arange(9) * 5 % tiny.WORDS, ce=1.0)], "token")
    packed = pack(samples)

    def loss() -> Tensor:
        return trainer.loss(packed, trainer._balance(samples))[0]

    loss().backward()
    for layer in (0, 1):
        gate = trainer.decoder.get_parameter(f"model.layers.{layer}.mlp.gate.weight")
        assert gate.grad is not None
        length, found = gate.grad.norm(), []
        way = 0.01 * gate.grad / length
        for sign in (1, -1):
            with torch.no_grad():
                gate.add_(sign * way)
                found.append(loss().item())
                gate.sub_(sign * way)
        assert (found[0] - found[1]) / 0.02 == pytest.approx(length.item(), rel=5e-3)
    plain = gate.grad.clone()
    gate.grad = None
    trainer.settings = replace(settings, balance=BalanceSettings(kind="none"))
    loss().backward()
    assert not torch.allclose(gate.grad, plain)


def test_a_step_reports_loads_and_is_the_same_in_parts(tmp_path: Path) -> None:
    """micro depends on the parts, the rest does not: with one part per balance all agree."""
    samples = normalise(tiny.samples([12, 7, 8, 12]), "token")
    reports = [
        Trainer(tiny.model(tiny.MOE), StepSettings(balance=BalanceSettings(weight=0.1)), tmp_path).step(samples, 0.0),
        Trainer(tiny.model(tiny.MOE), StepSettings(balance=BalanceSettings(kind="micro", weight=0.1)), tmp_path).step(
            samples, 0.0
        ),
    ]
    none = StepSettings(balance=BalanceSettings(kind="none"), max_tokens=12)
    apart = Trainer(tiny.model(tiny.MOE), none, tmp_path).step(samples, 0.0)
    assert reports[0] == reports[1]
    one = reports[0].metrics
    assert one["load"] == pytest.approx((one["load_0"] + one["load_1"]) / 2) and one["load"] > 1
    assert reports[0].loss == pytest.approx(apart.loss + 0.1 * one["balance"], abs=1e-6)
    assert {n: apart.metrics[n] for n in ("load_0", "load_1")} == {n: one[n] for n in ("load_0", "load_1")}


def test_the_balance_loss_evens_the_loads(tmp_path: Path) -> None:
    loads = {}
    for kind in ("global", "none"):
        settings = StepSettings(balance=BalanceSettings(kind=kind, weight=1.0))  # type: ignore[arg-type]
        trainer = Trainer(tiny.model(tiny.MOE), settings, tmp_path)
        samples = normalise(tiny.samples([12] * 8), "token")
        loads[kind] = [trainer.step(samples, 3e-3).metrics["load"] for _ in range(30)][-1]
    assert loads["global"] < 1.15 < loads["none"]


@pytest.mark.parametrize(("wrong", "said"), [({"kind": "even"}, "global, micro or none"), ({"weight": -1.0}, "0 or")])
def test_what_cannot_be_is_said(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        BalanceSettings(**wrong)  # type: ignore[arg-type]


def test_a_recipe_makes_a_mixture(tmp_path: Path) -> None:
    shape = SHAPE | {"experts": 4, "experts_per_token": 2, "expert_mlp": 32}
    *_, node = run(recipe_of(recipe(text(), tokenizer(), base(model=shape, steps=2)), "test"), tmp_path)
    assert load(node.folder / "model", dtype="f32", ops="numpy").config.num_experts == 4
    for line in read(node.folder / "metrics.jsonl"):
        assert 1 <= line["balance"] < 4 and 1 <= min(line["load_0"], line["load_1"]) <= line["load"] <= 4


def test_the_router_of_a_model_in_bfloat16_computes_in_float32() -> None:
    model = build(random_checkpoint(tiny.MOE, seed=0), make_ops("torch"), "bf16")
    logprob, _, scores = Decoder(model)(np.arange(8), Batch.packed([8]), np.arange(8))
    assert {s.dtype for s in scores} == {torch.float32} and model.weights["model.norm.weight"].dtype == torch.float32
    logprob.sum().backward()
