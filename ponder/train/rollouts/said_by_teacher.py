"""What a teacher would have said in place of each id: its most likely ones, written into the samples.

With several teachers each sample asks its own, and none of them is in memory for the trainer. The rest of a teacher's
distribution is one further class, the tail (`train.head`): without it the divergence over K ids could fall below zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from ponder.core.batch import Batch
from ponder.core.sample import Sample
from ponder.model.decoder import HEAD
from ponder.model.model import Model

CHUNK = 1 << 24  # logits at a time


def told_by(teacher: Model, samples: Sequence[Sample], top: int) -> list[Sample]:
    """teacher: over the torch ops. top: ids of each place, at most the vocabulary's."""
    most = min(top, teacher.config.vocab_size - 1)
    return [
        replace(sample, teacher_ids=ids, teacher_logprobs=logprobs)
        for sample, ids, logprobs in _likeliest(teacher, samples, most)
    ]


def _likeliest(
    teacher: Model, samples: Sequence[Sample], top: int
) -> Iterator[tuple[Sample, np.ndarray[tuple[int, ...], np.dtype[np.int32]],
                    np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:  # fmt: skip
    head = teacher.weights[HEAD]
    rows = max(1, CHUNK // len(head))
    for sample in samples:
        ids = np.zeros((len(sample), top), np.int32)
        ids[:] = np.arange(top)  # where nobody is taught: any ids, but none twice
        logprobs = np.full((len(sample), top), -1e4, np.float32)
        places = np.flatnonzero(sample.kl > 0)
        with torch.no_grad():
            hidden = teacher.hidden_states(sample.ids[:-1], Batch.packed([len(sample) - 1]))
            for part in np.array_split(places, max(1, -(-len(places) // rows))):
                logits = hidden[torch.from_numpy(part - 1)].float() @ head.float().T
                best = logits.log_softmax(-1).topk(top)
                ids[part], logprobs[part] = best.indices.numpy(), best.values.numpy()
        yield sample, ids, logprobs
