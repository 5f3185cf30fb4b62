"""Optimiser: which parameter decays, which Muon takes, and updates equal to torch's own by hand."""

import pytest
import tiny
import torch
from torch import Tensor

from ponder.core.errors import UserError
from ponder.model.model import Model
from ponder.model.torch.modules import Decoder
from ponder.train.optim import Optimiser, OptimSettings


def parameters(model: Model) -> dict[str, Tensor]:
    return dict(Decoder(model).named_parameters())


def give_gradients(ps: dict[str, Tensor], seed: int = 0) -> None:
    torch.manual_seed(seed)
    for p in ps.values():
        p.grad = torch.randn(p.shape).to(p.dtype)


def test_groups() -> None:
    names = {
        kind: {group: {p.source for p in pieces} for group, pieces in Optimiser(
            parameters(tiny.model()), OptimSettings(kind=kind)).groups.items()}  # type: ignore[arg-type]
        for kind in ("adamw", "muon")
    }  # fmt: skip
    plain = names["adamw"]["plain"]
    assert "model.embed_tokens.weight" in plain and "model.norm.weight" in plain
    assert all(n.endswith("norm.weight") or n == "model.embed_tokens.weight" for n in plain)
    assert names["muon"]["plain"] == plain and names["muon"]["muon"] == names["adamw"]["decay"]
    assert "model.layers.0.self_attn.q_proj.weight" in names["muon"]["muon"] and not names["adamw"]["muon"]


def test_adamw_is_torchs() -> None:
    """Decay of the matrices alone, with the gradient clipped to length 1 by hand."""
    mine = parameters(tiny.model())
    theirs = {n: torch.nn.Parameter(p.detach().clone()) for n, p in mine.items()}
    optimiser = Optimiser(mine, OptimSettings())
    decayed = [p for n, p in theirs.items() if p.dim() == 2 and n != "model.embed_tokens.weight"]
    rest = [p for n, p in theirs.items() if p.dim() == 1 or n == "model.embed_tokens.weight"]
    oracle = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-2, betas=(0.9, 0.95), eps=1e-8, foreach=False,
    )  # fmt: skip
    for step in range(3):
        give_gradients(mine, step)
        length = torch.cat([p.grad.flatten() for p in mine.values()]).norm()  # type: ignore[union-attr]
        for name, p in theirs.items():
            p.grad = mine[name].grad.clone() / length  # type: ignore[union-attr]
        norm = optimiser.norm()
        assert norm == pytest.approx(length.item(), rel=1e-6)
        optimiser.step(1e-2, norm)
        oracle.step()
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], atol=1e-6, rtol=0)


def test_muon_takes_each_expert_by_itself() -> None:
    """A stack of experts becomes what torch's Muon makes of each matrix alone, gate and up apart."""
    name = "model.layers.0.mlp.experts.gate_up_proj"
    stack = torch.randn(3, 8, 6, requires_grad=True)
    alone = [torch.nn.Parameter(m.clone()) for e in stack.detach() for m in e.chunk(2)]
    optimiser = Optimiser({name: stack}, OptimSettings(kind="muon", clip=0))
    oracle = torch.optim.Muon(alone, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    stack.grad = torch.randn(stack.shape)
    for p, g in zip(alone, (m for e in stack.grad for m in e.chunk(2)), strict=True):
        p.grad = g.clone()
    optimiser.step(1e-2, 1.0)
    oracle.step()
    torch.testing.assert_close(stack.detach(), torch.cat([p.detach() for p in alone]).view(stack.shape))


def test_bf16_has_a_master_that_small_steps_reach() -> None:
    """Steps of 1e-4 on a weight of 1 are lost in bf16 (its next number is 1.0078); the master adds them up."""
    w = torch.ones(4, 4, dtype=torch.bfloat16, requires_grad=True)
    optimiser = Optimiser({"w": w}, OptimSettings(weight_decay=0.0))
    place = w.data_ptr()
    for _ in range(100):
        w.grad = torch.ones_like(w)
        optimiser.step(1e-4, optimiser.norm())
    assert optimiser.masters["w"][0, 0].item() == pytest.approx(0.99, abs=1e-4)
    assert w[0, 0].item() == pytest.approx(0.99, abs=4e-3) and w.data_ptr() == place


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_state_goes_on_to_the_same_bits(kind: str) -> None:
    settings = OptimSettings(kind=kind)  # type: ignore[arg-type]
    a = parameters(tiny.model())
    first = Optimiser(a, settings)
    for step in range(3):
        give_gradients(a, step)
        first.step(1e-2, first.norm())
    b = {n: p.detach().clone().requires_grad_() for n, p in a.items()}
    second = Optimiser(b, settings)
    blank, saved = second.state(), first.state()
    assert blank.keys() == saved.keys()
    assert all(torch.equal(a[n], b[n]) for n in a)
    for name, value in saved.items():
        blank[name].copy_(value)
    for optimiser, ps in ((first, a), (second, b)):
        give_gradients(ps, 9)
        optimiser.step(1e-2, optimiser.norm())
    assert all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("bad", [{"kind": "sgd"}, {"beta1": 1.0}, {"clip": -1.0}, {"eps": 0.0}])
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UserError):
        OptimSettings(**bad)  # type: ignore[arg-type]
