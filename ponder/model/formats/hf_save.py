"""Write a Hugging Face folder: f32 and bf16 ones for transformers, vLLM and the rest, int8 and int4 ones for Ponder.

    save_hf("out", read_hf("Qwen3-0.6B"), "int8", copy_from="Qwen3-0.6B")

The source is any Checkpoint: a folder, a GGUF file, random weights, or `memory_checkpoint` of what was trained. Tensors
are read and converted one shard at a time. The packed format is described in `hf.py`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.core.gguf import GGUF
from ponder.kernels.tensor import GROUP, Floats, Kind, Tensor, to_bf16
from ponder.model.config import PackedFormat
from ponder.model.decoder import HEAD
from ponder.model.formats.gguf_tokenizer import gguf_template
from ponder.model.formats.hf import INDEX, SINGLE
from ponder.model.formats.safetensors_file import StoredTensor, write_file
from ponder.model.weights.build import storage_plan
from ponder.model.weights.checkpoint import Checkpoint, Source, read
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_TYPE: dict[str, str] = {"f32": "F32", "bf16": "BF16", "int8": "I8", "int4": "U8"}
_BYTES: dict[str, float] = {"f32": 4, "bf16": 2, "int8": 1.1, "int4": 0.6}  # with room for scales
Plan = dict[str, tuple[Source, Kind]]


def save_hf(
    folder: str | Path, checkpoint: Checkpoint, dtype: str = "auto", *, group: int = GROUP,
    copy_from: str | Path | None = None, max_shard_bytes: int = 4_000_000_000,
) -> None:  # fmt: skip
    """dtype and group as in `weights.build`; with bf16, norms and biases are bf16 too, as on the hub.

    copy_from: a folder or GGUF file whose tokenizer comes along. config.json is written last: a folder whose
    writing was cut off does not load. Raises UserError if the folder already holds a model.
    """
    folder = Path(folder)
    if (folder / "config.json").exists():
        raise UserError(f"{folder} already holds a model; choose another folder or delete it first.")
    folder.mkdir(parents=True, exist_ok=True)
    plan = {name: (source, _saved(kind)) for name, (source, kind) in storage_plan(checkpoint, dtype).items()}
    if checkpoint.config.tie_word_embeddings and HEAD in plan and plan[HEAD][1] in ("f32", "bf16"):
        del plan[HEAD]  # the table in other words: whoever loads the folder ties it again
    packing = _write_tensors(folder, plan, dtype, group, max_shard_bytes)
    if checkpoint.generation_config:
        _write_json(folder / "generation_config.json", checkpoint.generation_config)
    if copy_from is not None:
        _copy_tokenizer(Path(copy_from), folder)
    config = replace(checkpoint.config, quantization_config=packing)
    floats = "f32" if plan["model.embed_tokens.weight"][1] == "f32" else "bf16"
    _write_json(folder / "config.json", config.to_hf(floats))


def _saved(kind: Kind) -> Kind:
    """Folders hold no offsets: what has them where it came from becomes int8."""
    return "int8" if kind == "uint4" else kind


def _copy_tokenizer(source: Path, folder: Path) -> None:
    if source.is_dir():
        for name in TOKENIZER_FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, folder / name)
    else:
        tokenizer_files.save(Tokenizer.from_path(source), folder, gguf_template(GGUF(source)))


def _write_tensors(folder: Path, plan: Plan, dtype: str, group: int, max_shard_bytes: int) -> PackedFormat | None:
    """-> how the packed ones are packed, None if none is."""
    shards = _shards(plan, max_shard_bytes)
    weight_map: dict[str, str] = {}
    packed: set[tuple[int, int]] = set()  # bits, group
    for i, names in enumerate(shards, 1):
        file = SINGLE if len(shards) == 1 else f"model-{i:05}-of-{len(shards):05}.safetensors"
        tensors: dict[str, StoredTensor] = {}
        for name in names:
            source, kind = plan[name]
            value = read(source, kind, group)
            if isinstance(value, Tensor) and value.group:
                packed.add((8 if value.kind == "int8" else 4, value.group))
            narrow = dtype == "bf16" or (dtype == "auto" and source.auto == "bf16")
            tensors |= _stored(name, value, narrow)
        write_file(folder / file, tensors)
        weight_map |= dict.fromkeys(tensors, file)
    if len(shards) > 1:
        size = sum((folder / file).stat().st_size for file in set(weight_map.values()))
        _write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": weight_map})
    if not packed:
        return None
    groups = {g for _, g in packed}
    if len(groups) > 1:
        packed_group = min(groups - {group})
        raise UserError(
            f"parts of the model are packed already, in groups of {packed_group}: keep to that size", param="group"
        )
    return PackedFormat(bits=4 if any(bits == 4 for bits, _ in packed) else 8, group_size=groups.pop())


def _shards(plan: Plan, limit: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0.0
    for name, (source, kind) in plan.items():
        here = np.prod(source.shape, dtype=np.float64) * _BYTES[kind]
        if size and size + here > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += here
    return shards


def _stored(name: str, value: Floats | Tensor, narrow: bool) -> dict[str, StoredTensor]:
    """narrow: a float32 norm, bias or router goes into the file as bf16."""
    if not isinstance(value, Tensor):
        return {name: StoredTensor("BF16", to_bf16(value)) if narrow else StoredTensor("F32", value)}
    out = {name: StoredTensor(_TYPE[value.kind], value.data)}
    if value.scale is not None:
        out[name + "_scale"] = StoredTensor("F16", value.scale)
    if value.grid is not None:
        out[name + "_grid"] = StoredTensor("I8", value.grid)
    return out


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
