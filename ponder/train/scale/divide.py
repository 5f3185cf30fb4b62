"""A model divided among processes by a layout: heads, MLP and experts by their place, the rest by FSDP2.

Processes lie in a box [replica, expert, context, tensor]. Those that differ in `tensor` alone compute on the same
tokens, those that differ in `context` on other tokens of the same samples; all others learn from samples of their own
("readers"). Weights, gradients and moments are sharded by FSDP2 over all that have tokens of their own, but for divided
experts: each of `expert` processes has whole ones.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from msgspec.structs import replace
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor

from ponder.model.torch.modules import Decoder, Layer
from ponder.model.torch.split import BY_INPUT, BY_OUTPUT, STACKS, Split
from ponder.train.scale.layout import Layout


class Divided(NamedTuple):
    """What came of it, for this process."""

    readers: int
    """Processes with samples of their own."""
    reader: int
    """The number of this one among them."""
    layout: Layout
    shards: int
    """Processes with tokens of their own."""
    context: ProcessGroup | None
    """Of the processes that have other tokens of the same samples."""
    mesh: DeviceMesh
    stacks: list[nn.Parameter]
    """Divided experts."""
    kept: list[nn.Parameter]
    """Norms and routers of a model in bfloat16, in float32: FSDP2 shards one type, so each process has whole ones."""

    def add_up(self) -> None:
        """The gradients that FSDP2 does not see: of experts over those that have the same ones, of what is kept over
        all that have tokens of their own."""
        for name in ("replica", "context"):
            for stack in self.stacks if self.mesh[name].size() > 1 else ():
                if isinstance(stack.grad, DTensor):
                    distributed.all_reduce(stack.grad.to_local(), group=self.mesh[name].get_group())
        for p in self.kept:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            distributed.all_reduce(p.grad, group=self.mesh["shard"].get_group())
            p.grad.div_(self.shards)


def divide(decoder: Decoder, layout: Layout) -> Divided:
    """Its parameters become parts (DTensors); each layer is put together when its turn comes. Raises UserError for a
    layout that this model, or this number of processes, cannot have."""
    processes = distributed.get_world_size()
    layout.check(decoder.config, processes)
    readers, shards = processes // layout.alike, processes // layout.tensor
    box = (readers // layout.expert, layout.expert, layout.context, layout.tensor)
    mesh = init_device_mesh("cpu", box, mesh_dim_names=("replica", "expert", "context", "tensor"))
    stacks = [stack for layer in decoder.layers for stack in _divide(layer, mesh, layout, shards)]
    kept = list[nn.Parameter]()
    if shards > 1:
        kept = [p for p in decoder.parameters() if p.dtype != decoder.head.dtype]
        apart = {*stacks, *kept}
        shard = mesh["replica", "expert", "context"]._flatten("shard")
        for layer in decoder.layers:
            fully_shard(layer, mesh=shard, ignored_params=apart)
        fully_shard(decoder, mesh=shard, ignored_params=apart)
        register_fsdp_forward_method(decoder, "hidden_states")
    context = mesh["context"].get_group() if layout.context > 1 else None
    return Divided(readers, distributed.get_rank() // layout.alike, layout, shards, context, mesh, stacks, kept)


def _divide(layer: nn.Module, mesh: DeviceMesh, layout: Layout, shards: int) -> list[nn.Parameter]:
    """Heads, MLP and experts of a layer; gives the stacks of experts."""
    assert isinstance(layer, Layer)
    dense, stacks = not layer.config.is_moe_layer(layer.index), list[nn.Parameter]()
    if layout.tensor > 1:
        for names, dim in ((BY_OUTPUT, 0), (BY_INPUT, 1)):
            for name in names:
                _place(layer, name, mesh["tensor"], [Shard(dim)])
        c = layer.config
        layer.config = replace(c, num_attention_heads=c.num_attention_heads // layout.tensor,
                               num_key_value_heads=c.num_key_value_heads // layout.tensor)  # fmt: skip
    if layout.expert > 1 and not dense:
        where = mesh["replica", "expert"]
        stacks = [
            stack for name in STACKS if (stack := _place(layer, name, where, [Replicate(), Shard(0)])) is not None
        ]
    if layout.tensor > 1 or stacks:
        tensor, expert = (mesh[name].get_group() for name in ("tensor", "expert"))
        layer.split = Split(tensor if layout.tensor > 1 else None, expert if stacks else None, 1 / shards, dense)
    return stacks


def _place(layer: nn.Module, name: str, mesh: DeviceMesh, placements: list[Placement]) -> nn.Parameter | None:
    """In place of the whole parameter its parts, if the layer has it."""
    path, _, last = name.rpartition(".")
    if name not in dict(layer.named_parameters()):
        return None
    whole = layer.get_parameter(name)
    parts = nn.Parameter(distribute_tensor(whole.detach(), mesh, placements), requires_grad=whole.requires_grad)
    layer.get_submodule(path).register_parameter(last, parts)
    return parts


def parts_of(parameters: Mapping[str, Tensor]) -> bool:
    """Whether any of them lies in several processes."""
    return any(isinstance(p, DTensor) for p in parameters.values())


def norm(parameters: Iterable[Tensor]) -> float:
    """Length of the whole gradient, whose parts lie in several processes, some of them in more than one."""
    processes, total = distributed.get_world_size(), torch.zeros((), dtype=torch.float64)
    for p in parameters:
        if p.grad is not None:
            parts = 1
            if isinstance(p.grad, DTensor):
                for size, placement in zip(p.grad.device_mesh.shape, p.grad.placements, strict=True):
                    parts *= 1 if placement.is_replicate() else size
            total += local(p.grad).double().square().sum() * parts / processes
    distributed.all_reduce(total)
    return float(total.sqrt())


def local(value: Tensor) -> Tensor:
    """The part that this process has."""
    return value.to_local() if isinstance(value, DTensor) else value


def like(parameter: Tensor, value: Tensor) -> Tensor:
    """A part of this process as a part of a whole like that parameter; what is no such part stays as it is."""
    if not isinstance(parameter, DTensor) or value.shape != parameter.to_local().shape:
        return value
    return DTensor.from_local(value, parameter.device_mesh, parameter.placements, run_check=False,
                              shape=parameter.shape, stride=parameter.stride())  # fmt: skip


def whole(value: Tensor) -> Tensor:
    """Put together from all processes, which must all ask for it."""
    return value.full_tensor() if isinstance(value, DTensor) else value
