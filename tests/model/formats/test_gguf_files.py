"""GGUF files in and out, with the `gguf` package as the second opinion."""

from functools import partial
from pathlib import Path

import gguf
import gguf.quants
import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_blocks, random_checkpoint, tiny_tokenizer, tiny_vocabulary, values
from msgspec.structs import replace

from ponder.core.errors import LoadError, UserError
from ponder.core.gguf import GGUF, TYPES
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import Tensor
from ponder.model.formats import folder
from ponder.model.formats.gguf_read import read_gguf
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.checkpoint import Checkpoint, Source
from ponder.text import tokenizer_files
from ponder.text.tokenizer import vocabulary
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import chat_template


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("type_", ["F32", "F16", "BF16", "Q8_0", "IQ4_NL", "Q4_0"])
def test_written_file_is_what_the_gguf_package_would_quantise(name: str, type_: str, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(CONFIGS[name])
    path, seen = tmp_path / "m.gguf", []
    write_gguf(path, checkpoint, tiny_tokenizer(tmp_path), type_, progress=lambda d, t: seen.append((d, t)))
    assert seen[-1][0] == seen[-1][1] > 0
    again = read_gguf(path)
    assert again.config == CONFIGS[name]
    original, read = values(checkpoint), values(again)
    theirs = {t.name: t for t in gguf.GGUFReader(path).tensors}
    for tensor in theirs.values():  # the package decodes our file to exactly what our reader gives
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        np.testing.assert_array_equal(np.asarray(expected, np.float32), by_gguf_name(tensor.name, read))
    limit = {"F32": 0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 1 / 127, "IQ4_NL": 1 / 5, "Q4_0": 1 / 8}[type_]
    for hf, array in original.items():
        assert np.abs(read[hf] - array).max() <= limit * np.abs(array).max(), hf
    embedding = theirs["token_embd.weight"].tensor_type.name
    assert embedding == ("Q8_0" if type_ in ("Q4_0", "IQ4_NL") else type_)


def by_gguf_name(name: str, read: dict[str, np.ndarray]) -> np.ndarray:
    """The name table once more, by hand."""
    simple = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    stem, suffix = name.rsplit(".", 1)
    if stem in simple:
        return read[f"{simple[stem]}.{suffix}"]
    _, layer, part = stem.split(".")
    parts = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
        "ffn_gate_inp": "mlp.gate",
    }
    if part.endswith("_exps"):
        kind = part.removeprefix("ffn_").removesuffix("_exps")
        return np.stack([read[f"model.layers.{layer}.mlp.experts.{e}.{kind}_proj.weight"] for e in range(8)])
    return read[f"model.layers.{layer}.{parts[part]}.{suffix}"]


def test_metadata_as_llama_cpp_reads_it(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", random_checkpoint(CONFIGS["moe"]), tiny_tokenizer(tmp_path), "Q8_0")
    fields = {k: f.contents() for k, f in gguf.GGUFReader(tmp_path / "m.gguf").fields.items()}
    assert fields["general.architecture"] == "qwen3moe" and fields["general.file_type"] == 7
    assert fields["qwen3moe.attention.key_length"] == 32 and fields["qwen3moe.expert_feed_forward_length"] == 32
    assert fields["tokenizer.ggml.tokens"][257:265] == [
        "<|im_end|>", "<think>", "he", "ll", "hell", "hello", "Ġt", "<|im_start|>",
    ]  # fmt: skip
    assert fields["tokenizer.ggml.token_type"][255:265] == [1, 3, 3, 4, 1, 1, 1, 1, 1, 3]
    assert len(fields["tokenizer.ggml.tokens"]) == 320 and fields["tokenizer.ggml.merges"][2] == "he ll"
    assert fields["tokenizer.ggml.eos_token_id"] == 257 and fields["tokenizer.chat_template"] == chat_template("qwen3")
    back = vocabulary.from_gguf(GGUF(tmp_path / "m.gguf"))
    assert back == tiny_vocabulary()


@pytest.mark.parametrize(("kind", "type_"), [("int8", "Q8_0"), ("int4", "Q4_0"), ("int4", "IQ4_NL")])
def test_quantised_weights_are_exported_value_for_value(kind: str, type_: str, tmp_path: Path) -> None:
    plain = random_checkpoint(CONFIGS["untied"])
    pack = search if type_ == "IQ4_NL" else partial(Tensor.quantise, kind=kind)
    packed = {n: pack(s.read()) for n, s in plain.tensors.items() if "_proj" in n}
    sources = plain.tensors | {n: Source(t.shape, t.kind, t.nbytes, lambda t=t: t) for n, t in packed.items()}
    write_gguf(tmp_path / "m.gguf", Checkpoint(plain.config, sources, "x"), tiny_tokenizer(tmp_path), type_)
    read = read_gguf(tmp_path / "m.gguf")
    for name, tensor in packed.items():
        again = read.tensors[name].read()
        assert isinstance(again, Tensor) and again.kind == kind == read.tensors[name].auto
        np.testing.assert_array_equal(again.data, tensor.data)
        np.testing.assert_array_equal(again.scale, tensor.scale)
        np.testing.assert_array_equal(again.grid, tensor.grid)


def test_every_type_is_read_exactly(tmp_path: Path) -> None:
    """A qwen3 file whose matrices carry every block format Ponder reads, written by the gguf package."""
    config = replace(CONFIGS["untied"], hidden_size=256, intermediate_size=256, num_hidden_layers=4, head_dim=64)
    types = [name for name, _, _ in TYPES.values()]
    rng, expected = np.random.default_rng(0), {}
    writer = writer_for(tmp_path / "m.gguf", config)
    for n, (name, shape) in enumerate(gguf_shapes(config).items()):
        type_ = types[n % len(types)] if len(shape) == 2 else "F32"
        raw = blocks_of(type_, shape, rng)
        qtype = gguf.GGMLQuantizationType[type_]
        expected[name] = gguf.quants.dequantize(raw, qtype).reshape(shape)
        writer.add_tensor(name, raw, raw_dtype=qtype)
    finish(writer)
    read = values(read_gguf(tmp_path / "m.gguf"))
    for name, array in expected.items():
        np.testing.assert_array_equal(by_gguf_name(name, read), array, err_msg=name)


@pytest.mark.parametrize(("type_", "told"), [("MXFP4", True), ("Q2_K", True), ("Q4_K", False), ("Q6_K", False)])
def test_few_bits_that_grow_in_memory_are_told(type_: str, told: bool, tmp_path: Path) -> None:
    config = replace(CONFIGS["untied"], hidden_size=256, intermediate_size=256, num_hidden_layers=1, head_dim=64)
    writer = writer_for(tmp_path / "m.gguf", config)
    for name, shape in gguf_shapes(config).items():
        kind = type_ if len(shape) == 2 else "F32"
        qtype = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, blocks_of(kind, shape, np.random.default_rng(0)), raw_dtype=qtype)
    finish(writer)
    assert [type_ in w and "int8" in w for w in read_gguf(tmp_path / "m.gguf").warnings] == [True] * told


def gguf_shapes(config) -> dict[str, tuple[int, ...]]:
    d, i = config.hidden_size, config.intermediate_size
    q, kv = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    shapes = {
        "token_embd.weight": (config.vocab_size, d),
        "output_norm.weight": (d,),
        "output.weight": (config.vocab_size, d),
    }
    for n in range(config.num_hidden_layers):
        layer = {
            "attn_norm": (d,), "ffn_norm": (d,), "attn_q": (q, d), "attn_k": (kv, d), "attn_v": (kv, d),
            "attn_output": (d, q), "attn_q_norm": (config.head_dim,), "attn_k_norm": (config.head_dim,),
            "ffn_gate": (i, d), "ffn_up": (i, d), "ffn_down": (d, i),
        }  # fmt: skip
        shapes |= {f"blk.{n}.{k}.weight": s for k, s in layer.items()}
    return shapes


def blocks_of(type_: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    _, elements, _ = next(t for t in TYPES.values() if t[0] == type_)
    if type_ in ("F32", "F16"):
        return rng.standard_normal(shape).astype({"F32": "f4", "F16": "f2"}[type_])
    if type_ == "BF16":
        return gguf.quants.quantize(rng.standard_normal(shape).astype("f4"), gguf.GGMLQuantizationType.BF16)
    return random_blocks(type_, shape[0] * shape[1] // elements, int(rng.integers(1 << 30))).reshape(shape[0], -1)


def writer_for(path: Path, config) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def small_file(
    path: Path, change=None, drop: str = "", extra: tuple[str, tuple[int, ...]] | None = None, arch: str = "qwen3"
) -> Path:
    config = CONFIGS["untied"]
    writer = writer_for(path, config)
    writer.kv_data[0]["general.architecture"].value = arch
    if change:
        change(writer)
    shapes = gguf_shapes(config)
    shapes.pop(drop, None)
    shapes.update([extra] if extra else [])
    for name, shape in shapes.items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    finish(writer)
    return path


def test_the_small_file_itself_loads(tmp_path: Path) -> None:
    assert len(read_gguf(small_file(tmp_path / "m.gguf")).tensors) == 25


def test_what_other_converters_write(tmp_path: Path) -> None:
    """Ollama's name of a key and its yarn without the original length; lists with one value for each layer."""

    def change(writer: gguf.GGUFWriter) -> None:
        writer.add_bool("qwen3.norm_top_k_prob", True)
        writer.add_uint32("qwen3.nextn_predict_layers", 0)
        writer.kv_data[0]["qwen3.attention.head_count_kv"].value = [2, 2]
        writer.kv_data[0]["qwen3.attention.head_count_kv"].type = gguf.GGUFValueType.ARRAY
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)

    config = read_gguf(small_file(tmp_path / "m.gguf", change)).config
    plain = CONFIGS["untied"]
    assert config.num_key_value_heads == plain.num_key_value_heads and config.rope_scaling is not None
    assert config.rope_scaling.original_max_position_embeddings == plain.max_position_embeddings


@pytest.mark.parametrize("fused", [False, True])
def test_experts_as_one_tensor_or_two(fused: bool, tmp_path: Path) -> None:
    """Some conversions keep gate and up of an expert in one matrix, the gate first."""
    source = tmp_path / "m.gguf"
    write_gguf(source, random_checkpoint(CONFIGS["moe"]), tiny_tokenizer(tmp_path), "Q8_0")
    reader, out = gguf.GGUFReader(source), tmp_path / "out.gguf"
    writer = gguf.GGUFWriter(out, "qwen3moe")
    for name, field in reader.fields.items():
        if name.startswith("qwen3moe."):
            writer.add_key_value(name, field.contents(), field.types[0])
    tensors = {t.name: t for t in reader.tensors}
    for name, tensor in tensors.items():
        if fused and name.endswith("ffn_gate_exps.weight"):
            both = np.concatenate([tensor.data, tensors[name.replace("gate", "up")].data], axis=1)
            writer.add_tensor(name.replace("gate", "gate_up"), both, raw_dtype=tensor.tensor_type)
        elif not (fused and name.endswith("ffn_up_exps.weight")):
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    finish(writer)
    want, got = values(read_gguf(source)), values(read_gguf(out))
    assert want.keys() == got.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def test_how_vectors_are_pooled_changes_no_forward_pass(tmp_path: Path) -> None:
    """Qwen3-Embedding's files say LAST, which is what /v1/embeddings does."""
    last = small_file(tmp_path / "last.gguf", lambda w: w.add_pooling_type(gguf.PoolingType.LAST))
    assert read_gguf(last).config == read_gguf(small_file(tmp_path / "m.gguf")).config


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"change": lambda w: w.add_pooling_type(gguf.PoolingType.MEAN)}, "pooling_type 1"),
        ({"change": lambda w: w.add_pooling_type(gguf.PoolingType.RANK)}, "a reranker as llama.cpp keeps it"),
        ({"arch": "llama"}, "architecture 'llama'; Ponder loads GGUF files of qwen2, qwen3, qwen3moe"),
        ({"drop": "blk.1.ffn_up.weight"}, "missing model.layers.1.mlp.up_proj.weight"),
        ({"drop": "token_embd.weight"}, "token_embd.weight"),
        ({"extra": ("rope_freqs.weight", (16,))}, "unexpected rope_freqs.weight"),
        ({"extra": ("blk.2.ffn_up.weight", (96, 64))}, "unexpected model.layers.2.mlp.up_proj.weight"),
        ({"extra": ("blk.1.attn_q.bias", (128,))}, "self_attn.q_proj.bias"),
        ({"extra": ("blk.0.attn_q.weight", (64, 128))}, r"has shape \[64, 128\], the config wants \[128, 64\]"),
        ({"extra": ("blk.0.ffn_up_exps.weight", (8, 96, 64))}, "stack of 0 experts"),
        ({"change": lambda w: w.add_sliding_window(128)}, "sliding_window"),
        ({"change": lambda w: w.add_uint32("qwen3.new_idea", 1)}, "unknown key 'new_idea'"),
        ({"change": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)}, "rope.scaling.type 'linear'"),
        ({"change": lambda w: w.add_rope_scaling_factor(2.0)}, "without rope.scaling.type"),
        ({"change": lambda w: w.add_rope_dimension_count(8)}, "rope.dimension_count"),
        ({"change": lambda w: w.add_uint16("split.count", 3)}, "split"),
    ],
)  # fmt: skip
def test_refused_by_name(kwargs, message: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=message):
        read_gguf(small_file(tmp_path / "m.gguf", **kwargs))


def test_what_gguf_cannot_hold_is_refused(tmp_path: Path) -> None:
    path, vocab = tmp_path / "out" / "m.gguf", tiny_tokenizer(tmp_path)
    path.parent.mkdir()
    big = random_checkpoint(CONFIGS["untied"])
    big.tensors["lm_head.weight"].read()[3, 5] = 1e5
    with pytest.raises(LoadError, match=r"lm_head.weight holds values that F16 cannot"):
        write_gguf(path, big, vocab, "F16")
    with pytest.raises(LoadError, match="norm_topk_prob"):
        write_gguf(path, random_checkpoint(replace(CONFIGS["moe"], norm_topk_prob=False)), vocab)
    with pytest.raises(LoadError, match="265 tokens"):
        write_gguf(path, random_checkpoint(replace(CONFIGS["tied"], vocab_size=256)), vocab)
    with pytest.raises(UserError, match="choose one of F32"):
        write_gguf(path, big, vocab, "Q4_K")
    assert list(path.parent.iterdir()) == []  # neither a half-written file nor a temporary one


def test_a_models_own_template_goes_along(tmp_path: Path) -> None:
    """From a folder to a GGUF file and back; a text of another model would make it speak that one's calls."""
    tokenizer_files.save(Tokenizer(tiny_vocabulary()), tmp_path / "tok", "{# mine #}<|im_start|>")
    write_gguf(tmp_path / "x.gguf", random_checkpoint(CONFIGS["untied"]), tmp_path / "tok")
    save_hf(tmp_path / "back", read_gguf(tmp_path / "x.gguf"), copy_from=tmp_path / "x.gguf")
    assert folder.chat_template(tmp_path / "back") == folder.chat_template(tmp_path / "tok") == "{# mine #}<|im_start|>"
