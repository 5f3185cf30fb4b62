"""Q4_K and Q4_1 keep their codes: what a model of such a file is made of, what it computes, how it is saved."""

import dataclasses
from pathlib import Path

import gguf
import numpy as np
from gguf_tiny import CONFIGS, random_blocks
from msgspec.structs import replace
from test_gguf_files import finish, gguf_shapes, writer_for

from ponder.core.batch import Batch
from ponder.kernels.packing.panels import Panels
from ponder.kernels.tensor import Tensor
from ponder.model.capacity import cpu_tensors
from ponder.model.formats.gguf_read import read_gguf
from ponder.model.formats.hf import read_hf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load, make_ops
from ponder.model.weights.build import build, cache_dtype, storage_plan
from ponder.model.weights.cache_file import CacheFile, Piece, bytes_of, write_cache_file
from ponder.model.weights.checkpoint import read

CONFIG = replace(CONFIGS["untied"], hidden_size=256, intermediate_size=512, head_dim=64)
IDS = np.arange(3, 40, dtype=np.int32)


def q4_k_m(path: Path) -> Path:
    """As llama.cpp's Q4_K_M: Q4_K, with Q6_K where it matters more; one Q4_1 besides."""
    writer = writer_for(path, CONFIG)
    for n, (name, shape) in enumerate(gguf_shapes(CONFIG).items()):
        if len(shape) == 1:
            writer.add_tensor(name, np.ones(shape, np.float32))
            continue
        better = name in ("output.weight", "token_embd.weight") or "attn_v" in name or name == "blk.0.ffn_down.weight"
        type_ = "Q6_K" if better else "Q4_1" if "attn_k." in name else "Q4_K"
        raw = random_blocks(type_, shape[0] * shape[1] // (32 if type_ == "Q4_1" else 256), n).reshape(shape[0], -1)
        for at in {"Q6_K": (208,), "Q4_1": (0, 2), "Q4_K": (0, 2)}[type_]:
            blocks = raw.reshape(-1, {"Q6_K": 210, "Q4_1": 20, "Q4_K": 144}[type_])
            halves = np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2")
            blocks[:, at : at + 2] = (np.abs(halves) * np.float16(2.0**-9)).view(np.uint8)
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[type_])
    finish(writer)
    return path


def test_kinds_bytes_and_what_is_computed(tmp_path: Path) -> None:
    path = q4_k_m(tmp_path / "m.gguf")
    checkpoint = read_gguf(path)
    kinds = {name: kind for name, (_, kind) in storage_plan(checkpoint, "auto").items()}
    assert kinds["model.layers.0.self_attn.q_proj.weight"] == kinds["model.layers.0.self_attn.k_proj.weight"] == "uint4"
    assert kinds["model.layers.1.mlp.down_proj.weight"] == "uint4" and kinds["lm_head.weight"] == "int8"
    assert kinds["model.layers.0.mlp.down_proj.weight"] == kinds["model.layers.0.self_attn.v_proj.weight"] == "int8"
    assert kinds["model.embed_tokens.weight"] == "bf16"
    exact, packed = load(path, dtype="f32"), load(path)
    assert packed.nbytes == sum(t.nbytes for t in cpu_tensors(checkpoint, "auto").values())
    batch = Batch.packed([len(IDS)])
    want, got = exact.forward(IDS, batch), packed.forward(IDS, batch)
    assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)  # activations in int8 cost 1 to 2 %
    oracle = build(checkpoint, make_ops("numpy")).forward(IDS, batch)
    assert np.linalg.norm(oracle - want) < 0.05 * np.linalg.norm(want)


def test_a_few_such_matrices_save_nothing_elsewhere(tmp_path: Path) -> None:
    """An int4 copy of the head and an int8 cache are for models of four bits, not for files with some Q4_K in them."""
    checkpoint = read_gguf(q4_k_m(tmp_path / "m.gguf"))
    assert cache_dtype("auto", checkpoint, "auto") == "int8"
    kept = {n for n in checkpoint.tensors if "q_proj" in n}
    fewer = {n: s if n in kept else dataclasses.replace(s, auto="int8", group=0) for n, s in checkpoint.tensors.items()}
    few = dataclasses.replace(checkpoint, tensors=fewer)
    assert {kind for n, (_, kind) in storage_plan(few, "auto").items() if n in kept} == {"uint4"}
    assert cache_dtype("auto", few, "auto") == "bf16"


def test_the_values_are_the_files(tmp_path: Path) -> None:
    """Scales and offsets rounded to float16, nothing else: 2^-11 of the largest part of a value."""
    checkpoint = read_gguf(q4_k_m(tmp_path / "m.gguf"))
    for name, source in checkpoint.tensors.items():
        if source.auto == "uint4":
            kept, exact = read(source, "uint4", 64), read(source, "f32")  # whatever group is asked for
            assert isinstance(kept, Tensor) and not isinstance(exact, Tensor) and kept.group == 32
            scale, offset = (np.repeat(np.abs(part), 32, axis=1) for part in kept.scales() if part is not None)
            assert (np.abs(kept.dequantise() - exact) <= 2.0**-11 * (15 * scale + offset)).all(), name


def test_saved_as_a_folder_it_is_int8(tmp_path: Path) -> None:
    checkpoint = read_gguf(q4_k_m(tmp_path / "m.gguf"))
    save_hf(tmp_path / "out", checkpoint)
    saved = read_hf(tmp_path / "out")
    assert {s.auto for n, s in saved.tensors.items() if "_proj" in n} == {"int8"}
    for name, source in checkpoint.tensors.items():
        if source.auto == "uint4":
            ours, theirs = read(saved.tensors[name], "int8"), read(source, "int8")
            assert isinstance(ours, Tensor) and isinstance(theirs, Tensor)
            np.testing.assert_array_equal(ours.data, theirs.data)


def test_kept_on_disk(tmp_path: Path) -> None:
    tensor = Tensor.quantise(np.random.default_rng(0).standard_normal((33, 96)).astype(np.float32), "uint4")
    piece = Piece("uint4", (33, 96), 32)
    with write_cache_file(tmp_path / "w", {"a": piece}, {}) as put:
        put("a", bytes_of(tensor))
    again = CacheFile(tmp_path / "w").value("a")
    assert isinstance(again, Panels)
    np.testing.assert_array_equal(again.tensor().dequantise(), tensor.dequantise())


def test_gate_and_up_of_an_expert_are_of_one_kind(tmp_path: Path) -> None:
    """Dynamic quantisations give them types of two kinds; both read the same packed activations."""
    config = replace(CONFIGS["moe"], hidden_size=256, moe_intermediate_size=256, num_hidden_layers=2)
    writer = writer_for(tmp_path / "m.gguf", config)
    writer.kv_data[0]["general.architecture"].value = "qwen3moe"
    keys = [key for key in writer.kv_data[0] if key.startswith("qwen3.")]
    for key in keys:
        writer.kv_data[0][key.replace("qwen3.", "qwen3moe.")] = writer.kv_data[0].pop(key)
    for key, value in {"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 256}.items():
        writer.add_uint32(f"qwen3moe.{key}", value)
    shapes = {n: s for n, s in gguf_shapes(config).items() if ".ffn_" not in n or "norm" in n}
    for layer in range(2):
        shapes |= {f"blk.{layer}.ffn_{part}_exps.weight": (8, 256, 256) for part in ("gate", "up", "down")}
        shapes[f"blk.{layer}.ffn_gate_inp.weight"] = (8, 256)
    for n, (name, shape) in enumerate(shapes.items()):
        if "_exps" not in name:
            writer.add_tensor(name, np.full(shape, 0.01, np.float32))
            continue
        type_ = "Q6_K" if name == "blk.0.ffn_up_exps.weight" else "Q4_K"
        raw = random_blocks(type_, 8 * 256, n).reshape(8, 256, -1)
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[type_])
    finish(writer)
    checkpoint = read_gguf(tmp_path / "m.gguf")
    found = {
        n.partition(".experts.3.")[2][:4] + n[13]: s.auto for n, s in checkpoint.tensors.items() if ".experts.3." in n
    }
    assert found == {
        "gate0": "int8",
        "up_p0": "int8",
        "down0": "uint4",
        "gate1": "uint4",
        "up_p1": "uint4",
        "down1": "uint4",
    }
    assert load(tmp_path / "m.gguf").forward(IDS, Batch.packed([len(IDS)])).shape == (len(IDS), 320)
