"""Tiny models in the published quantised forms, as their writers lay the bytes out, and the float32 weights that each
form stands for. Codes and scales are drawn, not rounded from weights: every code occurs, and nothing is approximate.

Encoders are written element by element, the other way round from the readers under test.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from safetensors.torch import save_file

from ponder.model.config import PRESETS
from ponder.model.weights.build import memory_checkpoint, random_checkpoint

CONFIG = replace(PRESETS["tiny"], tie_word_embeddings=False)
RNG = np.random.default_rng
Tensors = dict[str, torch.Tensor]
Encoded = tuple[Tensors, np.ndarray]  # what the file has, under the layer's name; what it stands for


def pack_words(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes [R, C] -> int32 words along C: code i of a word lies at bit i * bits."""
    per = 32 // bits
    words = np.zeros((codes.shape[0], codes.shape[1] // per), np.uint32)
    for column in range(codes.shape[1]):
        words[:, column // per] |= codes[:, column].astype(np.uint32) << np.uint32(column % per * bits)
    return words.view(np.int32)


def _ints(words: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(words))


def _halves(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.002, 0.02, shape).astype(np.float16)


def gptq(bits: int, *, act: bool = False, sym: bool = True, stored_less_one: bool = True) -> Callable[..., Encoded]:
    def encode(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
        q, scale = rng.integers(0, 1 << bits, (n, k)), _halves(rng, k // 32, n)
        zero = np.full(scale.shape, 1 << bits - 1) if sym else rng.integers(1, 1 << bits, scale.shape)
        group = rng.permutation(np.arange(k) // 32) if act else np.arange(k) // 32
        value = np.empty((n, k), np.float32)
        for column, g in enumerate(group):
            value[:, column] = (q[:, column] - zero[g]).astype(np.float32) * scale[g].astype(np.float32)
        tensors = {
            "qweight": _ints(pack_words(q, bits).T),
            "qzeros": _ints(pack_words(zero - stored_less_one, bits)),
            "scales": torch.from_numpy(scale),
            "g_idx": torch.from_numpy(group.astype(np.int32)),
        }
        return tensors, value

    return encode


def awq(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
    order = [0, 2, 4, 6, 1, 3, 5, 7]  # the output that each place of a word has
    q, zero, scale = rng.integers(0, 16, (k, n)), rng.integers(0, 16, (k // 32, n)), _halves(rng, k // 32, n)
    places = np.concatenate([np.array(order) + 8 * word for word in range(n // 8)])
    tensors = {
        "qweight": _ints(pack_words(q[:, places], 4)),
        "qzeros": _ints(pack_words(zero[:, places], 4)),
        "scales": torch.from_numpy(scale),
    }
    group = np.arange(k) // 32
    return tensors, ((q - zero[group]).astype(np.float32) * scale[group].astype(np.float32)).T


def _e4m3(rng: np.random.Generator, n: int, k: int) -> torch.Tensor:
    codes = rng.integers(0, 256, (n, k), np.uint8)
    codes[codes & 127 == 127] = 0  # NaN
    return torch.from_numpy(codes).view(torch.float8_e4m3fn)


def fp8_block(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
    q, scale = (
        _e4m3(rng, n, k),
        torch.from_numpy(rng.uniform(1e-4, 1e-3, (-(-n // 48), -(-k // 32))).astype(np.float32)),
    )
    scale = scale.bfloat16()
    value = q.float().clone()
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            value[i * 48 : i * 48 + 48, j * 32 : j * 32 + 32] *= scale[i, j].float()
    return {"weight": q, "weight_scale_inv": scale}, value.numpy()


def fp8_by(shape: Callable[[int, int], tuple[int, ...]]) -> Callable[..., Encoded]:
    def encode(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
        q, scale = _e4m3(rng, n, k), torch.from_numpy(rng.uniform(1e-4, 1e-3, shape(n, k)).astype(np.float32))
        return {"weight": q, "weight_scale": scale}, (q.float() * scale).numpy()

    return encode


def ct_packed(bits: int, *, sym: bool = True) -> Callable[..., Encoded]:
    def encode(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
        half = 1 << bits - 1
        q = rng.integers(-half, half, (n, k))
        scale = torch.from_numpy(rng.uniform(0.002, 0.02, (n, k // 32)).astype(np.float32)).bfloat16()
        zero = np.zeros((n, k // 32), int) if sym else rng.integers(-half, half, (n, k // 32))
        value = np.empty((n, k), np.float32)
        for column in range(k):
            value[:, column] = (q[:, column] - zero[:, column // 32]) * scale[:, column // 32].float().numpy()
        tensors = {
            "weight_packed": _ints(pack_words(q + half, bits)),
            "weight_scale": scale,
            "weight_shape": torch.tensor([n, k]),
        }
        if not sym:
            tensors["weight_zero_point"] = _ints(pack_words((zero + half).T, bits).T)
        return tensors, value

    return encode


def ct_int8(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
    q, scale = rng.integers(-128, 128, (n, k)).astype(np.int8), _halves(rng, n, 1)
    value = q.astype(np.float32) * scale.astype(np.float32)
    return {"weight": torch.from_numpy(q), "weight_scale": torch.from_numpy(scale.astype(np.float32))}, value


def mlx(bits: int) -> Callable[..., Encoded]:
    def encode(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
        q = rng.integers(0, 1 << bits, (n, k))
        scale, bias = (
            torch.from_numpy(rng.uniform(low, 0.02, (n, k // 32)).astype(np.float32)).bfloat16()
            for low in (0.001, -0.02)
        )
        value = np.empty((n, k), np.float32)
        for column in range(k):
            g = column // 32
            value[:, column] = (
                q[:, column].astype(np.float32) * scale[:, g].float().numpy() + bias[:, g].float().numpy()
            )
        words = np.zeros((n, k * bits // 32), np.uint32)
        for row in range(n):
            stream = sum(int(code) << bits * i for i, code in enumerate(q[row]))
            words[row] = np.frombuffer(stream.to_bytes(k * bits // 8, "little"), np.uint32)
        return {"weight": torch.from_numpy(words), "scales": scale, "biases": bias}, value

    return encode


def nf4(*, nested: bool) -> Callable[..., Encoded]:
    def encode(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
        codes, table = rng.integers(0, 16, n * k), np.sort(rng.uniform(-1, 1, 16)).astype(np.float32)
        state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [n, k]}
        blocks = n * k // 64
        tensors = {"weight.quant_map": torch.from_numpy(table)}
        if nested:
            index, outer = (
                rng.integers(0, 256, blocks).astype(np.uint8),
                np.sort(rng.uniform(-1, 1, 256)).astype(np.float32),
            )
            factor = rng.uniform(0.01, 0.02, -(-blocks // 256)).astype(np.float32)
            largest = np.array(
                [outer[c] * factor[i // 256] + np.float32(0.03) for i, c in enumerate(index)], np.float32
            )
            tensors["weight.absmax"] = torch.from_numpy(index)
            tensors["weight.nested_absmax"] = torch.from_numpy(factor)
            tensors["weight.nested_quant_map"] = torch.from_numpy(outer)
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": float(np.float32(0.03))}
        else:
            largest = rng.uniform(0.01, 0.05, blocks).astype(np.float32)
            tensors["weight.absmax"] = torch.from_numpy(largest)
        value = np.array([table[c] * largest[i // 64] for i, c in enumerate(codes)], np.float32)
        tensors["weight"] = torch.from_numpy((codes[0::2] * 16 + codes[1::2]).astype(np.uint8)).reshape(-1, 1)
        text = json.dumps(state).encode()
        tensors["weight.quant_state.bitsandbytes__nf4"] = torch.from_numpy(np.frombuffer(text, np.uint8).copy())
        return tensors, value.reshape(n, k)

    return encode


def bnb_int8(name: str, n: int, k: int, rng: np.random.Generator) -> Encoded:
    q, largest = rng.integers(-127, 128, (n, k)).astype(np.int8), rng.uniform(0.1, 2, n).astype(np.float32)
    tensors = {"weight": torch.from_numpy(q), "SCB": torch.from_numpy(largest), "weight_format": torch.tensor(0).byte()}
    return tensors, q.astype(np.float32) * (largest / np.float32(127))[:, None]


def _ct(format_: str, **weights: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    config = {"quant_method": "compressed-tensors", "format": format_, "config_groups": {"group_0": group}}
    return {"quantization_config": config | {"ignore": ["lm_head"], "quantization_status": "compressed"}}


def _gptq(bits: int, **more: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": False} | more}


def _mlx(bits: int) -> dict[str, Any]:
    packing = {"group_size": 32, "bits": bits}
    return {"quantization": packing, "quantization_config": packing}


_FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}
_BNB = {"quantization_config": {"quant_method": "bitsandbytes", "llm_int8_skip_modules": ["lm_head"]}}
_AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}

# name -> keys of config.json, and how a matrix is stored
FORMS: dict[str, tuple[dict[str, Any], Callable[..., Encoded]]] = {
    "fp8": ({"quantization_config": _FP8 | {"weight_block_size": [48, 32]}}, fp8_block),
    "fp8-matrix": ({"quantization_config": _FP8}, fp8_by(lambda n, k: (1,))),
    "gptq-int4": (_gptq(4), gptq(4)),
    "gptq-int8": (_gptq(8, sym=True), gptq(8)),
    "gptq-int2": (_gptq(2), gptq(2)),
    "gptq-asym": (_gptq(4, sym=False), gptq(4, sym=False)),
    "gptq-int8-asym": (_gptq(8, sym=False), gptq(8, sym=False)),
    "gptq-v2": (_gptq(4, checkpoint_format="gptq_v2", sym=False), gptq(4, sym=False, stored_less_one=False)),
    "gptq-act": (_gptq(4, desc_act=True), gptq(4, act=True)),
    "gptq-act-asym": (_gptq(4, desc_act=True), gptq(4, act=True, sym=False)),
    "awq": ({"quantization_config": _AWQ}, awq),
    "ct-w4a16": (_ct("pack-quantized", num_bits=4, group_size=32), ct_packed(4)),
    "ct-w4a16-asym": (_ct("pack-quantized", num_bits=4, group_size=32), ct_packed(4, sym=False)),
    "ct-w8a16": (_ct("pack-quantized", num_bits=8, group_size=32), ct_packed(8)),
    "ct-w8a8": (_ct("int-quantized", num_bits=8, strategy="channel"), ct_int8),
    "ct-fp8": (_ct("float-quantized", num_bits=8, strategy="channel"), fp8_by(lambda n, k: (n, 1))),
    "nf4": (_BNB, nf4(nested=False)),
    "nf4-double": (_BNB, nf4(nested=True)),
    "bnb-int8": (_BNB, bnb_int8),
    **{f"mlx-{bits}": (_mlx(bits), mlx(bits)) for bits in (2, 3, 4, 5, 6, 8)},
}


def write(folder: Path, form: str) -> dict[str, np.ndarray]:
    """A folder in the form; -> the float32 weights it stands for."""
    keys, encode = FORMS[form]
    plain = random_checkpoint(CONFIG, 3, noisy=True)
    values: dict[str, np.ndarray] = {}
    tensors: Tensors = {}
    for i, (name, source) in enumerate(plain.tensors.items()):
        everywhere = form.startswith("mlx") and len(source.shape) == 2
        if everywhere or "_proj." in name:
            layer = name.removesuffix(".weight")
            parts, values[name] = encode(layer, *source.shape, RNG(i))
            tensors |= {f"{layer}.{part}": tensor.contiguous() for part, tensor in parts.items()}
        else:
            values[name] = np.asarray(source.read(), np.float32)
            tensors[name] = torch.from_numpy(values[name])
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG.to_hf("f32") | keys))
    return values


def plain_checkpoint(values: dict[str, np.ndarray]) -> Any:
    return memory_checkpoint(CONFIG, {name: np.ascontiguousarray(value) for name, value in values.items()})
