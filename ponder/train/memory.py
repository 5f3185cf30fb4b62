"""How much memory a step takes, known before the first one: a small forward pass shows what an id leaves behind.

What the backward pass will want is held from the forward pass on, and grows with the ids of a micro-batch. It is
counted, tensor by tensor, on a few hundred ids; on top comes what a layer and the head compute with for a moment.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.engine.scheduling.memory import free_memory
from ponder.model.config import ModelConfig
from ponder.model.torch.head import CHUNK
from ponder.train.batch import Packed, micro_batches, pack
from ponder.train.step import Trainer

PROBE = 256  # ids, at least one sample
STATE = 16  # bytes a parameter: float32 weight, gradient and two moments
# oneDNN keeps a program for each product of bfloat16 matrices and each number of rows, the 1,024 used last; one takes
# 0.6 to 1.3 MB, whatever the size of the matrices. A run has a dozen matrices and a dozen lengths, and soon has all.
PROGRAMS = 1024 * 650_000
GB = 1e9
PAGE = mmap.PAGESIZE


class Need(NamedTuple):
    """Bytes."""

    state: int
    """Weights, gradients and moments; weights of a teacher or reference, too."""
    held: float
    """For each id of a micro-batch, until the backward pass has been there."""
    passing: float
    """For each id, while one layer goes back."""
    head: int
    """Logits of one chunk of rows, and what is computed of them, before the layers' turn."""
    programs: int = 0
    """Compiled products of all sizes that a run has."""

    def of(self, ids: int) -> int:
        return int(self.state + self.programs + self.held * ids + max(self.head, self.passing * ids))

    def most_ids(self, room: int) -> int:
        """Ids of the largest micro-batch that fits."""
        left = room - self.state - self.programs
        return max(0, int(min((left - self.head) / self.held, left / (self.held + self.passing))))


def need_of(trainer: Trainer, samples: Sequence[Sample]) -> Need:
    """samples: of a step. The weights stay as they are."""
    few = [min(samples, key=len)]
    for sample in samples:
        if sum(map(len, few)) >= PROBE:
            break
        few.append(sample)
    packed = pack(few)
    held = _held(trainer, packed) / len(packed.ids)
    weights = sum(p.nbytes for p in trainer.parameters.values())
    moments = sum(t.nbytes for t in trainer.optimiser.state().values())
    others = 0 if trainer.teacher is None else sum(w.nbytes for w in trainer.teacher.weights.values())
    state = 2 * weights + moments + others + _frozen(trainer)
    compiled = trainer.decoder.head.dtype == torch.bfloat16 and not trainer.decoder.head.is_cuda
    return Need(state, held, _passing(trainer.model.config), _head(trainer, samples), PROGRAMS if compiled else 0)


def check_memory(trainer: Trainer, samples: Sequence[Sample]) -> None:
    """Raises UserError where the largest micro-batch of this step would not fit, with the largest that does."""
    free = free_memory()
    if free is None or trainer.processes > 1:  # parts of layers come and go: nothing to count beforehand
        return
    need, limit = need_of(trainer, samples), trainer.settings.max_tokens
    room = free + sum(t.nbytes for t in trainer.optimiser.state().values())  # these are in memory already
    room += sum(p.nbytes for p in trainer.parameters.values()) + _frozen(trainer)
    ids = max(sum(map(len, micro)) for micro in micro_batches(samples, limit))
    if need.of(ids) <= room:
        return
    most, longest = need.most_ids(room), max(map(len, samples))
    if most < longest:
        raise UserError(
            f"a step needs {need.of(longest) / GB:.1f} GB for its longest sample of {longest} ids alone, and "
            f"{room / GB:.1f} GB are free: take a smaller model or shorter samples",
            param="max_tokens",
        )
    raise UserError(
        f"a micro-batch of {ids} ids needs {need.of(ids) / GB:.1f} GB, and {room / GB:.1f} GB are free: set max_tokens "
        f"to {most} or less; the step stays as it is, in more parts",
        param="max_tokens",
    )


def resident(statm: Path = Path("/proc/self/statm")) -> int:
    """Bytes of memory that this process has; 0 where the system does not tell (not Linux)."""
    return int(statm.read_text().split()[1]) * PAGE if statm.exists() else 0


def check_state(config: ModelConfig) -> None:
    """Raises UserError where weights, gradients and moments alone do not fit, before they are made."""
    count, free = config.parameter_counts().total, free_memory()
    if free is not None and STATE * count > free:
        raise UserError(
            f"a model of {count / 1e6:.0f}M parameters needs {STATE * count / GB:.1f} GB for weights, gradients and "
            f"moments, and {free / GB:.1f} GB are free: take a smaller one, or train factors beside it (lora)",
            param="model",
        )


def _frozen(trainer: Trainer) -> int:
    """Bytes of weights that do not learn."""
    return sum(p.nbytes for p in trainer.decoder.parameters() if not p.requires_grad)


def _held(trainer: Trainer, packed: Packed) -> int:
    """Bytes that the backward pass through the layers keeps alive, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in trainer.decoder.parameters()}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    decoder = trainer.decoder
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step = decoder.ops.prepare(packed.batch, *decoder.rope.rows(packed.batch))
        hidden, _ = decoder.hidden_states(packed.ids, step)
    held[hidden.untyped_storage().data_ptr()] = hidden.nbytes
    return sum(held.values())


def _passing(config: ModelConfig) -> int:
    """Bytes an id for the gradients inside the layer whose turn it is."""
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    wide = config.num_experts_per_tok * config.moe_intermediate_size if config.num_experts else config.intermediate_size
    return 4 * (4 * wide + 4 * config.hidden_size + 2 * heads * config.head_dim)


def _head(trainer: Trainer, samples: Sequence[Sample]) -> int:
    """The logits of a chunk and what is computed of them; the head's own gradient beside that of the embedding."""
    vocab, wide = trainer.model.config.vocab_size, trainer.model.config.hidden_size
    rows = min(sum(map(len, samples)), trainer.settings.max_tokens)
    chunk = min(rows, max(1, CHUNK // vocab))
    alive = 7 if any(s.kl.any() for s in samples) else 3 if chunk == rows else 5  # two chunks overlap
    return 4 * (alive * chunk * vocab + vocab * wide + 3 * rows * wide)
