"""What bounds a model here: the bytes a decode step must read, the operations a prefill must do, and how fast this
machine reads and multiplies. `ponder bench` gives its speeds as percentages of these.
"""

from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from ponder.kernels.cpu import compute_peak, read_bandwidth
from ponder.model.capacity import step_weights
from ponder.model.decoder import EMBED, HEAD

if TYPE_CHECKING:
    from ponder.model.model import Model

QUERY = "model.layers.0.self_attn.q_proj.weight"


class Roofline(NamedTuple):
    """Of this machine, for one model's kind of weights. bandwidth: bytes a second; compute: operations a second."""

    bandwidth: float
    compute: float


def measure(model: "Model") -> Roofline:
    return Roofline(read_bandwidth(), compute_peak(model.weights[QUERY].matrix.kind))


def middle(limits: Iterable[Roofline]) -> Roofline:
    """The medians."""
    bandwidths, computes = zip(*limits)
    return Roofline(median(bandwidths), median(computes))


def step_bytes(model: "Model", streams: int, context: float, kv_dtype: str) -> float:
    """Bytes of weights and cache that a decode step of so many streams must read at least."""
    weights = dict(model.weights)
    if weights[HEAD] is weights[EMBED]:
        del weights[HEAD]
    return step_weights(model.config, weights, streams) + streams * context * model.config.kv_bytes_per_token(kv_dtype)


def prefill_operations(model: "Model", length: int) -> float:
    """Multiplications and additions for a prompt of so many ids: matrices, causal attention, one row of the head."""
    config, count = model.config, model.config.parameter_counts()
    matrices = 2.0 * length * (count.non_embedding - (count.total - count.active))
    pairs = length * (length + 1) / 2
    attention = 4.0 * pairs * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return matrices + attention + 2.0 * config.vocab_size * config.hidden_size
