"""One safetensors file: mapped for reading without copies, and written with bfloat16 and packed integers.

The safetensors library checks the untrusted header (sizes, offsets, overlaps, gaps) and writes the file; its numpy side
has neither bfloat16 nor views of the mapping, so those few lines are here.
"""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, TensorSpec, safe_open, serialize_file

from ponder.core.errors import LoadError
from ponder.core.fingerprint import is_stand_in

# safetensors' name -> numpy type; bf16 and f8 travel as their bits. Then the name that the writer of the library wants.
TYPES: dict[str, type[Any]] = {
    "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I8": np.int8, "U8": np.uint8,
    "F8_E4M3": np.uint8, "I32": np.int32, "U32": np.uint32, "I64": np.int64,  # only in quantised forms: never written
}  # fmt: skip
_WRITE = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as it lies in a file: type is a key of TYPES, data has TYPES[type]. mapped: data is a view of it."""

    type: str
    data: NDArray[Any]
    mapped: bool = False


def map_file(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of the file as a read-only view of the mapping. Raises LoadError for a damaged or unknown file."""
    if not path.is_file():
        what = "not a file" if path.exists() else "no such file"  # opening a pipe would wait for ever
        raise LoadError(f"{path}: cannot be read as safetensors: {what}")
    if other := is_stand_in(path):
        raise LoadError(f"{path}: not a safetensors file, but {other}")
    try:
        with safe_open(str(path), "np") as f:
            parts = [(name, f.get_slice(name)) for name in f.offset_keys()]  # in file order, without gaps
            entries = [(name, part.get_dtype(), tuple(part.get_shape())) for name, part in parts]
        with path.open("rb") as raw:
            offset = 8 + struct.unpack("<Q", raw.read(8))[0]  # after the header; its length was checked above
        bytes_ = np.memmap(path, np.uint8, "r")
    except (SafetensorError, OSError, ValueError) as e:
        raise LoadError(f"{path}: cannot be read as safetensors: {e}") from e
    out: dict[str, StoredTensor] = {}
    for name, type_, shape in entries:
        if type_ not in TYPES:
            raise LoadError(f"{path}: tensor {name!r} has type {type_}; Ponder reads {', '.join(TYPES)}")
        dtype = np.dtype(TYPES[type_])
        nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        raw_tensor = np.asarray(bytes_[offset : offset + nbytes])
        if odd := offset % dtype.itemsize != 0:  # legal but rare: an odd header length
            raw_tensor = raw_tensor.copy()
        out[name] = StoredTensor(type_, raw_tensor.view(dtype).reshape(shape), mapped=not odd)
        offset += nbytes
    return out


def write_file(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Raises OSError, as any other writing, when the disk is full or read-only."""
    arrays = {name: np.ascontiguousarray(t.data) for name, t in tensors.items()}  # alive until the file is written
    specs = {
        name: TensorSpec(
            dtype=_WRITE[tensors[name].type], shape=data.shape, data_ptr=data.ctypes.data, data_len=data.nbytes
        )
        for name, data in arrays.items()
    }
    try:
        serialize_file(specs, str(path), metadata={"format": "pt"})  # transformers wants the mark
    except SafetensorError as e:  # the library's wrapping of what the system said
        raise OSError(f"{path}: {str(e).rpartition('I/O error: ')[2]}") from e
    os.chmod(path, 0o644)  # the library makes private files
