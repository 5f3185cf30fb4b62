"""Readers of quantised forms beside the programs that these come from: forms.py [--autogptq DIR] [--autoawq DIR]

Each program quantises random matrices itself, Ponder reads what a file would hold, and the largest difference from the
program's own dequantised values is printed. Needs torch, mlx[cpu], bitsandbytes, compressed-tensors; AutoGPTQ and
AutoAWQ as unpacked archives, since they install only beside CUDA.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ponder.model.formats.quantised.read import read_quantised
from ponder.model.formats.safetensors_file import map_file
from ponder.model.quantisation_config import Awq, BitsAndBytes, CompressedTensors, Form, Fp8, Gptq, Mlx, MlxGroup
from ponder.model.weights.checkpoint import read

N, K, GROUP = 256, 384, 64
Case = tuple[str, Form, dict[str, torch.Tensor], torch.Tensor]


def mlx_cases() -> Iterator[Case]:
    import mlx.core as mx

    for bits in (2, 3, 4, 5, 6, 8):
        weight = mx.random.normal((N, K))
        words, scales, biases = mx.quantize(weight, group_size=GROUP, bits=bits)
        want = mx.dequantize(words, scales, biases, group_size=GROUP, bits=bits)
        parts = {
            f"X.{name}": torch.from_numpy(np.array(value))
            for name, value in (("weight", words), ("scales", scales), ("biases", biases))
        }
        yield f"mlx {bits} bits: mlx", Mlx(MlxGroup(bits, GROUP), {}), parts, torch.from_numpy(np.array(want))  # type: ignore[arg-type]


def bitsandbytes_cases() -> Iterator[Case]:
    from bitsandbytes import functional

    for kind in ("nf4", "fp4"):
        for nested in (False, True):
            weight = torch.randn(N, K)
            q, state = functional.quantize_4bit(weight, quant_type=kind, compress_statistics=nested)
            parts = {f"X.weight.{name}": value for name, value in state.as_dict(packed=True).items()}
            want = functional.dequantize_4bit(q, state)
            yield f"{kind}{' nested' if nested else ''}: bitsandbytes", BitsAndBytes(), parts | {"X.weight": q}, want
    q8, largest, _ = functional.int8_vectorwise_quant(torch.randn(N, K).half())
    want = functional.int8_vectorwise_dequant(q8, largest)
    yield "int8: bitsandbytes", BitsAndBytes(), {"X.weight": q8, "X.SCB": largest}, want


def compressed_tensors_cases() -> Iterator[Case]:
    from compressed_tensors.compressors import NaiveQuantizationCompressor, PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    for name, packed, options in (
        ("w4a16", True, {"num_bits": 4, "strategy": "group", "group_size": 128}),
        ("w4a16 asymmetric", True, {"num_bits": 4, "strategy": "group", "group_size": 128, "symmetric": False}),
        ("w8a16", True, {"num_bits": 8, "strategy": "channel"}),
        ("w8a8", False, {"num_bits": 8, "strategy": "channel"}),
        ("fp8", False, {"num_bits": 8, "type": "float", "strategy": "channel"}),
    ):
        args = QuantizationArgs(**options)
        weight = torch.randn(N, K)
        groups = weight.reshape(N, -1, args.group_size or K)
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
        compressor = PackedQuantizationCompressor if packed else NaiveQuantizationCompressor
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        stored = compressor.compress(state, scheme)
        if args.symmetric:
            stored.pop("weight_zero_point", None)
        want = compressor.decompress(stored, scheme)["weight"]
        yield f"{name}: compressed-tensors", CompressedTensors(), {f"X.{k}": v for k, v in stored.items()}, want


def fp8_cases() -> Iterator[Case]:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    q, scale = torch.randn(N, K).to(torch.float8_e4m3fn), torch.rand(N // 128, K // 128)
    want = Fp8Dequantize(None)._dequantize_one(q, scale, torch.float32)
    yield "fp8, blocks of 128: transformers", Fp8((128, 128)), {"X.weight": q, "X.weight_scale_inv": scale}, want


def gptq_cases(archive: Path) -> Iterator[Case]:
    folder = archive / "auto_gptq" / "nn_modules" / "qlinear"
    for bits, act in ((4, False), (8, False), (2, False), (4, True), (8, True)):
        layer_class = _module(folder / ("qlinear_cuda.py" if act else "qlinear_cuda_old.py")).QuantLinear
        layer = layer_class(bits, GROUP, K, N, False)
        linear = torch.nn.Linear(K, N, bias=False)
        top, groups = (1 << bits) - 1, K // GROUP
        group_of = torch.randperm(K) // GROUP if act else torch.arange(K) // GROUP
        parts = torch.stack([linear.weight.data[:, group_of == g] for g in range(groups)], 1)
        scale = (parts.amax(-1) - parts.amin(-1)) / top
        zero = (-parts.amin(-1) / scale).round().clamp(1, top)
        layer.pack(linear, scale, zero, group_of)
        layer.scales = layer.scales.float()
        want = layer(torch.eye(K)).T
        names = ("qweight", "qzeros", "scales", *(("g_idx",) if act else ()))
        stored = {f"X.{name}": layer.state_dict().get(name, getattr(layer, name)) for name in names}
        form = Gptq(bits, GROUP)  # type: ignore[arg-type]
        if act:
            stored["X.g_idx"] = stored["X.g_idx"].int()
        yield f"gptq int{bits}{' desc_act' if act else ''}: AutoGPTQ", form, stored, want


def awq_cases(archive: Path) -> Iterator[Case]:
    dequantise = _module(archive / "awq" / "utils" / "packing_utils.py").dequantize_gemm
    high = torch.iinfo(torch.int32)
    words, zeros = (torch.randint(high.min, high.max, (rows, N // 8), dtype=torch.int32) for rows in (K, K // GROUP))
    scale = torch.rand(K // GROUP, N)
    want = dequantise(words, zeros, scale, 4, GROUP).T
    yield "awq: AutoAWQ", Awq(GROUP), {"X.qweight": words, "X.qzeros": zeros, "X.scales": scale}, want


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autogptq", type=Path, help="an unpacked auto-gptq wheel")
    parser.add_argument("--autoawq", type=Path, help="an unpacked autoawq archive")
    args = parser.parse_args()
    sources: list[Any] = [fp8_cases(), mlx_cases(), bitsandbytes_cases(), compressed_tensors_cases()]
    sources += [gptq_cases(args.autogptq)] if args.autogptq else []
    sources += [awq_cases(args.autoawq)] if args.autoawq else []
    print(f"{'form: program':34} largest difference, relative to the largest value")
    for cases in sources:
        for name, form, tensors, want in cases:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "m.safetensors"
                save_file({k: v.detach().contiguous() for k, v in tensors.items()}, file)
                found, _ = read_quantised(map_file(file), form, "m")
                mine = np.asarray(read(found["X.weight"], "f32"))
            reference = want.detach().float().numpy()
            print(f"{name:34} {np.abs(mine - reference).max() / np.abs(reference).max():.1e}")


if __name__ == "__main__":
    main()
