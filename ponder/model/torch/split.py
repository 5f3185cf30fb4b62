"""Weights of which this process holds a part, as the op set takes them, and the sums and exchanges they need.

Heads and MLP of a layer are divided among processes that compute on the same tokens (tensor parallelism, Megatron): q,
k, v, gate and up by their outputs, o and down by their inputs. So a layer adds up twice on the way forward, after o
and down, and twice on the way back, after the two norms. Experts are divided among processes with tokens of their own
(expert parallelism): each token travels to the processes that have its experts, and back.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable
from torch.distributed import ProcessGroup

from ponder.model.torch.experts import Spread, mixed
from ponder.model.torch.packing import Scatter

NORMS = ("input_layernorm.weight", "post_attention_layernorm.weight")
OF_HEADS = ("self_attn.q_norm.weight", "self_attn.k_norm.weight")
BY_OUTPUT = (*(f"self_attn.{n}_proj.weight" for n in "qkv"), "mlp.gate_proj.weight", "mlp.up_proj.weight")
BY_INPUT = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
STACKS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")


class Entry(NamedTuple):
    """A norm, whole, after which the parts begin: the gradients of its output add up."""

    weight: Tensor
    group: ProcessGroup


class OfHeads(NamedTuple):
    """A norm, whole, that each process uses on its own heads: its own gradients add up."""

    weight: Tensor
    group: ProcessGroup


class ByInput(NamedTuple):
    """A matrix divided by its inputs: its outputs add up."""

    weight: Tensor
    group: ProcessGroup


class Apart(NamedTuple):
    """The stack of this process's experts. share: of the processes that learn from tokens of their own, so that the
    gradient, which is of all their tokens, counts as those that are means over these processes."""

    weight: Tensor
    group: ProcessGroup
    share: float


class Split(NamedTuple):
    """How a layer is divided; a group is None where it is not."""

    tensor: ProcessGroup | None
    expert: ProcessGroup | None
    share: float
    dense: bool
    """Whether the layer has an MLP; experts are not divided by `tensor`."""

    def of(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The weights of a layer, those that need it in one of the forms above."""
        out = dict(weights)
        if self.tensor is not None:
            entries = NORMS if self.dense else NORMS[:1]
            for form, names in ((Entry, entries), (OfHeads, OF_HEADS), (ByInput, BY_INPUT)):
                out |= {name: form(out[name], self.tensor) for name in names if name in out}
        if self.expert is not None:
            out |= {name: Apart(out[name], self.expert, self.share) for name in STACKS if name in out}
        return out


class Together(torch.autograd.Function):
    """The same forward; gradients of all processes added up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _added(grad, ctx.group), None


class Summed(torch.autograd.Function):
    """Added up over the processes; gradients as they are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        return _added(x, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class Scaled(torch.autograd.Function):
    """The same forward; the gradient times a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class Exchange(torch.autograd.Function):
    """x [sum of there, D]: the first there[0] rows go to process 0, ...; gives [sum of here, D], as many from each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: list[int], here: list[int], group: ProcessGroup) -> Tensor:
        ctx.there, ctx.here, ctx.group = there, here, group
        return _exchanged(x, there, here, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _exchanged(grad, ctx.here, ctx.there, ctx.group), None, None, None


def apart(x: Tensor, ids: Tensor, weights: Tensor, gate_up: Apart, down: Apart) -> Tensor:
    """As `experts.mixed`, with a part of the experts: x [T, D], ids and weights [T, k] -> [T, D]."""
    group, processes = gate_up.group, distributed.get_world_size(gate_up.group)
    own, slots = len(gate_up.weight), ids.shape[1]
    chosen, order = ids.flatten().sort(stable=True)
    counts = torch.bincount(chosen, minlength=own * processes).view(processes, own)
    coming = torch.empty_like(counts)  # [processes, own] pairs that each sends to each expert here
    distributed.all_to_all_single(coming, counts, group=group)
    there, here = (c.sum(1).tolist() for c in (counts, coming))
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=x.device))
    got = Exchange.apply(Spread.apply(x, order // slots, place, slots), there, here, group)
    stacks = [Scaled.apply(stack.weight, stack.share) for stack in (gate_up, down)]
    if len(got):
        expert = torch.arange(own, device=x.device).repeat(processes).repeat_interleave(coming.flatten())
        done = mixed(got, expert[:, None], got.new_ones(len(got), 1), *stacks)
    else:  # nobody chose an expert of this process; their gradient is 0, and the exchange has a way back
        done = got + 0 * sum(stack.sum() for stack in stacks)
    pairs = Scatter.apply(Exchange.apply(done, here, there, group), order, place)
    return torch.bmm(weights[:, None].to(x.dtype), pairs.view(len(x), slots, -1))[:, 0]


def _added(x: Tensor, group: ProcessGroup) -> Tensor:
    x = x.contiguous().clone()
    distributed.all_reduce(x, group=group)
    return x


def _exchanged(x: Tensor, there: list[int], here: list[int], group: ProcessGroup) -> Tensor:
    out = x.new_empty(sum(here), *x.shape[1:])
    distributed.all_to_all_single(out, x.contiguous(), here, there, group=group)
    return out
