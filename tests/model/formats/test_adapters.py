"""LoRA adapters: PEFT folders and GGUF files merged into any kind of weights, and refused where they do more."""

import json
from pathlib import Path
from typing import Any

import hf_oracle as oracle
import numpy as np
import pytest
import quantised_tiny
import torch
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer
from msgspec.structs import replace as with_
from safetensors.torch import load_file, save_file

from ponder import LLM
from ponder.core.batch import Batch
from ponder.core.errors import LoadError
from ponder.kernels.native import NativeOps
from ponder.kernels.tensor import Tensor
from ponder.model.config import PRESETS
from ponder.model.formats.adapter import with_adapter
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load, open_checkpoint
from ponder.model.weights import cache, cache_file
from ponder.model.weights.build import build
from ponder.model.weights.checkpoint import read
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

CONFIG = CONFIGS["untied"]
Q, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
SHAPES = {Q: (128, 64), DOWN: (64, 96)}
IDS = np.arange(12, dtype=np.int32)


def _adapter(folder: Path, prefix: str = "base_model.model.", infix: str = "", **config: Any) -> dict[str, np.ndarray]:
    """-> what is to be added to each matrix, with alpha 16 and ranks 4 and 8."""
    generator = torch.Generator().manual_seed(5)
    tensors, change = {}, {}
    for rank, (module, (n, k)) in zip((4, 8), SHAPES.items()):
        a, b = (torch.randn(shape, generator=generator) * 0.05 for shape in ((rank, k), (n, rank)))
        tensors |= {f"{prefix}{module}.lora_A{infix}.weight": a, f"{prefix}{module}.lora_B{infix}.weight": b}
        change[module] = (16 / (rank**0.5 if config.get("use_rslora") else rank) * (b.double() @ a.double())).numpy()
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    keys = {"peft_type": "LORA", "r": 4, "lora_alpha": 16, "rank_pattern": {"down_proj": 8}, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(keys))
    return change


def _model(folder: Path, form: str = "bf16") -> Path:
    checkpoint = random_checkpoint(CONFIG)
    if form in ("f32", "bf16"):
        save_hf(folder / "base", checkpoint, form)
        return folder / "base"
    if form in ("int8", "int4"):
        save_hf(folder / "base", checkpoint, form, group=32)
        return folder / "base"
    write_gguf(folder / "base.gguf", checkpoint, tiny_tokenizer(folder), form)
    return folder / "base.gguf"


@pytest.mark.parametrize("form", ["f32", "bf16", "int8", "int4", "Q8_0", "Q4_0", "F16"])
def test_what_is_added_to_each_kind_of_weights(form: str, tmp_path: Path) -> None:
    base = open_checkpoint(_model(tmp_path, form))
    change = _adapter(tmp_path / "lora")
    merged = with_adapter(base, tmp_path / "lora")
    assert merged.adapter == "lora" and merged.tensors.keys() == base.tensors.keys()
    for name, source in base.tensors.items():
        before, after = read(source, "f32"), read(merged.tensors[name], "f32")
        module = name.removesuffix(".weight")
        np.testing.assert_allclose(after, before + change.get(module, np.float32(0)), rtol=0, atol=2e-6)
        assert merged.tensors[name].packed == (source.packed and module not in change)
        assert merged.tensors[name].auto == ("int8" if module in change and source.auto == "int4" else source.auto)
    packed = read(merged.tensors[Q + ".weight"], "int8", 32)
    assert (
        isinstance(packed, Tensor)
        and np.abs(packed.dequantise() - read(merged.tensors[Q + ".weight"], "f32")).max() < 0.01
    )
    build(merged, NativeOps())


def test_on_weights_of_four_bits_with_offsets(tmp_path: Path) -> None:
    """What an adapter changes becomes int8, the rest stays as it is; both matrices of an expert change alike."""
    values = quantised_tiny.write(tmp_path / "base", "awq")
    _adapter(tmp_path / "lora")
    base = open_checkpoint(tmp_path / "base")
    merged = with_adapter(base, tmp_path / "lora")
    assert merged.tensors[Q + ".weight"].auto == "int8" and base.tensors[Q + ".weight"].auto == "uint4"
    assert merged.tensors[Q.replace("q_proj", "k_proj") + ".weight"].auto == "uint4"
    model = build(merged, NativeOps())
    assert np.isfinite(model.forward(IDS, Batch.packed([12]))).all()
    assert not np.array_equal(read(merged.tensors[Q + ".weight"], "f32"), values[Q + ".weight"])

    save_hf(tmp_path / "moe", random_checkpoint(CONFIGS["moe"]), "int4", group=32)
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    module = "model.layers.0.mlp.experts.3.gate_proj"
    pair = {f"{module}.lora_A.weight": torch.ones(1, 64), f"{module}.lora_B.weight": torch.ones(32, 1)}
    save_file(pair, tmp_path / "gate" / "adapter_model.safetensors")
    merged = with_adapter(open_checkpoint(tmp_path / "moe"), tmp_path / "gate")
    kinds = [merged.tensors[f"{module.replace('gate', part)}.weight"].auto for part in ("gate", "up", "down")]
    assert kinds == ["int8", "int8", "int4"]


def test_the_same_as_peft_computes(tmp_path: Path) -> None:
    """x W' + scale (x A') B', as PEFT runs an adapter that is not merged, in transformers' model."""
    hf = oracle.save("dense-untied", tmp_path / "base")
    change = _adapter(tmp_path / "lora")
    modules = dict(hf.named_modules())
    tensors = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    for rank, module in zip((4, 8), change):
        a, b = (tensors[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")

        def hook(_: Any, args: Any, out: Any, a: Any = a, b: Any = b, scale: float = 16 / rank) -> Any:
            return out + scale * (args[0] @ a.T) @ b.T

        modules[module].register_forward_hook(hook)
    ids = oracle.sequences(30)[0]
    model = build(with_adapter(open_checkpoint(tmp_path / "base"), tmp_path / "lora"), NativeOps(), "f32")
    mine = model.forward(np.array(ids, np.int32), Batch.packed([len(ids)]))
    assert oracle.relative(np.asarray(mine), oracle.hf_logits(hf, ids)) < 1e-4


@pytest.mark.parametrize(
    ("prefix", "infix", "config"),
    [("", "", {}), ("base_model.model.", ".default", {}), ("base_model.model.", "", {"use_rslora": True}),
     ("base_model.model.", "", {"lora_alpha": 1, "alpha_pattern": {"q_proj": 16, "mlp.down_proj": 16}})],
)  # fmt: skip
def test_spellings(prefix: str, infix: str, config: dict[str, Any], tmp_path: Path) -> None:
    base = open_checkpoint(_model(tmp_path))
    change = _adapter(tmp_path / "lora", prefix, infix, **config)
    merged = with_adapter(base, tmp_path / "lora")
    for module, value in change.items():
        before, after = (read(c.tensors[module + ".weight"], "f32") for c in (base, merged))
        np.testing.assert_allclose(after, before + value, rtol=0, atol=2e-6)


def test_modules_that_were_trained_whole(tmp_path: Path) -> None:
    base = open_checkpoint(_model(tmp_path))
    _adapter(tmp_path / "lora")
    file = tmp_path / "lora" / "adapter_model.safetensors"
    head = torch.randn(CONFIG.vocab_size, 64).bfloat16()
    save_file(load_file(file) | {"base_model.model.lm_head.modules_to_save.weight": head}, file)
    merged = with_adapter(base, tmp_path / "lora")
    np.testing.assert_array_equal(read(merged.tensors["lm_head.weight"], "f32"), head.float().numpy())


def test_a_gguf_adapter(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    base = open_checkpoint(_model(tmp_path, "Q8_0"))
    change = _adapter(tmp_path / "lora", lora_alpha=16)
    tensors = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    path = tmp_path / "poet.gguf"
    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    for module, name in ((Q, "blk.0.attn_q"), (DOWN, "blk.1.ffn_down")):
        for part in "AB":
            value = tensors[f"base_model.model.{module}.lora_{part}.weight"].numpy()
            writer.add_tensor(f"{name}.weight.lora_{part.lower()}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    merged = with_adapter(base, path)
    assert merged.adapter == "poet"
    for module, value in change.items():
        before, after = (read(c.tensors[module + ".weight"], "f32") for c in (base, merged))
        np.testing.assert_allclose(after, before + value, rtol=0, atol=2e-6)
    with pytest.raises(LoadError, match="not a LoRA adapter"):
        with_adapter(base, _model(tmp_path, "Q8_0"))


@pytest.mark.parametrize(
    ("config", "match"),
    [({"peft_type": "IA3"}, "IA3"), ({"use_dora": True}, "use_dora"), ({"bias": "all"}, "bias 'all'"),
     ({"fan_in_fan_out": True}, "fan_in_fan_out"), ({"init_lora_weights": "pissa"}, "pissa"),
     ({"lora_alpha": "16"}, "lora_alpha"), ({"alpha_pattern": {"(a+)+b": 3}}, "alpha_pattern")],
)  # fmt: skip
def test_what_is_more_than_lora_is_refused_by_name(config: dict[str, Any], match: str, tmp_path: Path) -> None:
    base = open_checkpoint(_model(tmp_path))
    _adapter(tmp_path / "lora", **config)
    with pytest.raises(LoadError, match=match):
        with_adapter(base, tmp_path / "lora")


def test_adapters_that_do_not_fit(tmp_path: Path) -> None:
    base = open_checkpoint(_model(tmp_path))
    _adapter(tmp_path / "lora")
    file = tmp_path / "lora" / "adapter_model.safetensors"
    tensors = load_file(file)

    def spoilt(**changes: torch.Tensor | None) -> None:
        changed = tensors | {f"base_model.model.{Q}.{part}.weight": value for part, value in changes.items()}
        save_file({name: value for name, value in changed.items() if value is not None}, file)
        with_adapter(base, tmp_path / "lora")

    with pytest.raises(LoadError, match="belong together"):
        spoilt(lora_A=None)
    with pytest.raises(LoadError, match="belong together"):
        spoilt(lora_A=torch.zeros(5, 64))
    with pytest.raises(LoadError, match=r"an adapter of \[128, 32\], the model has \[128, 64\]"):
        spoilt(lora_A=torch.zeros(4, 32))
    with pytest.raises(LoadError, match="not of a plain LoRA"):
        spoilt(lora_magnitude_vector=torch.zeros(128))
    with pytest.raises(LoadError, match=r"an adapter of another model: .* has no model\.layers\.7"):
        save_file({name.replace("layers.0", "layers.7"): value for name, value in tensors.items()}, file)
        with_adapter(base, tmp_path / "lora")
    file.rename(tmp_path / "lora" / "adapter_model.bin")
    with pytest.raises(LoadError, match="pickle"):
        with_adapter(base, tmp_path / "lora")
    with pytest.raises(LoadError, match="no adapter_config"):
        with_adapter(base, tmp_path / "base")
    with pytest.raises(LoadError, match="no such adapter"):
        with_adapter(base, tmp_path / "nowhere")
    tied = random_checkpoint(CONFIGS["tied"])
    save_file({"base_model.model.model.embed_tokens.weight": torch.zeros(CONFIG.vocab_size, 64)}, file)
    with pytest.raises(LoadError, match="changes the embedding"):
        with_adapter(tied, tmp_path / "lora")


def test_packed_weights_of_base_and_adapters_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH", 0)
    monkeypatch.setattr(cache_file, "RESERVE", 0)
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    path = _model(tmp_path)
    _adapter(tmp_path / "one")
    _adapter(tmp_path / "two", lora_alpha=8)

    def logits(adapter: str | None) -> np.ndarray:
        checkpoint = open_checkpoint(path)
        checkpoint = with_adapter(checkpoint, tmp_path / adapter) if adapter else checkpoint
        return np.asarray(build(checkpoint, NativeOps(), "int8", use_cache=True).forward(IDS, Batch.packed([12])))

    first = {adapter: logits(adapter) for adapter in (None, "one", "two")}
    files = {file: file.stat().st_mtime_ns for file in (path / ".ponder").glob("*.safetensors")}
    assert len(files) == 3 and not np.array_equal(first[None], first["one"])
    for adapter, want in first.items():
        np.testing.assert_array_equal(logits(adapter), want)
    assert {file: file.stat().st_mtime_ns for file in (path / ".ponder").glob("*.safetensors")} == files


def test_an_adapter_by_the_python_api(tmp_path: Path) -> None:
    config = with_(PRESETS["tiny"], vocab_size=151936, tie_word_embeddings=False)
    save_hf(tmp_path / "base", random_checkpoint(config), "f32")
    save(Tokenizer.packaged(), tmp_path / "base")
    _adapter(tmp_path / "lora", lora_alpha=400)
    texts = []
    for adapter in (None, str(tmp_path / "lora")):
        with LLM(str(tmp_path / "base"), adapter=adapter, kv_blocks=8, speculation="off") as llm:
            texts.append(llm.chat("hello", max_tokens=12, temperature=0).text)
    assert texts[0] != texts[1]
    assert load(tmp_path / "base").config == config
