"""Tensors of an HF folder that are not one of the published quantised forms: floats, Ponder's own packing, and
transformers 5's stacks of experts."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from ponder.core.errors import LoadError, UserError
from ponder.kernels.packing import pack
from ponder.kernels.tensor import Floats, Grid, Kind, Tensor, from_bf16
from ponder.model.config import ModelConfig
from ponder.model.formats.safetensors_file import StoredTensor
from ponder.model.weights.checkpoint import Source

_AUTO: dict[str, Kind] = {"F32": "f32", "F16": "bf16", "BF16": "bf16", "I8": "int8", "U8": "int4"}
_MAPPED: dict[str, Kind] = {"F32": "f32", "BF16": "bf16"}


def plain_sources(stored: Mapping[str, StoredTensor], config: ModelConfig, where: str) -> Iterator[tuple[str, Source]]:
    """where: the folder, for error texts."""
    for name, tensor in stored.items():
        if name.endswith(("_scale", "_grid")) and name.rpartition("_")[0] in stored:
            continue
        if tensor.type in ("I8", "U8"):
            yield name, _packed(name, stored, config, where)
        elif name.endswith((".mlp.experts.gate_up_proj", ".mlp.experts.down_proj")) and tensor.data.ndim == 3:
            yield from _unstack(name, tensor, where)
        elif tensor.type not in _AUTO:
            raise LoadError(
                f"{where}: {name} has type {tensor.type}, which is no plain weight; config.json says no form"
            )
        else:
            yield name, _plain(tensor, f"{where}: {name}")


def _plain(tensor: StoredTensor, name: str) -> Source:
    convert = partial(_convert, tensor, name) if tensor.data.ndim == 2 else None
    mapped = _MAPPED.get(tensor.type) if tensor.mapped else None
    return Source(
        tensor.data.shape, _AUTO[tensor.type], tensor.data.nbytes, partial(_value, tensor), convert=convert,
        mapped=mapped,
    )  # fmt: skip


def _convert(tensor: StoredTensor, name: str, kind: Kind, group: int) -> Tensor:
    n, k = tensor.data.shape
    raw = tensor.data.view(np.uint8)
    try:
        return pack.convert(tensor.type, raw, (n, k), kind, group, mapped=tensor.mapped)
    except UserError as e:
        raise LoadError(f"{name}: {e}") from e


def _value(tensor: StoredTensor) -> Floats | Tensor:
    if tensor.type == "BF16":
        if tensor.data.ndim != 2:
            return from_bf16(tensor.data)
        return Tensor("bf16", tensor.data.shape, tensor.data)
    return tensor.data.astype(np.float32, copy=False)


def _packed(name: str, stored: Mapping[str, StoredTensor], config: ModelConfig, where: str) -> Source:
    q, scale = stored[name], stored.get(name + "_scale")
    if config.quantization_config is None or scale is None or scale.type != "F16" or q.data.ndim != 2:
        raise LoadError(
            f"{where}: {name} is {q.type}, which needs a matrix, a float16 {name}_scale beside it and "
            "quantization_config in config.json"
        )
    group, kind = config.quantization_config.group_size, _AUTO[q.type]
    shape = (q.data.shape[0], q.data.shape[1] * (2 if kind == "int4" else 1))
    if shape[1] % group or scale.data.shape != (shape[0], shape[1] // group):
        raise LoadError(
            f"{where}: {name}_scale has shape {list(scale.data.shape)}, not one scale per {group} of {list(shape)}"
        )
    nbytes = q.data.nbytes + scale.data.nbytes
    grid = _grid(name, stored, where) if kind == "int4" else None
    read = partial(Tensor, kind, shape, q.data, scale.data, group, grid)
    return Source(shape, kind, nbytes, read, packed=True, group=group)


def _grid(name: str, stored: Mapping[str, StoredTensor], where: str) -> Grid:
    grid = stored.get(name + "_grid")
    if grid is None or grid.type != "I8" or grid.data.shape != (16,):
        raise LoadError(
            f"{where}: {name} is int4, which needs an I8 {name}_grid of 16 values; quantise the model again"
        )
    if not ((np.diff(grid.data.astype(np.int64)) > 0).all() and grid.data[0] < 0 < grid.data[-1]):
        raise LoadError(f"{where}: {name}_grid does not rise from a negative to a positive value")
    return grid.data


def _unstack(name: str, tensor: StoredTensor, where: str) -> Iterator[tuple[str, Source]]:
    """transformers 5's stacks: gate_up_proj [E, 2I, D] and down_proj [E, D, I] as the hub's matrices per expert."""
    prefix, _, which = name.rpartition(".")
    for e, matrix in enumerate(tensor.data):
        halves = [matrix] if which == "down_proj" else np.split(matrix, [len(matrix) // 2])
        for part, data in zip(["down_proj"] if which == "down_proj" else ["gate_proj", "up_proj"], halves):
            expert = f"{prefix}.{e}.{part}.weight"
            yield expert, _plain(replace(tensor, data=data), f"{where}: {expert}")
