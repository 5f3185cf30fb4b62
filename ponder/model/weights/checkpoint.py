"""A model before it is loaded: its config, and where each tensor can be read. HF folders, GGUF files and random
weights all end in this one value, and `ponder.model.weights.build.build` makes a running model of it.

Tensors carry the HF hub names and shapes of `ModelConfig.shapes()`; nothing is read until `Source.read` is called.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.gguf import GGUF
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.tensor import GROUP, Floats, Kind, Tensor
from ponder.model.config import ModelConfig


@dataclass(frozen=True)
class Source:
    """One tensor that can be read.

    read: -> the exact values: a float32 array of any rank, or a Tensor for a matrix that is bf16 or packed where it
        lies (memory-mapped if possible). Packed only when that is lossless.
    auto: the kind that `dtype="auto"` gives a matrix: f32 for f32, bf16 for bf16 and f16, int8 or int4 for packed and
        block-quantised data, uint4 for what has an offset beside each scale.
    packed: read() gives a Tensor of kind int8 or int4. The embedding table then stays as it is; otherwise it is kept
        as bf16 at least (QU-2).
    nbytes: what it takes where it is stored, for progress bars.
    convert: a matrix as another kind, (kind, group) -> Tensor, row by row from where it is stored, so that it never
        exists in float32; None when it is in memory anyway.
    mapped: the kind it has where its file is mapped, and in which it is used there; None if it must be converted.
    group: of values that keep their own as kind `auto`, whatever is asked; 0: the asked one.
    """

    shape: tuple[int, ...]
    auto: Kind
    nbytes: int
    read: Callable[[], NDArray[np.float32] | Tensor]
    packed: bool = False
    convert: Callable[[Kind, int], Tensor] | None = None
    mapped: Kind | None = None
    group: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """origin: the file or folder, for error texts. generation_config: the parsed HF file, {} when there is none.
    gguf: the open file when it is one; it has the tokenizer too, and reading its header takes a tenth of a second.
    files: what the tensors are read from, in order; none for weights that never lay in a file.
    fits: tensors and config were compared when the file was read.
    made: what names weights that are drawn the same each time, so that they can be kept on disk too.
    warnings: what is odd about the files and does no harm.
    adapter: what the adapter is called that is merged into the weights, "" for none."""

    config: ModelConfig
    tensors: dict[str, Source]
    origin: str
    generation_config: dict[str, Any] = field(default_factory=dict)
    gguf: GGUF | None = None
    files: tuple[Path, ...] = ()
    fits: bool = False
    made: str = ""
    warnings: tuple[str, ...] = ()
    adapter: str = ""


_CHUNK = 1 << 20  # values converted at a time


def read(source: Source, kind: Kind, group: int = GROUP) -> Floats | Tensor:
    """-> float32 array for kind f32, else a Tensor. What is already of that kind stays where it is."""
    if source.convert is not None:
        tensor = source.convert(kind, group)
        return tensor.data if kind == "f32" else tensor
    value = source.read()
    if isinstance(value, Tensor):
        if value.kind == kind:
            return value.data if kind == "f32" else value
    elif kind == "f32":
        return value
    n, k = value.shape
    tensor = from_rows(_chunks(value), (n, k), kind, group)
    return tensor.data if kind == "f32" else tensor


def _chunks(value: Floats | Tensor) -> Iterator[Floats]:
    """By rows, so that a big matrix never exists in float32 on the way."""
    n, k = value.shape
    step = max(1, _CHUNK // max(1, k))
    for i in range(0, n, step):
        rows = np.arange(i, min(n, i + step))
        yield value.rows(rows) if isinstance(value, Tensor) else value[i : i + step]
