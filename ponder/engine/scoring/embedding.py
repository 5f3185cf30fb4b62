"""Texts as vectors: the last hidden states of a model, pooled and normalised.

"last" takes the state of a final <|endoftext|>, as the Qwen3-Embedding models were trained (the token must be there);
"mean" averages over all ids. Whole texts are packed side by side without a cache, so what a text gives does not
depend on its neighbours (DT-1).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.core.errors import ContextLengthExceeded, DamagedModel, UserError
from ponder.model.model import Model

Pooling = Literal["last", "mean"]
PACKED_IDS = 2048  # ids computed together; a longer text is computed alone


def embed(
    model: Model, prompts: Sequence[Sequence[int]], *, pooling: Pooling, end_id: int, dimensions: int | None = None
) -> NDArray[np.float32]:
    """prompts: ids of each text -> [len(prompts), D or dimensions], rows of length 1.

    dimensions: keep the first so many (Matryoshka). Raises UserError, ContextLengthExceeded.
    """
    size = model.config.hidden_size
    if dimensions is not None and not 0 < dimensions <= size:
        raise UserError(f"dimensions must be 1 to {size}, the model's size, got {dimensions}", param="dimensions")
    texts = [[*ids, end_id] if pooling == "last" or not ids else list(ids) for ids in prompts]
    out = np.empty((len(texts), dimensions or size), np.float32)
    for i, states in states_of(model, texts):
        out[i] = _unit((states[-1] if pooling == "last" else states.mean(axis=0))[: out.shape[1]])
    return out


def states_of(model: Model, texts: Sequence[Sequence[int]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(place of a text, its states after the final norm [ids, D]), every text once. Raises ContextLengthExceeded,
    DamagedModel."""
    for text in texts:
        if len(text) > model.max_context:
            raise ContextLengthExceeded(len(text), model.max_context)
    for group in _groups(texts):
        batch = Batch.packed([len(texts[i]) for i in group])
        factors = np.array([model.rope_factor(len(texts[i])) for i in group], np.float32)
        batch = Batch(batch.positions, batch.starts, batch.logit_rows, factors)
        ids = np.array([id_ for i in group for id_ in texts[i]], np.int32)
        states = np.asarray(model.hidden_states(ids, batch), np.float32)  # [T, D]
        check_numbers(states)
        yield from ((i, states[first:end]) for i, first, end in zip(group, batch.starts, batch.starts[1:]))


def check_numbers(computed: NDArray[np.floating[Any]]) -> None:
    """Raises DamagedModel: weights that stay mapped are looked at by nobody before they are used."""
    if not np.isfinite(computed).all():
        raise DamagedModel


def _groups(texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of texts that are computed together."""
    group: list[int] = []
    for i, text in enumerate(texts):
        if group and sum(len(texts[j]) for j in group) + len(text) > PACKED_IDS:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.sqrt(np.square(vector, dtype=np.float64).sum()))
    return vector / np.float32(length) if length else vector
