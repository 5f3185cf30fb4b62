"""Every published quantised form: the very values, Ponder's own packing of them, and errors that name what is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import quantised_tiny as tiny
import torch
from safetensors.torch import load_file, save_file

from ponder.core.batch import Batch
from ponder.core.errors import LoadError
from ponder.kernels.native import NativeOps
from ponder.kernels.tensor import Tensor
from ponder.model.capacity import weight_bytes
from ponder.model.formats.hf import read_hf
from ponder.model.formats.quantised.bits import unpack
from ponder.model.load import load
from ponder.model.weights.build import build
from ponder.model.weights.checkpoint import read

IDS = np.arange(12, dtype=np.int32)
Q = "model.layers.0.self_attn.q_proj"
# Forms whose integers and scales are Ponder's own.
EXACT = {"gptq-int4": "int4", "gptq-int2": "int4", "gptq-int8": "int8", "ct-w4a16": "int4",
         "ct-w8a16": "int8", "ct-w8a8": "int8"}  # fmt: skip

OFFSETS = {"gptq-asym", "gptq-v2", "awq", "ct-w4a16-asym", "mlx-2", "mlx-3", "mlx-4"}  # whose codes uint4 keeps


@pytest.mark.parametrize("form", tiny.FORMS)
def test_values_are_those_of_the_form(form: str, tmp_path: Path) -> None:
    values = tiny.write(tmp_path / "m", form)
    found = read_hf(tmp_path / "m").tensors
    assert found.keys() == values.keys()
    for name, value in values.items():
        mine = read(found[name], "f32")
        np.testing.assert_array_equal(mine, value, err_msg=name)
        assert found[name].shape == value.shape


@pytest.mark.parametrize("form", tiny.FORMS)
def test_a_model_computes_with_them(form: str, tmp_path: Path) -> None:
    values = tiny.write(tmp_path / "m", form)

    def logits(model: Any) -> np.ndarray:
        return np.asarray(model.forward(IDS, Batch.packed([len(IDS)])))

    exact = logits(build(tiny.plain_checkpoint(values), NativeOps(), "f32"))
    np.testing.assert_array_equal(logits(load(tmp_path / "m", dtype="f32")), exact)
    auto = load(tmp_path / "m")
    assert np.sqrt(np.mean((logits(auto) - exact) ** 2)) < 0.05 * exact.std()  # int8 activations
    assert weight_bytes(read_hf(tmp_path / "m"), ["auto"])["auto"] == auto.nbytes


@pytest.mark.parametrize("form", tiny.FORMS)
def test_codes_that_are_ponders_own_are_not_rounded_again(form: str, tmp_path: Path) -> None:
    values = tiny.write(tmp_path / "m", form)
    source = read_hf(tmp_path / "m").tensors[Q + ".weight"]
    kind = "uint4" if form in OFFSETS else EXACT.get(form, "int8")
    assert (source.auto, source.packed) == (kind, form in EXACT)
    packed = read(source, source.auto, 32)
    assert isinstance(packed, Tensor) and packed.group == 32
    wrong = np.abs(packed.dequantise() - values[Q + ".weight"]).max()
    bound = np.abs(values[Q + ".weight"]).max() * (2**-11 if form in OFFSETS else 1 / 200)
    assert wrong <= (0 if form in EXACT else bound)
    if form in OFFSETS and "mlx" not in form:  # sums of codes and zero points are int8's, too
        np.testing.assert_array_equal(read(source, "int8", 32).dequantise(), values[Q + ".weight"])  # type: ignore[union-attr]
    if form in EXACT:
        np.testing.assert_array_equal(read(source, source.auto, 16).dequantise(), values[Q + ".weight"])  # type: ignore[union-attr]


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_streams_of_bits(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (3, 64))
    streams = [sum(int(code) << bits * i for i, code in enumerate(row)) for row in codes]
    words = np.array([np.frombuffer(s.to_bytes(8 * bits, "little"), np.uint32) for s in streams])
    np.testing.assert_array_equal(unpack(words, bits), codes)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quantization_config": {"quant_method": "hqq"}}, "hqq"),
    ({"quantization_config": {"quant_method": "modelopt"}}, "modelopt"),
    ({"quantization_config": {"quant_method": ["gptq"]}}, "gptq"),
    ({"quantization_config": {"bits": 4}}, "None"),
    (tiny._gptq(3), "gptq.*bits"),
    (tiny._gptq(4, checkpoint_format="marlin"), "gptq.*marlin"),
    ({"quantization_config": tiny._AWQ | {"version": "gemv"}}, "awq.*gemv"),
    ({"quantization_config": tiny._FP8 | {"fmt": "e5m2"}}, "fp8.*e5m2"),
    (tiny._ct("nvfp4-pack-quantized"), "compressed-tensors.*nvfp4"),
    (tiny._ct("marlin-24"), "compressed-tensors.*marlin-24"),
    ({"quantization_config": tiny._ct("dense")["quantization_config"] | {"quantization_status": "frozen"}}, "frozen"),
    ({"quantization": {"bits": 4, "group_size": 32, "mode": "mxfp4"}}, "MLX.*mxfp4"),
    ({"quantization": 4}, "not an object"),
]


@pytest.mark.parametrize(("keys", "match"), REFUSED)
def test_other_forms_are_refused_by_name(keys: dict[str, Any], match: str, tmp_path: Path) -> None:
    tiny.write(tmp_path / "m", "gptq-int4")
    config = tiny.CONFIG.to_hf("f32") | keys
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError, match=match):
        read_hf(tmp_path / "m")


def _spoilt(tmp_path: Path, form: str, **changes: Any) -> Path:
    """The folder with tensors of one layer put in another way; None takes one away."""
    folder = tmp_path / "m"
    tiny.write(folder, form)
    tensors = load_file(folder / "model.safetensors")
    for part, change in changes.items():
        name = f"{Q}.{part}"
        tensors[name] = change(tensors.get(name)) if change else None
    save_file({k: v.contiguous() for k, v in tensors.items() if v is not None}, folder / "model.safetensors")
    return folder


SPOILS: list[tuple[str, dict[str, Any], str]] = [
    ("gptq-int4", {"scales": None}, r"q_proj\.scales is missing"),
    ("gptq-int4", {"scales": lambda t: t[:1]}, r"q_proj\.scales has shape"),
    ("gptq-int4", {"qzeros": lambda t: t.float()}, r"q_proj\.qzeros is F32"),
    ("gptq-act", {"g_idx": lambda t: t + 1}, r"q_proj\.g_idx names a group"),
    ("awq", {"qzeros": lambda t: t[:, :1]}, r"q_proj\.qzeros has shape"),
    ("fp8", {"weight_scale_inv": lambda t: t[:, :1].repeat(1, 3)}, r"q_proj\.weight_scale_inv has shape"),
    ("ct-w4a16", {"weight_shape": lambda t: t * 2}, r"q_proj\.weight_packed has shape"),
    ("nf4", {"weight.absmax": lambda t: t[:-1]}, r"q_proj\.weight\.absmax has shape"),
    ("nf4", {"weight.quant_state.bitsandbytes__nf4": lambda t: t[:9]}, r"quant_state\S+ cannot be read"),
    ("mlx-4", {"biases": lambda t: t[:, :1]}, r"q_proj\.biases has shape"),
    ("mlx-4", {"extra": lambda _: torch.zeros(3)}, r"unexpected \S+q_proj\.extra"),
    ("gptq-int4", {"bias": lambda _: torch.ones(128)}, r"unexpected \S+q_proj\.bias"),
    ("fp8", {"weight_scale_inv": lambda t: t * float("nan")}, r"q_proj\S* holds values that are not finite"),
    ("gptq-int4", {"scales": lambda t: t / 0}, r"q_proj\S* holds values that are not finite"),
]


@pytest.mark.parametrize(("form", "changes", "match"), SPOILS)
def test_what_does_not_fit_is_named(form: str, changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    folder = _spoilt(tmp_path, form, **changes)
    with pytest.raises(LoadError, match=match):
        load(folder)


def test_biases_of_zeros_that_older_writers_gave_every_layer(tmp_path: Path) -> None:
    folder = _spoilt(tmp_path, "gptq-int4", bias=lambda _: torch.zeros(128))
    assert Q + ".bias" not in read_hf(folder).tensors


def test_scales_of_activations_and_of_a_cache_are_not_needed(tmp_path: Path) -> None:
    folder = _spoilt(tmp_path, "ct-fp8", input_scale=lambda _: torch.ones(1), k_scale=lambda _: torch.ones(1))
    assert read_hf(folder).tensors.keys() == tiny.CONFIG.shapes().keys()


def test_mlx_matrices_of_their_own_precision(tmp_path: Path) -> None:
    values = tiny.write(tmp_path / "m", "mlx-4")
    (tmp_path / "n").mkdir()
    other = tiny.write(tmp_path / "n" / "m", "mlx-8")
    tensors, eight = (load_file(tmp_path / place / "model.safetensors") for place in ("m", "n/m"))
    tensors |= {name: tensor for name, tensor in eight.items() if name.startswith(Q + ".")}
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    keys = tiny._mlx(4)
    keys["quantization"] |= {Q: {"group_size": 32, "bits": 8}, "lm_head": False}
    (tmp_path / "m" / "config.json").write_text(json.dumps(tiny.CONFIG.to_hf("f32") | keys))
    found = read_hf(tmp_path / "m").tensors
    np.testing.assert_array_equal(read(found[Q + ".weight"], "f32"), other[Q + ".weight"])
    k_proj = Q.replace("q_proj", "k_proj") + ".weight"
    np.testing.assert_array_equal(read(found[k_proj], "f32"), values[k_proj])


def test_mlx_experts_are_stacks(tmp_path: Path) -> None:
    """`switch_mlp.up_proj` [E, N, ...] stands for the experts' matrices."""
    from ponder.model.config import PRESETS
    from ponder.model.weights.build import random_checkpoint

    config = PRESETS["tiny-moe"]
    tensors: tiny.Tensors = {}
    values: dict[str, np.ndarray] = {}
    for name, source in random_checkpoint(config, 1).tensors.items():
        if ".experts." not in name:
            tensors[name] = torch.from_numpy(np.asarray(source.read()))
            continue
        prefix, _, rest = name.partition(".experts.")
        expert, layer = rest.removesuffix(".weight").split(".")
        parts, values[name] = tiny.mlx(4)("", *source.shape, tiny.RNG(len(values)))
        for part, tensor in parts.items():
            stack = f"{prefix}.switch_mlp.{layer}.{part}"
            tensors[stack] = torch.cat([tensors[stack], tensor[None]]) if int(expert) else tensor[None]
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config.to_hf("f32") | tiny._mlx(4)))
    found = read_hf(tmp_path).tensors
    assert found.keys() == config.shapes().keys()
    for name, value in values.items():
        np.testing.assert_array_equal(read(found[name], "f32"), value)
    logits = [
        np.asarray(load(tmp_path, dtype=dtype).forward(IDS, Batch.packed([len(IDS)]))) for dtype in ("f32", "auto")
    ]
    away = np.sqrt(np.mean((logits[1] - logits[0]) ** 2, axis=1)) / logits[0].std()
    assert np.median(away) < 0.01 and away.max() < 0.5  # a token between two experts may go to the other one
