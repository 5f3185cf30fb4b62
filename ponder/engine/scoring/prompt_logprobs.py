"""How likely a prompt's own ids are: what evaluation harnesses score answers with (echo and logprobs).

The prompt is computed once without a cache, beside the running requests; the head is applied to a few rows at a time,
because the logits of a long prompt would be larger than the model.
"""

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.core.errors import ContextLengthExceeded
from ponder.engine.scoring.embedding import check_numbers
from ponder.model import decoder
from ponder.model.model import Model

ROWS = 64  # [64, 151936] float32 is 39 MB

Scored = tuple[float, tuple[tuple[int, float], ...]]  # log-probability of the id, the likeliest (id, log-probability)


def prompt_logprobs(model: Model, ids: list[int], top: int, vocab: int) -> list[Scored]:
    """Of ids[1:], each given the ids before it. vocab: ids that the tokenizer knows; rows above are padding.

    Raises ContextLengthExceeded, DamagedModel.
    """
    if len(ids) > model.max_context:
        raise ContextLengthExceeded(len(ids), model.max_context)
    if len(ids) < 2:
        return []
    batch = Batch.packed([len(ids)], rope_factor=model.rope_factor(len(ids)))
    states = model.hidden_states(np.array(ids, np.int32), batch)  # [T, D]
    out: list[Scored] = []
    for first in range(0, len(ids) - 1, ROWS):
        rows = np.arange(first, min(first + ROWS, len(ids) - 1), dtype=np.int32)
        logits = decoder.logits(model.weights, model.ops, model.ops.gather_rows(states, rows))
        known = np.asarray(logits, np.float32)[:, :vocab]  # [R, V]
        logprobs = _log_softmax(known)
        check_numbers(logprobs)
        out += [_scored(row, ids[place + 1], top) for row, place in zip(logprobs, rows.tolist())]
    return out


def _scored(logprobs: NDArray[np.float32], id_: int, top: int) -> Scored:
    """logprobs: [V]"""
    likely: list[int] = []
    if top:
        likely = np.argpartition(-logprobs, top - 1)[:top].tolist()
        likely.sort(key=lambda i: (-float(logprobs[i]), i))
    return float(logprobs[id_]), tuple((i, float(logprobs[i])) for i in likely)


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logprobs: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logprobs
