"""Tiny models made by transformers, the oracle: every parameter random, norms and biases too, else bugs hide."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from ponder.core.batch import Batch
from ponder.model.model import Model

torch.set_num_threads(1)

VOCAB = 160
BASE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": [7, 5],
    "attn_implementation": "eager",
}
PLAIN = {"rope_type": "default", "rope_theta": 1e6}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
MOE: dict[str, Any] = {"head_dim": 32, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32}
MODELS: dict[str, tuple[type, type, dict[str, Any]]] = {
    "dense-tied": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 32, "tie_word_embeddings": True}),
    "dense-untied": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 32, "tie_word_embeddings": False}),
    "moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM, {**MOE, "norm_topk_prob": True}),
    "moe-mixed": (
        Qwen3MoeConfig,
        Qwen3MoeForCausalLM,
        {**MOE, "norm_topk_prob": False, "mlp_only_layers": [0], "decoder_sparse_step": 1},
    ),
    "yarn": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 32, "tie_word_embeddings": True, "rope_parameters": YARN}),
    "qwen2-tied": (Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen2-untied": (Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": False}),
}


def make(name: str, seed: int = 0) -> PreTrainedModel:
    config_class, model_class, extra = MODELS[name]
    model = model_class(config_class(**{**BASE, "rope_parameters": PLAIN, **extra}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            spread, centre = (0.3, 1.0) if "norm" in key else (0.5, 0.0) if key.endswith("bias") else (0.12, 0.0)
            parameter.normal_(centre, spread, generator=generator)
    return model.eval()


def save(name: str, folder: Path) -> PreTrainedModel:
    model = make(name)
    model.save_pretrained(folder)
    return model


def hf_logits(model: PreTrainedModel, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def to_numpy(logits: Any) -> np.ndarray:
    return logits.detach().numpy() if isinstance(logits, torch.Tensor) else logits


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference relative to the largest value."""
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def sequences(*lengths: int, seed: int = 1) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCAB, n).tolist() for n in lengths]


def paged_logits(
    model: Model, seqs: list[list[int]], *, block_size: int = 4, dtype: str = "f32", seed: int = 2
) -> list[np.ndarray]:
    """All logits of every sequence, fed the way an engine does it: the sequences arrive one after the other, prefill in
    random chunks beside the decoding of others, cache blocks scattered over the pool."""
    rng = np.random.default_rng(seed)
    need = [-(-len(s) // block_size) for s in seqs]
    pool = rng.permutation(sum(need) + 3).astype(np.int32)
    tables = np.full((len(seqs), max(need) + 1), -1, np.int32)
    for b, n in enumerate(need):
        tables[b, :n], pool = pool[:n], pool[n:]
    cache = model.new_cache(sum(need) + 3, block_size, dtype)
    done, out, step = [0] * len(seqs), [[] for _ in seqs], 0
    while any(d < len(s) for d, s in zip(done, seqs)):
        live = [b for b, s in enumerate(seqs) if done[b] < len(s) and step >= b]
        step += 1
        if not live:
            continue
        prompt = [len(s) - min(10, len(s) // 2) for s in seqs]  # the rest is decoded token by token
        most = [max(12, n // 8) for n in prompt]
        takes = [min(int(rng.integers(1, most[b])), prompt[b] - done[b]) if done[b] < prompt[b] else 1 for b in live]
        ids = [i for b, n in zip(live, takes) for i in seqs[b][done[b] : done[b] + n]]
        positions = np.concatenate([np.arange(done[b], done[b] + n) for b, n in zip(live, takes)]).astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(takes)]).astype(np.int32)
        factors = np.array([model.rope_factor(len(seqs[b])) for b in live], np.float32)
        batch = Batch(positions, starts, np.arange(len(ids), dtype=np.int32), factors, tables[live])
        logits = to_numpy(model.forward(np.array(ids, np.int32), batch, cache))
        for b, start, n in zip(live, starts, takes):
            out[b].append(logits[start : start + n])
            done[b] += n
    return [np.concatenate(parts) for parts in out]
