"""`quantization_config` of a config.json: which published form the weights are stored in.

    stored_form({"quant_method": "gptq", "bits": 4, "group_size": 128})     # Gptq(bits=4, group_size=128)

Only what changes the meaning of the stored bytes is kept; ponder/model/formats/quantised reads the tensors. A form that
Ponder does not read is refused by its name, with what to take instead.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Size = Annotated[int, Meta(ge=1, le=1 << 24)]
Group = Annotated[int, Meta(ge=-1, le=1 << 24)]  # -1: all of a row

INSTEAD = "take the same model as bf16, FP8, AWQ, GPTQ, w4a16, MLX or GGUF"


class Fp8(Struct, frozen=True):
    """Bytes of e4m3 with one scale for a block [rows, columns], or for the whole matrix."""

    weight_block_size: tuple[Size, Size] | None = None


class Gptq(Struct, frozen=True):
    """Words along the inputs; `checkpoint_format` gptq keeps zero points less one, gptq_v2 as they are."""

    bits: Literal[2, 4, 8]
    group_size: Group
    checkpoint_format: Literal["gptq", "gptq_v2"] = "gptq"


class Awq(Struct, frozen=True):
    """Words along the outputs, their columns in AWQ's order."""

    group_size: Group
    bits: Literal[4] = 4
    version: Literal["gemm"] = "gemm"
    zero_point: Literal[True] = True


class CompressedTensors(Struct, frozen=True):
    """Names and shapes say nearly all; block: rows and columns that share a scale, where that is the strategy."""

    block: tuple[Size, Size] | None = None


class BitsAndBytes(Struct, frozen=True):
    """Four bits with a table beside each matrix, or int8 by rows: names say which."""


class MlxGroup(Struct, frozen=True):
    bits: Literal[2, 3, 4, 5, 6, 8]
    group_size: Size
    mode: Literal["affine"] = "affine"


class Mlx(Struct, frozen=True):
    """other: matrices that differ, by name."""

    usual: MlxGroup
    other: dict[str, MlxGroup]


Form = Fp8 | Gptq | Awq | CompressedTensors | BitsAndBytes | Mlx


def stored_form(given: Any, mlx: Any = None) -> Form | None:
    """given: `quantization_config`; mlx: MLX's own key, `quantization`. None: nothing, or Ponder's own packing.

    Raises ValueError that names the form, or the part of it that Ponder does not read.
    """
    if mlx is not None:
        return _mlx(mlx)
    if given is None:
        return None
    if not isinstance(given, dict):
        raise ValueError(f"quantization_config {given!r} is not an object")
    method = given.get("quant_method")
    if method == "ponder":
        return None
    if not isinstance(method, str) or method not in _READ:
        raise ValueError(f"quantization_config with quant_method {method!r} is not implemented; {INSTEAD}")
    try:
        return _READ[method](given)
    except msgspec.ValidationError as e:
        raise ValueError(f"{method} of this variant is not implemented ({e}); {INSTEAD}") from e


def _fp8(given: dict[str, Any]) -> Form:
    if given.get("fmt", "e4m3") != "e4m3":
        raise ValueError(f"fp8 with fmt {given['fmt']!r} is not implemented, only 'e4m3'; {INSTEAD}")
    return msgspec.convert(given, Fp8)


def _gptq(given: dict[str, Any]) -> Form:
    return msgspec.convert({k: v for k, v in given.items() if v is not None}, Gptq)


def _awq(given: dict[str, Any]) -> Form:
    version = str(given.get("version", "gemm")).lower()
    return msgspec.convert({k: v for k, v in given.items() if v is not None} | {"version": version}, Awq)


_PACKINGS = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "dense", "mixed-precision")


def _compressed_tensors(given: dict[str, Any]) -> Form:
    groups = given.get("config_groups")
    if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
        raise ValueError("compressed-tensors without config_groups")
    for name in (given.get("format", "dense"), *(group.get("format") or "dense" for group in groups.values())):
        if name not in _PACKINGS:
            raise ValueError(f"compressed-tensors of format {name!r} is not implemented; {INSTEAD}")
    if (status := given.get("quantization_status", "compressed")) != "compressed":
        raise ValueError(f"compressed-tensors of quantization_status {status!r} is not implemented; {INSTEAD}")
    for key in ("sparsity_config", "transform_config"):
        if (part := given.get(key)) and not (isinstance(part, dict) and part.get("format") == "dense"):
            raise ValueError(f"compressed-tensors with {key} is not implemented; {INSTEAD}")
    blocks = {_block(group) for group in groups.values()} - {None}
    if len(blocks) > 1:
        raise ValueError(f"compressed-tensors with blocks of several sizes is not implemented; {INSTEAD}")
    return CompressedTensors(blocks.pop() if blocks else None)


def _block(group: dict[str, Any]) -> tuple[int, int] | None:
    weights = group.get("weights") or {}
    if weights.get("strategy") != "block":
        return None
    return msgspec.convert(weights.get("block_structure"), tuple[Size, Size])


def _bitsandbytes(given: dict[str, Any]) -> Form:
    if given.get("bnb_4bit_quant_storage", "uint8") != "uint8":
        raise ValueError(f"bitsandbytes with bnb_4bit_quant_storage other than uint8 is not implemented; {INSTEAD}")
    return BitsAndBytes()


def _mlx(given: Any) -> Form:
    if not isinstance(given, dict):
        raise ValueError(f"quantization {given!r} is not an object")
    other = {name: value for name, value in given.items() if isinstance(value, dict)}
    try:
        usual = msgspec.convert(given, MlxGroup)
        return Mlx(usual, {name: msgspec.convert(value, MlxGroup) for name, value in other.items()})
    except msgspec.ValidationError as e:
        raise ValueError(f"MLX quantization of this variant is not implemented ({e}); {INSTEAD}") from e


_READ = {
    "fp8": _fp8,
    "gptq": _gptq,
    "awq": _awq,
    "compressed-tensors": _compressed_tensors,
    "bitsandbytes": _bitsandbytes,
}
