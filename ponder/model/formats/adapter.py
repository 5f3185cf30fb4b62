"""LoRA adapters: a PEFT folder or a GGUF file, merged into the weights of their model as these are read.

    checkpoint = with_adapter(read_hf("Qwen3-0.6B"), Path("my-adapter"))

A matrix W [N, K] becomes W + scale B A, with `lora_A` [r, K] and `lora_B` [N, r] of the file and scale = alpha / r
(alpha / sqrt(r) with rslora). One matrix at a time is float32. Modules that were trained whole (`modules_to_save`)
replace the model's. What PEFT has beyond that (DoRA, biases, PiSSA that is not converted ...) is refused by its name.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF
from ponder.kernels.tensor import FOUR_BITS, Floats, Kind, Tensor, from_bf16
from ponder.model.decoder import EMBED
from ponder.model.formats.folder import read_json
from ponder.model.formats.ggml_blocks import dequantise
from ponder.model.formats.gguf_names import to_hf
from ponder.model.formats.gguf_read import alike
from ponder.model.formats.hf_names import hub_name
from ponder.model.formats.hf_tensors import plain_sources
from ponder.model.formats.quantised.matrix import by_rows
from ponder.model.formats.safetensors_file import StoredTensor, map_file
from ponder.model.weights.checkpoint import Checkpoint, Source, read

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PAIR = re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight")  # the adapter's name stands between in some files
_GGUF_PAIR = re.compile(r"(.+\.weight)\.lora_([ab])")
# Keys of PEFT that change what is computed, with the values under which they do not.
_FIXED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "bias": ("none", None), "use_dora": (False, None), "lora_bias": (False, None),
    "fan_in_fan_out": (False, None), "use_qalora": (False, None), "layer_replication": (None, []),
    "alora_invocation_tokens": (None, []), "target_parameters": (None, []), "trainable_token_indices": (None, [], {}),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"), "velora_config": (None,),
    "monteclora_config": (None,),
}  # fmt: skip


@dataclass(frozen=True)
class LowRank:
    """B A, the scale already in B: [N, r] and [r, K]."""

    b: Floats
    a: Floats


@dataclass(frozen=True)
class Adapter:
    """By the hub's names: what is added to matrices, and what replaces tensors."""

    added: dict[str, LowRank]
    replaced: dict[str, StoredTensor]
    files: tuple[Path, ...]


def with_adapter(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Raises LoadError for a folder or file that is no adapter, or not one of this model."""
    adapter = read_adapter(path)
    tensors = dict(checkpoint.tensors)
    if checkpoint.config.tie_word_embeddings and EMBED in {*adapter.added, *adapter.replaced}:
        raise LoadError(
            f"{path}: it changes the embedding, which is the head as well here; merge it with PEFT and save"
        )
    if lost := sorted({*adapter.added, *adapter.replaced} - tensors.keys()):
        raise LoadError(f"{path}: an adapter of another model: {checkpoint.origin} has no {', '.join(lost[:3])}")
    tensors |= dict(plain_sources(adapter.replaced, checkpoint.config, str(path)))
    for name, change in adapter.added.items():
        tensors[name] = _merged(f"{path}: {name}", tensors[name], change)
    files = (*checkpoint.files, *adapter.files)
    return replace(checkpoint, tensors=alike(tensors), files=files, adapter=path.resolve().stem, fits=False)


def read_adapter(path: Path) -> Adapter:
    if path.is_dir():
        return _read_peft(path)
    if path.is_file():
        return _read_gguf(path)
    raise LoadError(f"{path}: no such adapter; give a folder with {_CONFIG} or a GGUF file")


def _merged(name: str, base: Source, change: LowRank) -> Source:
    n, k = len(change.b), change.a.shape[1]
    if base.shape != (n, k):
        raise LoadError(f"{name}: an adapter of [{n}, {k}], the model has {list(base.shape)}")
    auto: Kind = "int8" if base.auto in FOUR_BITS else base.auto  # sums lie on no grid of four bits

    def convert(kind: Kind, group: int) -> Tensor:
        values = read(base, "f32")
        assert not isinstance(values, Tensor), "f32 is an array"
        summed = by_rows(name, (n, k), base.nbytes, auto, lambda a, b: values[a:b] + change.b[a:b] @ change.a)
        assert summed.convert is not None, "by_rows converts"
        return summed.convert(kind, group)

    return Source((n, k), auto, base.nbytes, lambda: convert("f32", 0).data, convert=convert)


def _read_peft(folder: Path) -> Adapter:
    config = read_json(folder / _CONFIG)
    if not config:
        raise LoadError(f"{folder}: no {_CONFIG} there, so it is no adapter")
    for key, values in _FIXED.items():
        if config.get(key, values[0]) not in list(values):
            raise LoadError(
                f"{folder / _CONFIG}: {key} {config[key]!r} is not implemented; merge it with PEFT and save"
            )
    if not (folder / _WEIGHTS).is_file():
        hint = "; save it as safetensors: a .bin is a pickle, which can run code" if list(folder.glob("*.bin")) else ""
        raise LoadError(f"{folder}: no {_WEIGHTS} there{hint}")
    pairs: dict[str, dict[str, Floats]] = {}
    replaced: dict[str, StoredTensor] = {}
    for name, tensor in map_file(folder / _WEIGHTS).items():
        if match := _PAIR.fullmatch(name):
            pairs.setdefault(match[1], {})[match[2]] = _floats(folder, name, tensor)
        elif "lora_" in name:
            raise LoadError(f"{folder}: tensor {name!r} is not of a plain LoRA; merge it with PEFT and save")
        else:
            replaced[hub_name(name.replace(".modules_to_save", ""))] = tensor
    added = {
        hub_name(module + ".weight"): _low_rank(f"{folder}: {module}", parts, _scale(folder, config, module, parts))
        for module, parts in pairs.items()
    }
    return Adapter(added, replaced, (folder / _CONFIG, folder / _WEIGHTS))


def _scale(folder: Path, config: Mapping[str, Any], module: str, parts: Mapping[str, Floats]) -> float:
    """alpha over the rank, which the matrices themselves say."""
    patterns = config.get("alpha_pattern") or {}
    alpha = config.get("lora_alpha", 8)  # PEFT's default
    for key in patterns:
        if not re.fullmatch(r"[\w.]+", key):
            raise LoadError(f"{folder / _CONFIG}: alpha_pattern {key[:100]!r} is not the end of a module's name")
        if module == key or module.endswith("." + key):
            alpha = patterns[key]
            break
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise LoadError(f"{folder / _CONFIG}: lora_alpha {alpha!r} is not a number")
    return alpha / (math.sqrt(_rank(parts)) if config.get("use_rslora") else _rank(parts))


def _floats(folder: Path, name: str, tensor: StoredTensor) -> Floats:
    if tensor.type not in ("F32", "F16", "BF16") or tensor.data.ndim != 2 or 0 in tensor.data.shape:
        raise LoadError(f"{folder}: {name} is {tensor.type} {list(tensor.data.shape)}, not a matrix of floats")
    return from_bf16(tensor.data) if tensor.type == "BF16" else tensor.data.astype(np.float32)


def _low_rank(name: str, parts: Mapping[str, Floats], scale: float) -> LowRank:
    if parts.keys() != {"A", "B"} or parts["A"].shape[0] != parts["B"].shape[1]:
        shapes = {part: list(value.shape) for part, value in sorted(parts.items())}
        raise LoadError(f"{name}: lora_A [r, K] and lora_B [N, r] belong together; the file has {shapes}")
    return LowRank(parts["B"] * np.float32(scale), parts["A"])


def _read_gguf(path: Path) -> Adapter:
    gguf = GGUF(path)
    kind = gguf.metadata.get("general.type"), gguf.metadata.get("adapter.type")
    alpha = gguf.metadata.get("adapter.lora.alpha")
    if kind != ("adapter", "lora") or not isinstance(alpha, float):
        raise LoadError(f"{path}: not a LoRA adapter with its alpha (general.type and adapter.type are {kind})")
    pairs: dict[str, dict[str, Floats]] = {}
    for info in gguf.tensors.values():
        match = _GGUF_PAIR.fullmatch(info.name)
        place = to_hf(match[1]) if match else None
        if match is None or place is None or place[1] is not None or len(info.shape) != 2 or "embed" in place[0]:
            raise LoadError(f"{path}: tensor {info.name!r} is not of a plain LoRA of the layers")
        values = dequantise(info.type, np.frombuffer(gguf.data(info), np.uint8)).reshape(info.shape)
        pairs.setdefault(place[0], {})[match[2].upper()] = values
    added = {name: _low_rank(f"{path}: {name}", parts, alpha / _rank(parts)) for name, parts in pairs.items()}
    return Adapter(added, {}, (path,))


def _rank(parts: Mapping[str, Floats]) -> int:
    return len(parts["A"]) if "A" in parts else parts["B"].shape[1]
