"""The fused pieces against their formulas in float64, on every instruction set, for any number of threads."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ponder.kernels import native
from ponder.model.torch import fused
from ponder.model.torch.functions import RmsNorm, Rope
from ponder.model.torch.head import row_losses, row_losses_back


@pytest.fixture(params=native.available_isas(), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.isa()
    yield native.set_isa(request.param)
    native.set_isa(before)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)


def rms_norm(x: Tensor, w: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * w


def turned(x: Tensor, angle: Tensor) -> Tensor:
    (a, b), cos, sin = x.chunk(2, -1), angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    out = []
    for q1, k1, v1 in zip(*(a.split(lengths) for a in (q, k, v))):
        k1, v1 = (a.repeat_interleave(q.shape[1] // k.shape[1], 1) for a in (k1, v1))
        later = torch.ones(len(q1), len(q1), dtype=torch.bool).triu(1)
        scores = torch.einsum("thc,shc->hts", q1, k1) / q.shape[2] ** 0.5
        out.append(torch.einsum("hts,shc->thc", scores.masked_fill(later, -torch.inf).softmax(-1), v1))
    return torch.cat(out)


def starts(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).int()


LENGTHS = [[1], [5, 0, 64, 1, 130], [300]]
ANGLE = torch.rand(40, 1, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]] = {
    "norm of rows": (lambda x, w: RmsNorm.apply(x, w, 1e-6), rms_norm, [normal(40, 70), normal(70)]),
    "norm of heads": (lambda x, w: RmsNorm.apply(x, w, 1e-6), rms_norm, [normal(300, 3, 32), normal(32)]),
    "rope": (
        lambda x: Rope.apply(x, ANGLE.cos().float(), ANGLE.sin().float()),
        lambda x: turned(x, ANGLE), [normal(40, 3, 18)],
    ),
    "swiglu": (fused.SwiGlu.apply, lambda g, u: torch.nn.functional.silu(g) * u, [4 * normal(50, 37), normal(50, 37)]),
    **{
        f"attention {lengths} {heads} {kv} {c}": (
            lambda q, k, v, n=lengths: fused.Attention.apply(q, k, v, starts(n)),
            lambda q, k, v, n=lengths: attend(q, k, v, n),
            [normal(sum(lengths), h, c, seed=i) for i, h in enumerate((heads, kv, kv))],
        )
        for lengths in LENGTHS
        for heads, kv, c in [(4, 2, 16), (3, 3, 10), (2, 1, 64)]
    },
}  # fmt: skip


def gradients(function: Callable[..., Tensor], inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    leaves = [a.to(dtype).requires_grad_() for a in inputs]
    out = function(*leaves)
    weights = normal(*out.shape, seed=9)
    return [out, *torch.autograd.grad(out, leaves, weights.to(dtype))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case: str, dtype: torch.dtype) -> None:
    function, formula, inputs = CASES[case]
    inputs = [a.to(dtype).double() for a in inputs]  # what bfloat16 can hold, so that only the arithmetic differs
    tolerance = 4e-6 if dtype == torch.float32 else 2e-2
    for got, want in zip(gradients(function, inputs, dtype), gradients(formula, inputs, torch.float64)):
        assert got.dtype == dtype and got.shape == want.shape
        assert (got.double() - want).abs().max() <= tolerance * max(1, want.abs().max())


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_for_any_number_of_threads(case: str) -> None:
    function, _, inputs = CASES[case]
    before, pool = torch.get_num_threads(), native.threads()
    made: list[list[Tensor]] = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            native.set_threads(threads)
            made.append(gradients(function, inputs, torch.float32))
    finally:
        torch.set_num_threads(before)
        native.set_threads(pool)
    for other in made[1:]:
        for a, b in zip(made[0], other):
            assert torch.equal(a, b)


@pytest.mark.parametrize("words", [3, 16, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_losses_of_rows(words: int, dtype: torch.dtype) -> None:
    z = (5 * normal(20, words)).to(dtype)
    targets = torch.randint(words, (20,), generator=torch.Generator().manual_seed(1))
    got, want = fused.row_losses(z, targets), row_losses(z, targets)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    d_logprob, d_entropy = normal(20).float(), normal(21)[:20].float()
    for d in (None, d_entropy):
        back = [f(z, targets, *want[1:], d_logprob, d) for f in (fused.row_losses_back, row_losses_back)]
        assert back[0].dtype == dtype
        torch.testing.assert_close(*back, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-5)


def test_a_number_that_is_none_stays_visible() -> None:
    x = normal(4, 32).float()
    x[1, 3] = torch.nan
    assert RmsNorm.apply(x, torch.ones(32), 1e-6).isnan().any(1).tolist() == [False, True, False, False]
    assert fused.row_losses(x, torch.zeros(4, dtype=torch.long))[0].isnan().tolist() == [False, True, False, False]
    assert RmsNorm.apply(x.bfloat16(), torch.ones(32).bfloat16(), 1e-6).isnan().sum() == 32


@pytest.mark.parametrize("wrong", ["target", "shape", "starts"])
def test_nothing_is_read_outside_its_array(wrong: str) -> None:
    one: dict[str, Any] = {
        "target": lambda: fused.row_losses(torch.zeros(2, 5), torch.tensor([0, 5])),
        "shape": lambda: fused.SwiGlu.apply(torch.zeros(2, 5), torch.zeros(2, 6)),
        "starts": lambda: fused.Attention.apply(*(torch.zeros(4, 2, 8) for _ in "qkv"), starts([5])),
    }
    with pytest.raises(ValueError):
        one[wrong]()
