"""Read a Hugging Face folder: config.json, safetensors (one file or shards with an index), generation_config.json.

    checkpoint = read_hf("Qwen3-0.6B")

A folder that Ponder quantised has `X.weight` as I8 [N, K] (int8) or U8 [N, K/2] (int4) beside `X.weight_scale`
F16 [N, K/group] and, for int4, `X.weight_grid` I8 [16], and says so in config.json's quantization_config. A tied head
that was packed is stored of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ponder.core.errors import LoadError
from ponder.kernels.packing import pack
from ponder.kernels.tensor import Floats, Grid, Kind, Tensor, from_bf16
from ponder.model.config import ModelConfig
from ponder.model.formats.safetensors_file import StoredTensor, map_file
from ponder.model.weights.checkpoint import Checkpoint, Source

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_AUTO: dict[str, Kind] = {"F32": "f32", "F16": "bf16", "BF16": "bf16", "I8": "int8", "U8": "int4"}
_MAPPED: dict[str, Kind] = {"F32": "f32", "BF16": "bf16"}
_MAX_JSON = 64 << 20


def read_hf(folder: str | Path) -> Checkpoint:
    """Map a folder; nothing big is read yet. Raises LoadError that names the file."""
    folder = Path(folder)
    config = ModelConfig.from_hf(_json(folder / "config.json"), str(folder / "config.json"))
    stored: dict[str, StoredTensor] = {}
    files = _weight_files(folder)
    for file in files:
        part = map_file(file)
        if twice := stored.keys() & part.keys():
            raise LoadError(f"{file}: tensor {min(twice)!r} is in another file of the folder too")
        stored |= part
    if (folder / INDEX).exists():
        indexed = _json(folder / INDEX)["weight_map"].keys()
        if lost := sorted(indexed - stored.keys()):
            raise LoadError(f"{folder / INDEX}: no file has {', '.join(lost[:5])}")
    generation = folder / "generation_config.json"
    sources = dict(_sources(stored, config, folder))
    generation_config = _json(generation) if generation.exists() else {}
    return Checkpoint(config, sources, str(folder), generation_config, files=(folder / "config.json", *files))


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON:
            raise LoadError(f"{path}: larger than {_MAX_JSON >> 20} MB")
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as e:
        raise LoadError(f"{path}: no such file; a model folder has config.json and *.safetensors") from e
    except (OSError, msgspec.DecodeError, RecursionError) as e:
        raise LoadError(f"{path}: {e}") from e


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).exists():
        weight_map = _json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
            raise LoadError(f"{folder / INDEX}: weight_map is missing or not a map from tensor to file")
        for name in weight_map.values():
            if not re.fullmatch(r"[\w.-]+\.safetensors", name):  # no path may lead out of the folder
                raise LoadError(f"{folder / INDEX}: {name!r} is not the name of a safetensors file")
        return [folder / name for name in sorted(set(weight_map.values()))]
    if not (folder / SINGLE).exists():
        pickles = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt*")]
        hint = f"; {pickles[0]} is a pickle, which can run code: convert it to safetensors" if pickles else ""
        raise LoadError(f"{folder}: has neither {SINGLE} nor {INDEX}{hint}")
    return [folder / SINGLE]


def _sources(stored: dict[str, StoredTensor], config: ModelConfig, folder: Path) -> Iterator[tuple[str, Source]]:
    for name, tensor in stored.items():
        if name.endswith(("_scale", "_grid")) and name.rpartition("_")[0] in stored:
            continue
        if tensor.type in ("I8", "U8"):
            yield name, _packed(name, stored, config, folder)
        elif name.endswith((".mlp.experts.gate_up_proj", ".mlp.experts.down_proj")) and tensor.data.ndim == 3:
            yield from _unstack(name, tensor)
        else:
            yield name, _plain(tensor)


def _plain(tensor: StoredTensor) -> Source:
    convert = partial(_convert, tensor) if tensor.data.ndim == 2 else None
    mapped = _MAPPED.get(tensor.type) if tensor.mapped else None
    return Source(
        tensor.data.shape, _AUTO[tensor.type], tensor.data.nbytes, partial(_value, tensor), convert=convert,
        mapped=mapped,
    )  # fmt: skip


def _convert(tensor: StoredTensor, kind: Kind, group: int) -> Tensor:
    n, k = tensor.data.shape
    raw = tensor.data.view(np.uint8)
    return pack.convert(tensor.type, raw, (n, k), kind, group, mapped=tensor.mapped)


def _value(tensor: StoredTensor) -> Floats | Tensor:
    if tensor.type == "BF16":
        if tensor.data.ndim != 2:
            return from_bf16(tensor.data)
        return Tensor("bf16", tensor.data.shape, tensor.data)
    return tensor.data.astype(np.float32, copy=False)


def _packed(name: str, stored: dict[str, StoredTensor], config: ModelConfig, folder: Path) -> Source:
    q, scale = stored[name], stored.get(name + "_scale")
    if config.quantization_config is None or scale is None or scale.type != "F16" or q.data.ndim != 2:
        raise LoadError(
            f"{folder}: {name} is {q.type}, which needs a matrix, a float16 {name}_scale beside it and "
            "quantization_config in config.json"
        )
    group, kind = config.quantization_config.group_size, _AUTO[q.type]
    shape = (q.data.shape[0], q.data.shape[1] * (2 if kind == "int4" else 1))
    if shape[1] % group or scale.data.shape != (shape[0], shape[1] // group):
        raise LoadError(
            f"{folder}: {name}_scale has shape {list(scale.data.shape)}, not one scale per {group} of {list(shape)}"
        )
    nbytes = q.data.nbytes + scale.data.nbytes
    grid = _grid(name, stored, folder) if kind == "int4" else None
    read = partial(Tensor, kind, shape, q.data, scale.data, group, grid)
    return Source(shape, kind, nbytes, read, packed=True, group=group)


def _grid(name: str, stored: dict[str, StoredTensor], folder: Path) -> Grid:
    grid = stored.get(name + "_grid")
    if grid is None or grid.type != "I8" or grid.data.shape != (16,):
        raise LoadError(
            f"{folder}: {name} is int4, which needs an I8 {name}_grid of 16 values; quantise the model again"
        )
    if not ((np.diff(grid.data.astype(np.int64)) > 0).all() and grid.data[0] < 0 < grid.data[-1]):
        raise LoadError(f"{folder}: {name}_grid does not rise from a negative to a positive value")
    return grid.data


def _unstack(name: str, tensor: StoredTensor) -> Iterator[tuple[str, Source]]:
    """transformers 5's stacks: gate_up_proj [E, 2I, D] and down_proj [E, D, I] as the hub's matrices per expert."""
    prefix, _, which = name.rpartition(".")
    for e, matrix in enumerate(tensor.data):
        if which == "down_proj":
            yield f"{prefix}.{e}.down_proj.weight", _plain(replace(tensor, data=matrix))
        else:
            gate, up = np.split(matrix, [len(matrix) // 2])
            yield f"{prefix}.{e}.gate_proj.weight", _plain(replace(tensor, data=gate))
            yield f"{prefix}.{e}.up_proj.weight", _plain(replace(tensor, data=up))
