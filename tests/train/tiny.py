"""Models and samples so small that a test may take many steps."""

from collections.abc import Sequence

import numpy as np
import torch
from msgspec.structs import replace

from ponder.core.sample import Sample
from ponder.model.config import ModelConfig
from ponder.model.load import make_ops
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint

WORDS = 29
DENSE = ModelConfig(
    model_type="qwen3", vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=True,
    initializer_range=0.2,
)  # fmt: skip
MOE = replace(DENSE, model_type="qwen3_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12)


def model(config: ModelConfig = DENSE, seed: int = 0) -> Model:
    return build(random_checkpoint(config, seed=seed, noisy=True), make_ops("torch"))


def samples(lengths: Sequence[int], seed: int = 0, *, top: int | None = None) -> list[Sample]:
    """One of each length, with something in every stream; top: what a teacher said about its K likeliest ids."""
    draw = np.random.default_rng(seed)
    return [_sample(draw, n, top) for n in lengths]


def _sample(draw: np.random.Generator, n: int, top: int | None) -> Sample:
    def weight() -> np.ndarray:
        w = (draw.random(n) < 0.6) * draw.random(n)
        w[0], w[-1] = 0, 0.5  # some weight there is always
        return w

    ids = teacher = None
    if top is not None:
        order = np.argsort(draw.random((n, WORDS)))[:, :top]
        ids, teacher = order, np.log(draw.dirichlet(np.ones(top + 1), n)[:, :top] + 1e-6) - 1e-3
    return Sample.of(
        draw.integers(0, WORDS, n), ce=weight(), rl=weight(), kl=weight() if top is not None else None,
        advantage=draw.normal(size=n), behaviour=-draw.random(n) * 4, reference=-draw.random(n) * 4,
        teacher_ids=ids, teacher_logprobs=teacher,
    )  # fmt: skip


def gradients(parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in parameters.items()}
