"""MLX: `X.weight` U32 [N, K bits / 32], a stream of bits, low ones first, `X.scales` and `X.biases` [N, K / group];
value = code * scale + bias. Embedding and head are stored so too, and experts as stacks `switch_mlp.up_proj` [E, N, .].
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ponder.kernels.tensor import Floats
from ponder.model.formats.quantised.bits import unpack
from ponder.model.formats.quantised.matrix import by_codes, by_rows
from ponder.model.formats.quantised.parts import Parts
from ponder.model.formats.safetensors_file import StoredTensor
from ponder.model.quantisation_config import Mlx
from ponder.model.weights.checkpoint import Source

_STACKS = ".mlp.switch_mlp."


def mlx(parts: Parts, form: Mlx) -> Source:
    packing = form.other.get(parts.base.replace(".experts.", ".switch_mlp."), form.usual)
    bits, group = packing.bits, packing.group_size
    words, scale, offset = parts.take("weight", "U32"), parts.floats("scales"), parts.floats("biases")
    (n, k), groups = (len(words), words.shape[1] * 32 // bits), scale.shape[1]
    parts.expect("scales", scale.shape, (n, k // group))
    parts.expect("biases", offset.shape, scale.shape)
    parts.expect("weight", (n, words.shape[1] * 32), (n, groups * group * bits))

    def rows(first: int, end: int) -> Floats:
        values = unpack(words[first:end], bits).astype(np.float32).reshape(end - first, groups, group)
        values *= scale[first:end, :, None]
        values += offset[first:end, :, None]
        return values.reshape(end - first, k)

    if bits > 4:
        return by_rows(parts.name, (n, k), parts.nbytes, "int8", rows)
    return by_codes(parts.name, (n, k), parts.nbytes, lambda a, b: unpack(words[a:b], bits), scale, offset)


def unstacked(stored: dict[str, StoredTensor]) -> Iterator[tuple[str, StoredTensor]]:
    """Stacks of experts as the hub's names have them: one tensor for each expert."""
    for name, tensor in stored.items():
        if _STACKS in name and tensor.data.ndim == 3:
            prefix, _, rest = name.partition(_STACKS)
            for e, part in enumerate(tensor.data):
                yield f"{prefix}.mlp.experts.{e}.{rest}", replace(tensor, data=part)
        else:
            yield name, tensor
