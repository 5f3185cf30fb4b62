"""Tiny models and vocabularies for the GGUF tests."""

from pathlib import Path

import numpy as np

from ponder.kernels.tensor import Tensor
from ponder.model.config import ModelConfig, Yarn
from ponder.model.formats.ggml_blocks import BLOCK
from ponder.model.weights.build import memory_checkpoint
from ponder.model.weights.checkpoint import Checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import Vocabulary, byte_symbols
from ponder.text.tokenizer_files import save

_SHAPE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "bos_token_id": 256,
    "eos_token_ids": (257,),
    "pad_token_id": 256,
}
CONFIGS = {
    "tied": ModelConfig(model_type="qwen3", tie_word_embeddings=True, **_SHAPE),
    "untied": ModelConfig(model_type="qwen3", **_SHAPE),
    "qwen2": ModelConfig(model_type="qwen2", **{**_SHAPE, "head_dim": 16}),
    "yarn": ModelConfig(
        model_type="qwen3",
        tie_word_embeddings=True,
        rope_scaling=Yarn(factor=4.0, original_max_position_embeddings=128),
        **_SHAPE,
    ),
    "moe": ModelConfig(
        model_type="qwen3_moe",
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        norm_topk_prob=True,
        **_SHAPE,
    ),
}


def tiny_vocabulary() -> Vocabulary:
    """256 bytes, four control tokens, five merges."""
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "t")]
    added = {"<|endoftext|>": 256, "<|im_end|>": 257, "<think>": 258, "<|im_start|>": 264}
    ids = {token: n for n, token in enumerate(byte_symbols())} | {a + b: 259 + n for n, (a, b) in enumerate(merges)}
    return Vocabulary(ids, merges, added, frozenset({"<|endoftext|>", "<|im_end|>", "<|im_start|>"}), "<|im_end|>")


def tiny_tokenizer(folder: Path) -> Path:
    save(Tokenizer(tiny_vocabulary()), folder / "tok")
    return folder / "tok"


def random_checkpoint(config: ModelConfig, seed: int = 0) -> Checkpoint:
    """Every parameter drawn on its own, so that a swapped pair of tensors cannot go unnoticed."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in config.shapes().items():
        centre = 1.0 if "norm" in name else 0.0
        arrays[name] = (centre + rng.standard_normal(shape) * (0.1 if len(shape) == 1 else shape[-1] ** -0.5)).astype(
            "f4"
        )
    return memory_checkpoint(config, arrays)


def values(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    read = {n: s.read() for n, s in checkpoint.tensors.items()}
    return {n: v.dequantise() if isinstance(v, Tensor) else v for n, v in read.items()}


# where the float16 scales of a block lie
HALVES = {
    "Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q2_K": (80, 82), "Q3_K": (108,),
    "TQ1_0": (52,), "TQ2_0": (64,), "MXFP4": (),
}  # fmt: skip


def random_blocks(type_: str, n: int, seed: int = 0) -> np.ndarray:
    """n blocks of random bytes whose float16 scales are finite: quantised data never holds inf or nan scales."""
    rng = np.random.default_rng(seed)
    elements, nbytes = BLOCK[type_]
    if elements == 1:
        return rng.standard_normal(n).astype(np.float32).view(np.uint8)
    raw = rng.integers(0, 256, (n, nbytes), np.uint8)
    for at in HALVES.get(type_, (0,)):
        raw[:, at : at + 2] = rng.standard_normal(n).astype("<f2").view(np.uint8).reshape(n, 2)
    if type_ == "MXFP4":
        raw[:, 0] = rng.integers(0, 250, n)  # scales whose products are finite, the two smallest subnormal
    if type_ == "IQ1_M":  # its scale lies in the top halves of four words, the exponent's upper bits in the last
        raw[:, 55] &= 0x3F
    return raw.reshape(-1)
