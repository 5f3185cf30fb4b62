"""A model ready to run: its weights in the form one op set wants, and how long a context it may serve.

`ponder.model.load.load` and `ponder.model.weights.build.build` make one. Several may live side by side; there are no
globals.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ponder.core.batch import Batch
from ponder.kernels.cancel import CancelFlag
from ponder.kernels.native import NativeOps
from ponder.kernels.ops import Array, Cache, Ops, Weight
from ponder.kernels.program.run import Program
from ponder.model import decoder
from ponder.model.config import ModelConfig
from ponder.model.kv_equalisation import equalisation
from ponder.model.rope import Rope, factor_for


@dataclass(frozen=True, eq=False)
class Model:
    """weights: by HF name (torch: experts stacked as in transformers); `lm_head.weight` is always there.
    nbytes: of the weights, shared ones once.
    max_context: tokens a request may hold. long_context: whether the user asked for it, see rope_factor.
    generation_config: HF's file, {} if there is none. warnings: what went wrong in loading and did no harm.
    """

    config: ModelConfig
    ops: Ops
    weights: dict[str, Weight]
    rope: Rope
    nbytes: int
    max_context: int
    long_context: bool
    generation_config: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def forward(self, ids: Any, batch: Batch, cache: Cache | None = None, cancelled: CancelFlag | None = None) -> Array:
        """ids [T] int32 -> logits [R, V] of batch.logit_rows. With the native ops it is recorded once and then runs
        without Python, to the same bits; there it raises Cancelled soon after `cancelled` was set."""
        if self.program is not None:
            return self.program.run(ids, batch, cache, cancelled)
        return decoder.forward(self.weights, self.config, self.rope, self.ops, ids, batch, cache)

    @cached_property
    def program(self) -> Program | None:
        """The forward pass as native code runs it; None for the other op sets."""
        if not isinstance(self.ops, NativeOps):
            return None
        return Program(self._record, self.rope.table)

    def _record(self, ops: Any, batch: Any) -> Any:
        """The forward pass over symbols; `batch` stands for the batch and for its rope."""
        return decoder.forward(self.weights, self.config, batch, ops, None, batch)

    def hidden_states(self, ids: Any, batch: Batch, cache: Cache | None = None) -> Array:
        """ids [T] int32 -> [T, D] after the final norm"""
        step = self.ops.prepare(batch, *self.rope.rows(batch))
        return decoder.hidden_states(self.weights, self.config, self.ops, ids, step, cache)

    def new_cache(self, blocks: int, block_size: int, dtype: str = "bf16") -> Cache:
        """A paged cache of `blocks` blocks of `block_size` tokens; dtype "f32", "bf16" or "int8"."""
        c = self.config
        cache = self.ops.cache(c.num_hidden_layers, blocks, block_size, c.num_key_value_heads, c.head_dim, dtype)
        if dtype == "int8":
            cache.balance[...] = equalisation(self.weights, c, self.ops)
        return cache

    def rope_factor(self, length: int) -> float:
        """What `Batch.rope_factor` must hold for a request of `length` tokens, prompt and max_tokens together.

        A factor in the config is the answer for every length. Without --max-context the model runs as it was shipped,
        plain RoPE up to max_position_embeddings. Otherwise the smallest factor that fits (LC-3, LC-4).
        """
        if self.config.rope_scaling:
            return self.config.rope_scaling.factor
        return factor_for(length, self.config.native_context, self.max_context) if self.long_context else 1.0

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """generation_config.json's if it has them (the chat models list two), else config.json's."""
        eos = self.generation_config.get("eos_token_id")
        if eos is None:
            return self.config.eos_token_ids
        return tuple(eos) if isinstance(eos, list) else (eos,)
