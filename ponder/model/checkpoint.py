"""A model before it is loaded: its config, and where each tensor can be read. HF folders, GGUF files and random
weights all end in this one value, and `ponder.model.weights.build` makes a running model of it.

Tensors carry the HF hub names and shapes of `ModelConfig.shapes()`; nothing is read until `Source.read` is called.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.gguf import GGUF
from ponder.kernels.tensor import Kind, Tensor
from ponder.model.config import ModelConfig


@dataclass(frozen=True)
class Source:
    """One tensor that can be read.

    read: -> the exact values: a float32 array of any rank, or a Tensor for a matrix that is bf16 or packed where it
        lies (memory-mapped if possible). Packed only when that is lossless.
    auto: the kind that `dtype="auto"` gives a matrix: f32 for f32, bf16 for bf16 and f16, int8 or int4 for packed and
        block-quantised data.
    packed: read() gives a Tensor of kind int8 or int4. The embedding table then stays as it is; otherwise it is kept
        as bf16 at least (QU-2).
    nbytes: what it takes where it is stored, for progress bars.
    convert: a matrix as another kind, (kind, group) -> Tensor, row by row from where it is stored, so that it never
        exists in float32; None when it is in memory anyway.
    """

    shape: tuple[int, ...]
    auto: Kind
    nbytes: int
    read: Callable[[], NDArray[np.float32] | Tensor]
    packed: bool = False
    convert: Callable[[Kind, int], Tensor] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """origin: the file or folder, for error texts. generation_config: the parsed HF file, {} when there is none.
    gguf: the open file when it is one; it has the tokenizer too, and reading its header takes a tenth of a second."""

    config: ModelConfig
    tensors: dict[str, Source]
    origin: str
    generation_config: dict[str, Any] = field(default_factory=dict)
    gguf: GGUF | None = None
