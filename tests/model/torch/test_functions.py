"""Each autograd function against its formula, attention against plain attention of one sequence after the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ponder.core.batch import Batch
from ponder.model.torch import experts, fused
from ponder.model.torch.attention import packed_attention
from ponder.model.torch.functions import RmsNorm, Rope
from ponder.model.torch.packing import pack


@pytest.fixture(params=["ours", "torch's"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's: what other devices and torch.compile take."""
    if request.param == "torch's":
        monkeypatch.setattr(fused, "fits", lambda x: False)


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))
    return made.to(dtype).requires_grad_()


def close(got: Tensor, want: Tensor, inputs: list[Tensor], tolerance: float) -> None:
    """Values, and gradients of a random sum of them, within a tolerance of the largest, or of 1."""
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(9)).to(got.dtype)
    pairs = [(got, want), *zip(*(torch.autograd.grad(y, inputs, weights.to(y.dtype)) for y in (got, want)))]
    for a, b in pairs:
        assert (a.float() - b.float()).abs().max() <= tolerance * max(1, b.float().abs().max())


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("shape", [(40, 64), (40, 3, 32), (1, 7)])
def test_rms_norm(shape: tuple[int, ...]) -> None:
    x, w = normal(*shape), normal(shape[-1])
    formula = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * w
    close(RmsNorm.apply(x, w, 1e-6), formula, [x, w], 3e-6)


@pytest.mark.usefixtures("kernels")
def test_rope() -> None:
    x, angle = normal(40, 3, 32), torch.rand(40, 1, 16)
    a, b = x.chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    close(Rope.apply(x, cos, sin), torch.cat([a * cos - b * sin, b * cos + a * sin], -1), [x], 1e-6)


def one_by_one(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    out = []
    for q1, k1, v1 in zip(*(a.split(lengths) for a in (q, k, v))):
        k1, v1 = (a.repeat_interleave(q.shape[1] // k.shape[1], 1) for a in (k1, v1))
        s = torch.einsum("thc,shc->hts", q1, k1) / q.shape[2] ** 0.5
        later = torch.ones(len(q1), len(q1), dtype=torch.bool).triu(1)
        out.append(torch.einsum("hts,shc->thc", s.masked_fill(later, -torch.inf).softmax(-1), v1).flatten(1))
    return torch.cat(out)


LENGTHS = [[64], [8] * 16, [1], [1] * 5, [300, 5, 17, 300, 1, 80, 33, 64], [20, 0, 20], [130, 131]]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("heads", [(4, 2), (3, 3), (4, 1)])
def test_packed_attention(lengths: list[int], heads: tuple[int, int]) -> None:
    t = sum(lengths)
    q, k, v = (normal(t, h, 16, seed=i) for i, h in enumerate((heads[0], heads[1], heads[1])))
    got = packed_attention(q, k, v, pack(Batch.packed(lengths), q.device))
    close(got, one_by_one(q, k, v, lengths), [q, k, v], 3e-6)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_packed_attention_in_bfloat16(lengths: list[int]) -> None:
    t = sum(lengths)
    q, k, v = (normal(t, h, 16, dtype=torch.bfloat16, seed=i) for i, h in enumerate((4, 2, 2)))
    got = packed_attention(q, k, v, pack(Batch.packed(lengths), q.device))
    if t > len([n for n in lengths if n]):  # a softmax over one token has no gradient
        close(got, one_by_one(q.float(), k.float(), v.float(), lengths), [q, k, v], 3e-2)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_attention_of_shared_tokens(dtype: torch.dtype) -> None:
    """Tokens 0 to 2 begin the first three sequences, 6 and 7 the last two."""
    shared = np.array([0, 1, 2, 3, 4, 0, 1, 2, 5, 0, 1, 2, 6, 7, 8, 6, 7, 9, 10, 11], np.int32)
    lengths = [5, 4, 3, 3, 5]
    batch = replace(Batch.packed(lengths), shared=shared)
    q, k, v = (normal(12, h, 16, dtype=dtype, seed=i) for i, h in enumerate((4, 2, 2)))
    got = packed_attention(q, k, v, pack(batch, q.device))
    spread = one_by_one(*(a.float()[shared] for a in (q, k, v)), lengths)
    close(got, spread[batch.first_places()], [q, k, v], 3e-6 if dtype == torch.float32 else 3e-2)


def test_rectangles_are_few_and_hold_every_token_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 2000, 300).tolist()
    packing = pack(Batch.packed(lengths), torch.device("cpu"))
    assert packing.gather is not None and packing.place is not None
    assert len(packing.shapes) <= 25 and sum(b * s for b, s in packing.shapes) < 1.2 * sum(lengths)
    assert packing.gather[packing.place].tolist() == list(range(sum(lengths)))


@pytest.mark.parametrize("skewed", [False, True])
def test_experts(skewed: bool) -> None:
    """Skewed: nearly all tokens want the first two, so grouped products; else rooms. Some experts get none."""
    x, gate_up, down = normal(50, 12), normal(6, 16, 12), normal(6, 12, 8)
    mix = normal(50, 2)
    ids = torch.stack([torch.arange(50) % 5, (torch.arange(50) + 1) % 5], 1)
    if skewed:
        ids[:45] = torch.tensor([0, 1])
    want = torch.zeros(50, 12)
    for slot in range(2):
        gate, up = torch.einsum("td,tid->ti", x, gate_up[ids[:, slot]]).chunk(2, -1)
        h = torch.nn.functional.silu(gate) * up
        want = want + mix[:, slot, None] * torch.einsum("ti,tdi->td", h, down[ids[:, slot]])
    close(experts.mixed(x, ids, mix, gate_up, down), want, [x, mix, gate_up, down], 3e-6)


def test_stacks_are_taken_apart_as_views() -> None:
    weights = {
        f"model.layers.0.mlp.experts.{e}.{name}_proj.weight": normal(*shape, seed=e)
        for e in range(3)
        for name, shape in (("gate", (4, 6)), ("up", (4, 6)), ("down", (6, 4)))
    } | {"model.norm.weight": normal(6)}
    stacks = experts.joined(dict(weights))
    assert len(stacks) == 3
    apart = experts.separate(stacks)
    assert apart.keys() == weights.keys()
    for name, weight in weights.items():
        assert torch.equal(apart[name], weight)
    apart["model.layers.0.mlp.experts.1.up_proj.weight"].data.fill_(7)
    assert (stacks["model.layers.0.mlp.experts.gate_up_proj"][1, 4:] == 7).all()
