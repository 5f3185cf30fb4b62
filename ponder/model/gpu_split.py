"""How vLLM divides a model over GPUs under tensor parallelism (docs/plan.md), for `capacity.estimate`."""

import math

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.model.config import ModelConfig
from ponder.model.decoder import EMBED, HEAD

BLOCK = 128  # FP8 checkpoints keep one float32 scale for every 128 x 128 values


class TensorSize(Struct, frozen=True):
    """One tensor on one device."""

    kind: str
    nbytes: int


def gpu_tensors(config: ModelConfig, dtype: str, count: int) -> dict[str, TensorSize]:
    """What each of `count` GPUs keeps, as vLLM divides a model: outputs of q, k, v, gate and up, inputs of o and down,
    words of the table and the head; norms and routers are everywhere, and k and v when there are more GPUs than heads.

    fp8: every matrix but table, head and routers, one float32 scale a block. Raises UserError when it does not divide.
    """
    shapes = config.shapes()
    _check_split(config, dtype, count)
    kv_parts = min(count, config.num_key_value_heads)
    out = {}
    for name, shape in shapes.items():
        values = math.prod(shape)
        if name.endswith(("norm.weight", ".mlp.gate.weight")):
            out[name] = TensorSize("bf16", 2 * values)
            continue
        parts = kv_parts if ".k_proj." in name or ".v_proj." in name else count
        if dtype == "bf16" or len(shape) == 1 or name in (EMBED, HEAD):
            out[name] = TensorSize("bf16", 2 * values // parts)
            continue
        rows_cut = name.endswith(("o_proj.weight", "down_proj.weight"))
        n, k = (shape[0], shape[1] // parts) if rows_cut else (shape[0] // parts, shape[1])
        out[name] = TensorSize("fp8", n * k + 4 * math.ceil(n / BLOCK) * math.ceil(k / BLOCK))
    return out


def _check_split(config: ModelConfig, dtype: str, count: int) -> None:
    if _divides(config, dtype, count):
        return
    width = config.moe_intermediate_size or config.intermediate_size
    good = [str(n) for n in range(1, 65) if _divides(config, dtype, n)]
    why = ""
    if dtype == "fp8" and _divides(config, "bf16", count):
        why = f": the {width} of an MLP would fall into pieces of {width // count}, not whole blocks of {BLOCK}"
    raise UserError(
        f"{dtype} weights do not divide over {count} GPUs{why}. Numbers that do: {', '.join(good)}", param="gpus"
    )


def _divides(config: ModelConfig, dtype: str, count: int) -> bool:
    """vLLM's conditions; those of FP8 blocks are its issues 17569 (235B on 8) and 25292 (30B on 4)."""
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = config.moe_intermediate_size or config.intermediate_size
    q_width, kv_width = heads * config.head_dim // count, max(1, kv_heads // count) * config.head_dim
    even = heads % count == 0 and width % count == 0 and config.vocab_size % count == 0
    even = even and (kv_heads % count == 0 or count % kv_heads == 0)
    blocks = dtype != "fp8" or count == 1 or all(w % BLOCK == 0 for w in (width // count, q_width, kv_width))
    return even and blocks
