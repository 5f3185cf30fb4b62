"""A real model as others publish it, plainly rounded: make_form.py FORM SOURCE TARGET

FORM: fp8, gptq, awq, nf4, mlx or w4a16. SOURCE: a folder or GGUF file. For measuring how such folders load, with
bench/load.py; the rounding is the simplest there is.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ponder.model.load import open_checkpoint
from ponder.model.weights.checkpoint import read

Parts = dict[str, torch.Tensor]
GROUP = 128
ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
NF4 = [
    -1,
    -0.6962,
    -0.5251,
    -0.3949,
    -0.2844,
    -0.1848,
    -0.0911,
    0,
    0.0796,
    0.1609,
    0.2461,
    0.3379,
    0.4407,
    0.5626,
    0.723,
    1,
]


def words(codes: torch.Tensor) -> torch.Tensor:
    """[R, C] of four bits -> int32 [R, C / 8]."""
    pairs = codes.to(torch.uint8).reshape(len(codes), -1, 2)
    return (pairs[..., 0] | pairs[..., 1] << 4).contiguous().view(torch.int32)


def affine(w: torch.Tensor, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """-> codes [N, K], scale and least value [N, G]."""
    parts = w.reshape(len(w), -1, group)
    low, high = parts.amin(-1), parts.amax(-1)
    scale = ((high - low) / 15).clamp(min=1e-8)
    return ((parts - low[..., None]) / scale[..., None]).round().clamp(0, 15).reshape(w.shape), scale, low


def symmetric(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    parts = w.reshape(len(w), -1, GROUP)
    scale = (parts.abs().amax(-1) / 7).clamp(min=1e-8)
    return ((parts / scale[..., None]).round() + 8).clamp(0, 15).reshape(w.shape), scale


def fp8(w: torch.Tensor) -> Parts:
    n, k = w.shape
    blocks = torch.nn.functional.pad(w, (0, -k % 128, 0, -n % 128)).reshape(-(-n // 128), 128, -(-k // 128), 128)
    scale = blocks.abs().amax((1, 3)).clamp(min=1e-8) / 448
    q = (w / scale.repeat_interleave(128, 0)[:n].repeat_interleave(128, 1)[:, :k]).to(torch.float8_e4m3fn)
    return {"weight": q, "weight_scale_inv": scale.bfloat16()}


def gptq(w: torch.Tensor) -> Parts:
    q, scale = symmetric(w)
    zeros = torch.full((w.shape[1] // GROUP, len(w) // 8), 0x77777777, dtype=torch.int32)
    group_of = torch.arange(w.shape[1], dtype=torch.int32) // GROUP
    return {"qweight": words(q).T, "qzeros": zeros, "scales": scale.T.half(), "g_idx": group_of}


def awq(w: torch.Tensor) -> Parts:
    q, scale, low = affine(w, GROUP)
    zero = (-low / scale).round().clamp(0, 15)
    places = torch.tensor([place + 8 * word for word in range(len(w) // 8) for place in ORDER])
    return {"qweight": words(q.T[:, places]), "qzeros": words(zero.T[:, places]), "scales": scale.T.half()}


def w4a16(w: torch.Tensor) -> Parts:
    q, scale = symmetric(w)
    return {"weight_packed": words(q), "weight_scale": scale.bfloat16(), "weight_shape": torch.tensor(w.shape)}


def mlx(w: torch.Tensor) -> Parts:
    q, scale, low = affine(w, 64)
    return {"weight": words(q).view(torch.uint32), "scales": scale.bfloat16(), "biases": low.bfloat16()}


def nf4(w: torch.Tensor) -> Parts:
    table = torch.tensor(NF4)
    parts = w.reshape(-1, 64)
    largest = parts.abs().amax(-1)
    q = torch.bucketize(parts / largest.clamp(min=1e-8)[:, None], (table[1:] + table[:-1]) / 2).to(torch.uint8)
    pairs = q.reshape(-1, 2)
    state = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": list(w.shape)}).encode()
    return {
        "weight": (pairs[:, :1] << 4) | pairs[:, 1:], "weight.absmax": largest, "weight.quant_map": table,
        "weight.quant_state.bitsandbytes__nf4": torch.frombuffer(bytearray(state), dtype=torch.uint8),
    }  # fmt: skip


WEIGHTS = {"num_bits": 4, "group_size": GROUP, "strategy": "group", "symmetric": True, "type": "int"}
FORMS: dict[str, tuple[Callable[[torch.Tensor], Parts], dict[str, object]]] = {
    "fp8": (fp8, {"quant_method": "fp8", "weight_block_size": [128, 128]}),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": GROUP}),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}),
    "w4a16": (w4a16, {"quant_method": "compressed-tensors", "format": "pack-quantized",
                      "config_groups": {"group_0": {"weights": WEIGHTS}}}),
    "mlx": (mlx, {"bits": 4, "group_size": 64}),
    "nf4": (nf4, {"quant_method": "bitsandbytes"}),
}  # fmt: skip


def main() -> None:
    form, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    encode, method = FORMS[form]
    checkpoint = open_checkpoint(source)
    tensors: Parts = {}
    for name, one in checkpoint.tensors.items():
        value = torch.from_numpy(np.array(read(one, "f32") if len(one.shape) == 2 else one.read(), np.float32))
        if "_proj.weight" in name or (form == "mlx" and value.ndim == 2):
            base = name.removesuffix(".weight")
            tensors |= {f"{base}.{part}": tensor.contiguous() for part, tensor in encode(value).items()}
        else:
            tensors[name] = value.bfloat16()
    target.mkdir(parents=True)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    keys = {"quantization": method} if form == "mlx" else {"quantization_config": method}
    (target / "config.json").write_text(json.dumps(checkpoint.config.to_hf() | keys))


if __name__ == "__main__":
    main()
