"""Weights that are no numbers: seen when they are read, with the tensor's name, or said by the first answer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer
from msgspec.structs import replace as with_
from safetensors.torch import load_file, save_file

from ponder import LLM
from ponder.core.errors import DamagedModel, LoadError
from ponder.kernels.tensor import to_bf16
from ponder.model.config import PRESETS
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load, open_checkpoint
from ponder.model.weights import build as building
from ponder.model.weights import cache, cache_file
from ponder.model.weights.finite import all_finite
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

TENSORS = "model.safetensors"
ALL = [(shape, name) for shape in ("untied", "qwen2", "moe") for name in CONFIGS[shape].shapes()
       if "layers.1" not in name and ("experts." not in name or "experts.0." in name)]  # fmt: skip


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_every_bit_pattern(kind: str) -> None:
    """All of the 16-bit ones; of float32 those about infinity, zero and the largest."""
    if kind == "f32":
        near = np.array([0, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF, 1, 0x3F800000], np.uint32)
        bits = np.concatenate([near, near | np.uint32(1 << 31)])
        values = bits.view(np.float32)
    else:
        bits = np.arange(1 << 16, dtype=np.uint16)
        values = bits.view(np.float16) if kind == "f16" else torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    expected = np.isfinite(values) if isinstance(values, np.ndarray) else torch.isfinite(values).numpy()
    assert [all_finite(np.array([b], bits.dtype), kind) for b in bits] == expected.tolist()
    good = bits[expected]
    assert all_finite(good, kind) and not all_finite(np.append(good, bits[~expected][0]), kind)


def test_the_last_value_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.model.weights.finite._CHUNK", 7)
    values = np.ones((5, 6), np.float32)
    assert all_finite(values, "f32")
    values[4, 5] = np.nan
    assert not all_finite(values, "f32")


@pytest.mark.parametrize("place", range(len(ALL)), ids=[f"{shape}-{name}" for shape, name in ALL])
def test_one_bad_value_in_a_folder(place: int, tmp_path: Path) -> None:
    shape, name = ALL[place]
    type_ = (torch.float32, torch.bfloat16, torch.float16)[place % 3]
    bad = (np.nan, np.inf, -np.inf)[place // 3 % 3]
    save_hf(tmp_path / "m", random_checkpoint(CONFIGS[shape]))
    tensors = {key: tensor.to(type_) for key, tensor in load_file(tmp_path / "m" / TENSORS).items()}
    tensors[name].view(-1)[-1] = bad
    save_file(tensors, tmp_path / "m" / TENSORS)
    for dtype in ("auto", "int8"):
        with pytest.raises(LoadError, match=rf"{name}\b.* not finite.* damaged"):
            load(tmp_path / "m", dtype=dtype)


@pytest.mark.parametrize("type_", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("part", ["token_embd", "blk.0.attn_q", "blk.0.attn_norm", "output.weight"])
def test_one_bad_value_in_a_gguf_file(part: str, type_: str, tmp_path: Path) -> None:
    """In a packed matrix the scale of the first block, two bytes as in F16."""
    path = tmp_path / "m.gguf"
    write_gguf(path, random_checkpoint(CONFIGS["untied"]), tiny_tokenizer(tmp_path), type_)
    gguf = open_checkpoint(path).gguf
    assert gguf is not None
    info = next(tensor for name, tensor in gguf.tensors.items() if name.startswith(part))
    raw = bytearray(path.read_bytes())
    at = path.read_bytes().index(bytes(gguf.data(info)[:64]))
    nan = {"F32": np.float32(np.nan).tobytes(), "BF16": to_bf16(np.array([np.nan])).tobytes()}
    patch = nan.get(info.type, np.float16(np.nan).tobytes())
    raw[at : at + len(patch)] = patch
    path.write_bytes(raw)
    with pytest.raises(LoadError, match="not finite"):
        load(path)


def test_a_packed_folder_with_a_bad_scale(tmp_path: Path) -> None:
    save_hf(tmp_path / "m", random_checkpoint(CONFIGS["untied"]), "int8", group=32)
    tensors = load_file(tmp_path / "m" / TENSORS)
    tensors["model.layers.0.mlp.up_proj.weight_scale"][3, 0] = float("inf")
    save_file(tensors, tmp_path / "m" / TENSORS)
    with pytest.raises(LoadError, match=r"layers\.0\.mlp\.up_proj\.weight holds values that are not finite"):
        load(tmp_path / "m")


def test_packed_weights_are_looked_at_when_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH", 0)
    monkeypatch.setattr(cache_file, "RESERVE", 0)
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    save_hf(tmp_path / "m", random_checkpoint(CONFIGS["untied"]), "f32")
    tensors = load_file(tmp_path / "m" / TENSORS)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, tmp_path / "m" / TENSORS)
    with pytest.raises(LoadError, match=r"model\.norm\.weight holds"):
        load(tmp_path / "m", dtype="int8", use_cache=True)
    assert not list((tmp_path / "m" / ".ponder").glob("*.safetensors"))


def test_what_nobody_looked_at_is_said_by_the_first_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapped matrices of a large model are read when they are used."""
    monkeypatch.setattr(building, "_LARGE", 0)
    save_hf(tmp_path / "m", random_checkpoint(with_(PRESETS["tiny"], vocab_size=151936)), "bf16")
    save(Tokenizer.packaged(), tmp_path / "m")
    tensors = load_file(tmp_path / "m" / TENSORS)
    tensors["model.layers.1.mlp.down_proj.weight"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "m" / TENSORS)
    with LLM(str(tmp_path / "m"), kv_blocks=8, speculation="off") as llm:
        assert llm.health().can_answer
        with pytest.raises(DamagedModel, match="computes no numbers"):
            llm.embed("hello")
        with pytest.raises(DamagedModel, match="computes no numbers"):
            llm.relevance("hello", ["hello"])
        with pytest.raises(DamagedModel, match="computes no numbers"):
            llm.prompt_logprobs([1, 2, 3])
        with pytest.raises(DamagedModel, match="computes no numbers"):
            llm.chat("hello", max_tokens=3)
        health = llm.health()
        assert not health.can_answer and not health.dead and "damaged" in (health.trouble or "")
