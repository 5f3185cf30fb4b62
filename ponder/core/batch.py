"""What one forward pass works on: a flat batch of tokens from several sequences, and where each belongs.

The same value serves packed training (no cache), prefill and paged decode: the model and all
three op sets read it, the engine writes it. Arrays are numpy int32; T tokens, B sequences, R rows with logits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Batch:
    """positions: [T] absolute position of each token in its sequence.
    starts: [B + 1] sequence b owns the tokens starts[b] .. starts[b+1]; its positions are consecutive.
    logit_rows: [R] the tokens whose logits are wanted, ascending.
    rope_factor: [B] YaRN factor of each sequence, 1.0 is plain RoPE (LC-4: chosen per request).
    block_tables: [B, W] cache block ids of each sequence, -1 past its end; None means no cache: every sequence
        starts at position 0 in this batch and attends to itself only (packed training, scoring).
    shared: [P] where sequences have a beginning in common that is computed once: the token at each of their places.
        starts count places then, and there are fewer tokens. A training step alone has it; None: place p is token p.

    A token at position p attends to the positions 0..p of its own sequence.
    """

    positions: Ints
    starts: Ints
    logit_rows: Ints
    rope_factor: NDArray[np.float32]
    block_tables: Ints | None = None
    shared: Ints | None = None

    def first_places(self) -> NDArray[np.int64]:
        """[T] where each token lies first."""
        if self.shared is None:
            return np.arange(len(self.positions))
        return np.unique(self.shared, return_index=True)[1]

    @classmethod
    def packed(cls, lengths: list[int], *, rope_factor: float = 1.0, all_logits: bool = True) -> "Batch":
        """Whole sequences side by side without a cache; logits for every token, or only for each last one."""
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        positions = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
        rows = np.arange(starts[-1], dtype=np.int32) if all_logits else starts[1:] - 1
        return cls(positions, starts, rows, np.full(len(lengths), rope_factor, np.float32))
