"""A GGUF file as a Checkpoint: qwen2, qwen3 and qwen3moe, tensors memory-mapped under their HF names.

    read_gguf("model.gguf").config

Every tensor of the file is used and every parameter of the model filled, or a LoadError names them. That includes
`rope_freqs.weight`: it would change the rotary frequencies and no Qwen file has it, so it is refused like any other
unknown tensor. A hostile file ends in a LoadError too (SEC-3): `core.gguf` checks every size against the file.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import LoadError, UserError
from ponder.core.gguf import GGUF, TensorInfo
from ponder.kernels.packing.pack import convert, from_rows
from ponder.kernels.tensor import GROUP, Kind, Tensor
from ponder.model.config import ModelConfig
from ponder.model.formats import gguf_reranker
from ponder.model.formats.ggml.codes import F32, Bytes
from ponder.model.formats.ggml_blocks import LOW_BITS, dequantise
from ponder.model.formats.gguf_config import read_config
from ponder.model.formats.gguf_names import FUSED, to_hf
from ponder.model.hub.place import parts_of
from ponder.model.weights.build import check
from ponder.model.weights.checkpoint import Checkpoint, Source

_MAPPED: dict[str, Kind] = {"F32": "f32", "BF16": "bf16"}
_PACKED: dict[str, Kind] = {"Q8_0": "int8", "Q5_0": "int8", "Q4_0": "int4", "IQ4_NL": "int4"}  # without loss
_OFFSETS: dict[str, Kind] = {"Q4_1": "uint4", "Q4_K": "uint4"}  # the codes as they are, scales and offsets in float16
_AUTO: dict[str, Kind] = {**_MAPPED, "F16": "bf16", **_PACKED, **_OFFSETS}  # every other type: int8
_WORTH_TELLING = 1.6  # times as large in memory: from about 5 bits a weight down
_CHUNK = 1 << 18  # values decoded at a time: what numpy does with them stays in the processor's cache


def read_gguf(path: str | Path) -> Checkpoint:
    """path: the file; of a split one any part, with the others beside it.
    Raises LoadError for a file that is damaged, of another architecture, or not exactly the model it claims."""
    paths = parts_of(Path(path))
    parts = [GGUF(part) for part in paths]
    stored = _stored(parts)
    if gguf_reranker.is_reranker(parts[0]):
        gguf_reranker.check_head(parts[0], stored, _values)
        del stored[gguf_reranker.ROWS]
    config = read_config(parts[0], {name: info for name, (_, info) in stored.items()})
    if config.num_hidden_layers * 9 > len(stored):  # before shapes() believes a hostile count
        raise LoadError(f"{path}: {len(stored)} tensors cannot make {config.num_hidden_layers} layers")
    sources: dict[str, Source] = {}
    for gguf, info in stored.values():
        place = to_hf(info.name)
        if place is None:
            sources[info.name] = _source(gguf, info)  # under its own name: `check` will name it
        elif place[1] is None:
            sources[place[0]] = _source(gguf, info)
        else:
            sources |= _experts(gguf, info, place[0], place[1], config)
    sources = alike(sources)
    warnings = _growth(info for _, info in stored.values())
    checkpoint = Checkpoint(config, sources, str(path), gguf=parts[0], files=tuple(paths), warnings=warnings)
    check(checkpoint)
    return replace(checkpoint, fits=True)


def _growth(infos: Iterable[TensorInfo]) -> tuple[str, ...]:
    """What to say about a file of few bits, which Ponder computes with as int8."""
    infos = list(infos)
    widened = [info for info in infos if len(info.shape) > 1 and info.type not in _AUTO]
    in_file = sum(info.nbytes for info in infos)
    in_memory = in_file + sum(math.prod(i.shape) * (1 + 2 / GROUP) - i.nbytes for i in widened)
    if in_memory < _WORTH_TELLING * in_file:
        return ()
    sizes: Counter[str] = Counter()
    for info in widened:
        sizes[info.type] += info.nbytes
    (type_, _), *_ = sizes.most_common(1)
    return (
        f"its {type_} weights are computed with as int8: {in_memory / 1e9:.1f} GB of memory for {in_file / 1e9:.1f} GB "
        "of file; of the types with four bits Q4_K, Q4_0 and IQ4_NL stay as small as they are",
    )


def _stored(parts: list[GGUF]) -> dict[str, tuple[GGUF, TensorInfo]]:
    """Every tensor of all parts, with the part it lies in."""
    stored: dict[str, tuple[GGUF, TensorInfo]] = {}
    for n, part in enumerate(parts):
        count, number = part.metadata.get("split.count", 0) or 1, part.metadata.get("split.no", 0)
        if (count, number) != (len(parts), n):
            raise LoadError(
                f"{part.path}: part {number + 1} of a split file of {count}, under the name of part {n + 1} of "
                f"{len(parts)}; give the parts their own names, NAME-00001-of-{count:05}.gguf and so on"
            )
        if twice := stored.keys() & part.tensors.keys():
            raise LoadError(f"{part.path}: tensor {min(twice)!r} is in another part too")
        stored |= {name: (part, info) for name, info in part.tensors.items()}
    return stored


def _experts(gguf: GGUF, info: TensorInfo, prefix: str, suffix: str, config: ModelConfig) -> dict[str, Source]:
    """A stack [E, N, K] as E matrices, or twice as many where each holds two of the model's."""
    if len(info.shape) != 3 or info.shape[0] != config.num_experts:
        raise LoadError(f"{gguf.path}: {info.name} has shape {info.shape}, not a stack of {config.num_experts} experts")
    suffixes = ("gate_proj.weight", "up_proj.weight") if suffix == FUSED else (suffix,)
    if info.shape[1] % len(suffixes):
        raise LoadError(f"{gguf.path}: {info.name} has {info.shape[1]} rows, which do not make two matrices")
    shape = (info.shape[1] // len(suffixes), info.shape[2])
    count = info.shape[0] * len(suffixes)
    size = info.nbytes // count
    parts = (TensorInfo(f"{info.name}[{e}]", shape, info.type, info.offset + e * size, size) for e in range(count))
    names = (f"{prefix}{e}.{each}" for e in range(info.shape[0]) for each in suffixes)
    return {name: _source(gguf, part) for name, part in zip(names, parts, strict=True)}


def alike(sources: dict[str, Source]) -> dict[str, Source]:
    """Gate and up of an expert read the same activations, so they must be of one kind: where a file has them in types
    of two, they are int8."""
    out = dict(sources)
    for name, gate in sources.items():
        up_name = name.replace(".gate_proj.", ".up_proj.")
        if ".experts." in name and up_name != name and (up := sources.get(up_name)) and up.auto != gate.auto:
            out[name], out[up_name] = (replace(source, auto="int8", packed=False, group=0) for source in (gate, up))
    return out


def _source(gguf: GGUF, info: TensorInfo) -> Source:
    convert = partial(_convert, gguf, info) if len(info.shape) == 2 else None
    packed = convert is not None and info.type in _PACKED
    mapped = _MAPPED.get(info.type)
    group = GROUP if info.type in _OFFSETS else 0
    return Source(
        info.shape,
        _AUTO.get(info.type, "int8"),
        info.nbytes,
        partial(_read, gguf, info),
        packed,
        convert,
        mapped,
        group,
    )


def _read(gguf: GGUF, info: TensorInfo) -> NDArray[np.float32] | Tensor:
    kind = _MAPPED.get(info.type) or _PACKED.get(info.type)
    if kind is not None and len(info.shape) == 2:
        return _convert(gguf, info, kind, GROUP)
    return _values(gguf, info)


def _values(gguf: GGUF, info: TensorInfo) -> NDArray[np.float32]:
    return dequantise(info.type, _bytes(gguf, info)).reshape(info.shape)


def _convert(gguf: GGUF, info: TensorInfo, kind: Kind, group: int) -> Tensor:
    n, k = info.shape
    group = GROUP if kind == "uint4" else group
    try:
        if info.type in LOW_BITS:
            return from_rows(_decoded(info.type, _bytes(gguf, info).reshape(n, -1), k), (n, k), kind, group)
        return convert(info.type, _bytes(gguf, info), (n, k), kind, group, mapped=True)
    except UserError as e:
        raise LoadError(f"{gguf.path}: {info.name}: {e}") from e


def _decoded(type_: str, rows: Bytes, k: int) -> Iterator[F32]:
    """A few rows at a time, so that a big matrix never exists in float32."""
    step = max(1, _CHUNK // k)
    for i in range(0, len(rows), step):
        yield dequantise(type_, np.ascontiguousarray(rows[i : i + step]).reshape(-1)).reshape(-1, k)


def _bytes(gguf: GGUF, info: TensorInfo) -> Bytes:
    return np.frombuffer(gguf.data(info), np.uint8)
