"""The trainer's weights in an engine, without a copy: rollouts are drawn by the very numbers that are trained.

    engine = engine_of(trainer.decoder, tokenizer)
    said = engine.sample(requests)
    trainer.step(...)
    engine.weights_changed()

Parameters never move: the optimiser writes them in place, and the engine's matrices are views of them, single experts
of the trainer's stacks included. So there is nothing to copy and nothing that could be forgotten; `engine_of` checks
every weight's address and refuses a model of which one would have to be converted. Of a matrix with LoRA factors the
engine has the sum, in an array of its own, which `weights_changed` brings up to date.

Keys and values are kept as the trainer computes them, in float32 beside float32 weights: the log-probs of engine and
trainer then differ by rounding alone (under 1e-5; docs/train.md). In bfloat16 both round, each in its own order.
"""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ponder.core.errors import UserError
from ponder.core.params import Capability
from ponder.engine.decoding.settings import ModelProfile
from ponder.engine.scheduling.engine import Engine
from ponder.engine.scheduling.runner import ModelRunner
from ponder.engine.token_model import TokenEngine
from ponder.kernels.ops import Weight
from ponder.model.load import make_ops
from ponder.model.torch.modules import Decoder
from ponder.model.weights.build import build
from ponder.text.tokenizer.tokenizer import Tokenizer

BURST = 5.0  # seconds: nobody reads along and nothing is cancelled, so the steps need not come up for air


def engine_of(
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    capability: Capability = "hybrid",
    kv_memory: int | None = None,
    max_batch: int = 128,
    chunk: int = 512,
) -> TokenEngine:
    """kv_memory: bytes for keys and values; None is room for a full batch, or a quarter of the free memory. max_batch:
    sequences computed together. chunk: ids computed in a step, more than max_batch.

    The engine has no thread: it computes inside `sample`. Raises UserError for parameters that are no float32 or
    bfloat16 on the CPU.
    """
    if tokenizer.vocab_size > decoder.config.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model only {decoder.config.vocab_size}; they do not "
            "belong together",
            param="tokenizer",
        )
    model = build(decoder.checkpoint(), make_ops("native"))
    check_shared(decoder.files(), model.weights)
    kv = "bf16" if decoder.head.dtype == torch.bfloat16 else "f32"
    runner = ModelRunner(model, max_batch=max_batch, kv_memory=kv_memory, kv_dtype=kv)
    profile = ModelProfile(
        name="the model in training",
        capability=capability,
        eos_ids=tokenizer.eos_ids,
        context=runner.context,
        vocab=tokenizer.vocab_size,
    )
    engine = Engine(runner, max_batch=max_batch, chunk=chunk, burst=BURST, background=False)
    return TrainedEngine(engine, tokenizer, profile, decoder)


class TrainedEngine(TokenEngine):
    def __init__(self, engine: Engine, tokenizer: Tokenizer, profile: ModelProfile, decoder: Decoder) -> None:
        super().__init__(engine, tokenizer, profile)
        self._decoder = decoder

    def weights_changed(self) -> int:
        self._decoder.merge()
        return super().weights_changed()


def check_shared(trained: Mapping[str, Tensor], used: Mapping[str, Weight]) -> None:
    """Whether the engine would see every change."""
    for name, parameter in trained.items():
        weight = used[name]
        held: NDArray[Any] = weight if parameter.ndim == 1 else weight.matrix.data
        if held.ctypes.data != parameter.data_ptr():
            raise UserError(
                f"{name} ({parameter.dtype}, {parameter.device}) cannot be shared with the engine, which would go on "
                "with a copy of it: train on the CPU, in float32, or in bfloat16 with norms, biases and router gates "
                "in float32",
                param="dtype",
            )
