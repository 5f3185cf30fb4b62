"""Export a checkpoint to a GGUF file that llama.cpp (and Ponder) loads.

    write_gguf("out.gguf", read_hf("folder"), "folder", "Q8_0")

Types: F32, F16, BF16, Q8_0, IQ4_NL, Q4_0. Vectors and router gates stay F32, embedding and head of a file of four bits
are Q8_0, rows that do not divide into blocks of 32 stay F16. Weights that are already int8 or int4 in groups of 32 are
copied value for value into Q8_0 and, by their grid, IQ4_NL or Q4_0. One tensor is in memory at a time; the file
appears under its name only when complete.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ponder.core.atomic import replacing
from ponder.core.errors import LoadError, UserError
from ponder.core.gguf import TYPES
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.tensor import LINEAR, NORMAL, Tensor
from ponder.model.config import ModelConfig
from ponder.model.formats.ggml.codes import Bytes
from ponder.model.formats.ggml_blocks import BLOCK, quantise
from ponder.model.formats.gguf_config import write_config
from ponder.model.formats.gguf_names import EXPERTS, GLOBAL, LAYER
from ponder.model.formats.gguf_tokenizer import source_tokenizer, tokenizer_metadata
from ponder.model.weights.checkpoint import Checkpoint

Progress = Callable[[int, int], None]

_ALIGN = 32
_TYPE_ID = {name: id_ for id_, (name, _, _) in TYPES.items()}
# general.file_type, llama.cpp's llama_ftype
FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "IQ4_NL": 25, "Q4_0": 2}
_CHUNK = 1 << 20  # values converted at a time


class _Plan(NamedTuple):
    """One GGUF tensor: its HF parts (the experts of a stack, otherwise one), shape, type and size."""

    name: str
    parts: list[str]
    shape: tuple[int, ...]
    type: str
    nbytes: int


def write_gguf(
    path: str | Path,
    checkpoint: Checkpoint,
    tokenizer: str | Path,
    type: str = "F16",
    progress: Progress | None = None,
) -> None:
    """tokenizer: the folder or GGUF file whose tokenizer and chat template go along. type: one of FILE_TYPES.
    progress(bytes written, bytes in all).

    Raises UserError for an unknown type, LoadError for weights or settings that GGUF cannot hold.
    """
    if type not in FILE_TYPES:
        raise UserError(f"GGUF type {type!r}; choose one of {', '.join(FILE_TYPES)}", param="type")
    path = Path(path)
    plans = list(_plans(checkpoint.config, type))
    metadata = {
        **write_config(checkpoint.config),
        "general.type": "model",
        "general.name": path.stem,
        "general.file_type": FILE_TYPES[type],
        "general.quantization_version": 2,
        **tokenizer_metadata(*source_tokenizer(Path(tokenizer)), checkpoint.config),
    }
    total, done = sum(p.nbytes for p in plans), 0
    with replacing(path) as file:
        file.write(_header(metadata, plans))
        for plan in plans:
            _pad(file)
            _write_tensor(file, plan, checkpoint)
            done += plan.nbytes
            if progress:
                progress(done, total)
        _pad(file)


def _plans(config: ModelConfig, type_: str) -> Iterator[_Plan]:
    shapes = config.shapes()
    places: list[tuple[str, list[str]]] = [(name, [hf]) for name, hf in GLOBAL.items()]
    for i in range(config.num_hidden_layers):
        prefix = f"model.layers.{i}."
        places += [(f"blk.{i}.{name}", [prefix + hf]) for name, hf in LAYER.items()]
        for name, hf in EXPERTS.items():
            places.append((f"blk.{i}.{name}", [f"{prefix}mlp.experts.{e}.{hf}" for e in range(config.num_experts)]))
    planned = 0
    for name, parts in places:
        if parts and parts[0] in shapes:
            planned += len(parts)
            part = shapes[parts[0]]
            shape = (len(parts), *part) if "_exps." in name else part
            chosen = _tensor_type(name, shape, type_)
            elements, nbytes = BLOCK[chosen]
            yield _Plan(name, parts, shape, chosen, int(np.prod(shape, dtype=np.int64)) // elements * nbytes)
    assert planned == len(shapes), "a parameter has no GGUF name"


def _tensor_type(name: str, shape: tuple[int, ...], type_: str) -> str:
    if len(shape) == 1 or name.endswith("ffn_gate_inp.weight"):
        return "F32"
    if type_ in ("Q4_0", "IQ4_NL") and name in GLOBAL:
        type_ = "Q8_0"
    return type_ if shape[-1] % BLOCK[type_][0] == 0 else "F16"


def _header(metadata: dict[str, Any], plans: list[_Plan]) -> bytes:
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(plans), len(metadata)))
    for key, value in metadata.items():
        out += _string(key) + _value(value)
    offset = 0
    for plan in plans:
        out += _string(plan.name) + struct.pack("<I", len(plan.shape))
        out += struct.pack(f"<{len(plan.shape)}Q", *reversed(plan.shape))
        out += struct.pack("<IQ", _TYPE_ID[plan.type], offset)
        offset += -(-plan.nbytes // _ALIGN) * _ALIGN
    return bytes(out)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    """Type id and value: bool, uint32, float32, string, and arrays of strings or int32."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if value and isinstance(value[0], int):
        return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % _ALIGN))


def _write_tensor(file: BinaryIO, plan: _Plan, checkpoint: Checkpoint) -> None:
    start = file.tell()
    for part in plan.parts:
        for raw in _blocks(checkpoint.tensors[part].read(), plan.type, part):
            file.write(raw.data)
    assert file.tell() - start == plan.nbytes, f"{plan.name}: wrote {file.tell() - start} of {plan.nbytes} bytes"


def _blocks(values: NDArray[np.float32] | Tensor, type_: str, name: str) -> Iterator[Bytes]:
    """The bytes of one tensor in chunks of rows."""
    if isinstance(values, Tensor) and values.group == 32 and _same_codes(values, type_):
        yield _copy_blocks(values)
        return
    if not isinstance(values, Tensor):
        rows = values.reshape(-1, values.shape[-1])
        step = max(1, _CHUNK // rows.shape[1])
        chunks = (rows[i : i + step] for i in range(0, len(rows), step))
    else:
        step = max(1, _CHUNK // values.shape[1])
        ids = np.arange(values.shape[0])
        chunks = (values.rows(ids[i : i + step]) for i in range(0, len(ids), step))
    for chunk in chunks:
        with np.errstate(over="ignore"):
            if not np.isfinite(chunk.astype(np.float16) if type_ == "F16" else chunk).all():
                raise LoadError(f"{name} holds values that {type_} cannot: not finite, or above 65504 for F16")
        if type_ == "IQ4_NL":
            yield _copy_blocks(from_rows([chunk], chunk.shape, "int4"))
        else:
            yield np.ascontiguousarray(quantise(type_, chunk)).reshape(-1)


def _same_codes(values: Tensor, type_: str) -> bool:
    grid = {"Q4_0": LINEAR, "IQ4_NL": NORMAL}.get(type_)
    if values.grid is None or grid is None:
        return (values.kind, type_) == ("int8", "Q8_0")
    return np.array_equal(values.grid, grid)


def _copy_blocks(values: Tensor) -> Bytes:
    """int8 -> Q8_0, int4 -> Q4_0 or IQ4_NL, the same integers and scales: [N * K/32, 2 + bytes of 32 values]."""
    assert values.scale is not None
    scale = values.scale.reshape(-1, 1).view(np.uint8)
    return np.concatenate([scale, values.data.view(np.uint8).reshape(len(scale), -1)], axis=1).reshape(-1)
