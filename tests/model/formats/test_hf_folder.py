"""HF folders: both directions with transformers, every storage type, a LoadError for everything that does not fit."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_oracle as oracle
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch
from transformers import AutoModelForCausalLM

from ponder.core.batch import Batch
from ponder.core.errors import LoadError, UserError
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import Tensor
from ponder.model.config import PRESETS
from ponder.model.formats.hf import read_hf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.weights.build import memory_checkpoint, random_checkpoint, read

IDS = oracle.sequences(30)[0]
TENSORS = "model.safetensors"


def _logits(folder: Path, **options: Any) -> np.ndarray:
    model = load(folder, ops="numpy", **options)
    return model.forward(np.array(IDS, np.int32), Batch.packed([len(IDS)]))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    save_hf(tmp_path / "tiny", random_checkpoint(replace(PRESETS["tiny"], tie_word_embeddings=False), noisy=True))
    return tmp_path / "tiny"


def _edit(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> Path:
    tensors = {name: array.copy() for name, array in load_file(folder / TENSORS).items()}
    change(tensors)
    save_file(tensors, folder / TENSORS)
    return folder


@pytest.mark.parametrize("name", ["tiny", "tiny-moe", "tiny-qwen2"])
@pytest.mark.parametrize("shard", [4_000_000_000, 60_000])
def test_what_we_save_transformers_loads(name: str, shard: int, tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS[name], 3, noisy=True), max_shard_bytes=shard)
    assert (tmp_path / TENSORS).exists() == (shard > 1_000_000)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in tmp_path.iterdir())  # other users may read a model
    assert len(list(tmp_path.glob("model-*.safetensors"))) == (0 if shard > 1_000_000 else pytest.approx(12, abs=9))
    hf, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert oracle.relative(_logits(tmp_path), oracle.hf_logits(hf, IDS)) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_files(dtype: torch.dtype, tmp_path: Path) -> None:
    """bf16 and f16 read exactly with dtype f32; auto keeps bf16 as it is; sharded with an index."""
    hf = oracle.make("dense-untied").to(dtype)
    hf.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    want = oracle.hf_logits(AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32), IDS)
    assert oracle.relative(_logits(tmp_path, dtype="f32"), want) < 1e-4
    assert oracle.relative(_logits(tmp_path), want) < (1e-4 if dtype == torch.bfloat16 else 3e-2)
    kinds = {source.auto for source in read_hf(tmp_path).tensors.values()}
    assert kinds == {"bf16"}


def test_bf16_saved_and_read_by_transformers(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(PRESETS["tiny-moe"], noisy=True)
    save_hf(tmp_path / "a", checkpoint, "bf16")
    assert {t.dtype for t in load_torch(tmp_path / "a" / TENSORS).values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "a").dtype == torch.bfloat16  # torch_dtype of the config
    hf = AutoModelForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.float32)
    assert oracle.relative(_logits(tmp_path / "a"), oracle.hf_logits(hf, IDS)) < 1e-4
    save_hf(tmp_path / "b", read_hf(tmp_path / "a"))  # auto: the same file again
    assert (tmp_path / "a" / TENSORS).read_bytes() == (tmp_path / "b" / TENSORS).read_bytes()
    assert (tmp_path / "a" / "config.json").read_text() == (tmp_path / "b" / "config.json").read_text()


@pytest.mark.parametrize("dtype", ["int8", "int4"])
@pytest.mark.parametrize("name", ["tiny", "tiny-moe", "tiny-qwen2"])
def test_packed_folder(name: str, dtype: str, tmp_path: Path) -> None:
    """Packing on load and loading what was packed are the same model; the tied head is packed, the table is not."""
    checkpoint = random_checkpoint(PRESETS[name], 5, noisy=True)
    save_hf(tmp_path / "float", checkpoint)
    save_hf(tmp_path / "packed", read_hf(tmp_path / "float"), dtype, group=16)
    raw = json.loads((tmp_path / "packed" / "config.json").read_text())
    bits = int(dtype[3:])
    assert raw["quantization_config"] == {"quant_method": "ponder", "bits": bits, "group_size": 16}
    tensors = load_torch(tmp_path / "packed" / TENSORS)
    q, scale = (tensors["model.layers.0.self_attn.q_proj." + end] for end in ("weight", "weight_scale"))
    assert (q.dtype, scale.dtype) == ((torch.int8 if bits == 8 else torch.uint8), torch.float16)
    assert (tuple(q.shape), tuple(scale.shape)) == ((128, 64 * bits // 8), (128, 4))
    assert tensors["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert tensors["lm_head.weight"].dtype == torch.int8  # also of an int4 folder
    assert tensors["model.norm.weight"].dtype == torch.float32

    packed, floats = _logits(tmp_path / "packed"), _logits(tmp_path / "float")
    assert oracle.relative(packed, floats) < (0.05 if bits == 8 else 0.5)
    save_hf(tmp_path / "again", read_hf(tmp_path / "packed"))
    assert (tmp_path / "again" / TENSORS).read_bytes() == (tmp_path / "packed" / TENSORS).read_bytes()
    for name_, source in read_hf(tmp_path / "packed").tensors.items():
        if source.packed:
            values = checkpoint.tensors[name_.replace("lm_head", "model.embed_tokens")].read()
            eight = dtype == "int8" or name_ == "lm_head.weight"
            mine = Tensor.quantise(values, "int8", 16) if eight else search(values, 16)
            np.testing.assert_array_equal(source.read().dequantise(), mine.dequantise())


def test_stacked_experts(tmp_path: Path) -> None:
    """transformers 5's stacks on disk."""
    hf = oracle.save("moe", tmp_path)
    want = _logits(tmp_path)
    stacked = {k: v.contiguous() for k, v in hf.state_dict().items()}
    assert any(name.endswith("experts.gate_up_proj") for name in stacked)
    save_torch(stacked, tmp_path / TENSORS)
    np.testing.assert_array_equal(_logits(tmp_path), want)


def test_tied_head_may_be_there_twice(tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS["tiny"]))
    want = _logits(tmp_path)
    _edit(tmp_path, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
    np.testing.assert_array_equal(_logits(tmp_path), want)
    _edit(tmp_path, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1}))
    with pytest.raises(LoadError, match=r"lm_head\.weight"):
        _logits(tmp_path)


def test_misfits_are_named(tiny: Path) -> None:
    def spoil(t: dict[str, np.ndarray]) -> None:
        del t["model.layers.1.self_attn.q_norm.weight"]
        t["model.layers.2.mlp.up_proj.weight"] = np.zeros((2, 2), np.float32)
        t["model.norm.weight"] = np.zeros(65, np.float32)

    with pytest.raises(LoadError) as error:
        load(_edit(tiny, spoil), ops="numpy")
    for part in (
        "missing model.layers.1.self_attn.q_norm",
        "unexpected model.layers.2.mlp",
        "model.norm.weight",
        "[65]",
    ):
        assert part in str(error.value)


def test_an_untied_model_needs_its_head(tiny: Path) -> None:
    with pytest.raises(LoadError, match=r"missing lm_head\.weight"):
        load(_edit(tiny, lambda t: t.__delitem__("lm_head.weight")), ops="numpy")


def test_types_we_do_not_read(tiny: Path) -> None:
    with pytest.raises(LoadError, match=r"model\.norm\.weight.*F64"):
        load(_edit(tiny, lambda t: t.update({"model.norm.weight": np.ones(64)})), ops="numpy")
    with pytest.raises(LoadError, match="quantization_config"):
        load(_edit(tiny, lambda t: t.update({"model.norm.weight": np.ones(64, np.int8)})), ops="numpy")


def test_scales_that_do_not_fit(tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS["tiny"]), "int8")
    name = "model.layers.0.mlp.up_proj.weight_scale"
    with pytest.raises(LoadError, match="up_proj"):
        tensors = load_torch(tmp_path / TENSORS)
        tensors[name] = tensors[name][:, :1].contiguous()
        save_torch(tensors, tmp_path / TENSORS)
        load(tmp_path, ops="numpy")
    with pytest.raises(LoadError, match="up_proj"):
        del tensors[name]
        save_torch(tensors, tmp_path / TENSORS)
        load(tmp_path, ops="numpy")


@pytest.mark.parametrize(
    "grid", [None, np.zeros(16, np.int8), np.arange(16, dtype=np.int8), np.int8([-1, 1]), np.ones(16)]
)
def test_grids_that_cannot_be(grid: np.ndarray | None, tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS["tiny"]), "int4")
    name = "model.layers.0.mlp.up_proj.weight_grid"
    tensors = load_torch(tmp_path / TENSORS)
    del tensors[name]
    save_torch(tensors if grid is None else {**tensors, name: torch.from_numpy(grid)}, tmp_path / TENSORS)
    with pytest.raises(LoadError, match=r"up_proj\.weight.*grid|F64"):
        load(tmp_path, ops="numpy")


F32_2 = {"dtype": "F32", "shape": [2]}
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "short": b"\x00\x01",
    "header longer than the file": struct.pack("<Q", 1 << 20) + b"{}",
    "header length near 2^64": struct.pack("<Q", (1 << 64) - 1) + b"{}" * 50,
    "not json": struct.pack("<Q", 8) + b"{{{{{{{{",
    "deep json": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "a list": struct.pack("<Q", 8) + b"[1,2,3] ",
}
for _label, _header in {
    "overlap": {"a": {**F32_2, "data_offsets": [0, 8]}, "b": {**F32_2, "data_offsets": [4, 12]}},
    "hole": {"a": {**F32_2, "data_offsets": [4, 12]}},
    "outside": {"a": {**F32_2, "data_offsets": [0, 8_000]}},
    "backwards": {"a": {**F32_2, "data_offsets": [8, 0]}},
    "size": {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}, "b": {**F32_2, "data_offsets": [12, 13]}},
    "overflow": {"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 12]}},
    "negative": {"a": {"dtype": "F32", "shape": [-1, -3], "data_offsets": [0, 12]}},
    "no type": {"a": {"shape": [3], "data_offsets": [0, 12]}},
    "unknown type": {"a": {"dtype": "F12", "shape": [3], "data_offsets": [0, 12]}},
    "four bits": {"a": {"dtype": "F4", "shape": [24], "data_offsets": [0, 12]}},
    "zero rows": {"a": {"dtype": "F32", "shape": [0, 1 << 60], "data_offsets": [0, 0]}},
}.items():
    _json = json.dumps(_header).encode()
    HOSTILE[_label] = struct.pack("<Q", len(_json)) + _json + bytes(0 if _label == "zero rows" else 12)


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_files(label: str, tiny: Path) -> None:
    (tiny / TENSORS).write_bytes(HOSTILE[label])
    with pytest.raises(LoadError):
        load(tiny, ops="numpy")


def test_truncated_anywhere(tiny: Path) -> None:
    whole = (tiny / TENSORS).read_bytes()
    for cut in (1, 7, 8, 100, 2000, len(whole) // 2, len(whole) - 1):
        (tiny / TENSORS).write_bytes(whole[:cut])
        with pytest.raises(LoadError):
            load(tiny, ops="numpy")


def test_a_header_of_odd_length(tiny: Path) -> None:
    """Legal, but the tensors then lie at odd addresses."""
    want = _logits(tiny)
    raw = (tiny / TENSORS).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = raw[8 : 8 + size].rstrip()
    header += b" " * (1 - len(header) % 2)
    (tiny / TENSORS).write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + size :])
    assert len(header) % 2
    np.testing.assert_array_equal(_logits(tiny), want)


def test_hostile_indexes(tiny: Path) -> None:
    shutil.copy(tiny / TENSORS, tiny.parent / "out.safetensors")
    for content in (
        b"[]",
        b"{}",
        b'{"weight_map": 3}',
        b'{"weight_map": {"a": 3}}',
        b'{"weight_map": {"a": "../out.safetensors"}}',
        b'{"weight_map": {"a": "nowhere.safetensors"}}',
        b'{"weight_map": {"no.such.tensor": "model.safetensors"}}',
        b'{"weight_map": ' * 100_000,
    ):
        (tiny / "model.safetensors.index.json").write_bytes(content)
        with pytest.raises(LoadError):
            load(tiny, ops="numpy")


def test_a_tensor_in_two_shards(tiny: Path) -> None:
    shutil.copy(tiny / TENSORS, tiny / "b.safetensors")
    index = {"weight_map": {"model.norm.weight": "b.safetensors", "lm_head.weight": TENSORS}}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(LoadError, match="another file"):
        load(tiny, ops="numpy")


def test_folders_without_weights(tiny: Path) -> None:
    (tiny / TENSORS).rename(tiny / "pytorch_model.bin")
    with pytest.raises(LoadError, match="pickle"):
        load(tiny, ops="numpy")
    for content in (b"", b"[]", b"{", b'{"model_type": "qwen3"}', b"\xff"):
        (tiny / "config.json").write_bytes(content)
        with pytest.raises(LoadError, match=r"config\.json"):
            load(tiny, ops="numpy")
    (tiny / "config.json").unlink()
    with pytest.raises(LoadError, match=r"config\.json"):
        load(tiny, ops="numpy")
    with pytest.raises(LoadError, match="no such file"):
        load(tiny / "nothing")


def test_more_layers_than_the_file_can_hold(tiny: Path) -> None:
    raw = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps(raw | {"num_hidden_layers": 1000}))
    with pytest.raises(LoadError, match="1000 layers"):
        load(tiny, ops="numpy")


def test_generation_config_and_tokenizer_files_come_along(tiny: Path, tmp_path: Path) -> None:
    assert load(tiny, ops="numpy").eos_token_ids == ()
    (tiny / "generation_config.json").write_text('{"eos_token_id": [7, 5], "temperature": 0.6}')
    (tiny / "tokenizer.json").write_text('{"x": 1}')
    save_hf(tmp_path / "copy", read_hf(tiny), copy_from=tiny)
    model = load(tmp_path / "copy", ops="numpy")
    assert model.eos_token_ids == (7, 5)
    assert model.generation_config["temperature"] == 0.6
    assert (tmp_path / "copy" / "tokenizer.json").read_text() == '{"x": 1}'
    with pytest.raises(UserError, match="already holds a model"):
        save_hf(tmp_path / "copy", read_hf(tiny))


def test_weights_in_memory_make_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    tensors = {name: read(source, "f32") for name, source in read_hf(tiny).tensors.items()}
    save_hf(tmp_path / "copy", memory_checkpoint(read_hf(tiny).config, tensors))
    assert (tmp_path / "copy" / TENSORS).read_bytes() == (tiny / TENSORS).read_bytes()
