"""Log-probs of a reference policy, written into the samples: what the k3 term of the loss compares with."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from ponder.core.batch import Batch
from ponder.core.sample import Sample
from ponder.model.torch.modules import Decoder
from ponder.train.batch import in_order


def with_reference(samples: Sequence[Sample], reference: Decoder, max_tokens: int) -> list[Sample]:
    """max_tokens: ids computed at a time, or one sample if that is longer."""
    return [done for part in in_order(samples, max_tokens) for done in _scored(part, reference)]


def _scored(samples: Sequence[Sample], reference: Decoder) -> Iterator[Sample]:
    lengths = [len(s) - 1 for s in samples]
    with torch.no_grad():
        logp, _, _ = reference(
            np.concatenate([s.ids[:-1] for s in samples]),
            Batch.packed(lengths),
            np.concatenate([s.ids[1:] for s in samples]),
        )
    known = np.minimum(logp.float().cpu().numpy(), 0)
    for sample, part in zip(samples, np.split(known, np.cumsum(lengths)[:-1]), strict=True):
        yield replace(sample, reference=np.concatenate([np.zeros(1, np.float32), part]))
