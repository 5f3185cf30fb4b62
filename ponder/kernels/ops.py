"""The contract of an op set. Three exist: numpy (oracle), native (C++, inference), torch (autograd, training).

Shapes: T tokens, D hidden, N outputs, H query heads, Hk key/value heads, C head size, E experts, I expert width,
B sequences. Activations are float32 in the numpy and native sets, any float dtype in torch. `Array` stands for the
set's own array type and `Weight` for whatever `weight()` returned. Ops do not modify their inputs; only `attention`
writes, into the cache. Every op gives a token the same result whatever its neighbours in the batch (DT-1):
each output element is summed in an order that depends on the reduced dimension alone.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ponder.core.batch import Batch

Array = Any
Weight = Any
Cache = Any


class Step(NamedTuple):
    """A batch in the arrays of one op set, made once by `prepare` and read by every layer.

    sequences: where each sequence lies, as `attention` wants it (numpy and native: the Batch itself).
    cos, sin: [T, C/2] rotary positions, as `rope` wants them.
    logit_rows: [R] the tokens whose logits are wanted, as `gather_rows` wants them.
    """

    sequences: Any
    cos: Array
    sin: Array
    logit_rows: Array


class Ops(Protocol):
    def weight(self, tensor: Any) -> Weight:
        """Take a loaded tensor (numpy array, or a quantised one) in; may keep it mapped or repack it. [N, D]
        A vector [N], a norm or a bias, comes back as the set's Array."""

    def joined(self, weights: dict[str, Weight]) -> dict[str, Weight]:
        """All weights of a model by HF name -> as the forward pass reads them (torch: experts as stacks)."""

    def expert_weights(self, weights: Mapping[str, Weight], prefix: str, number: int) -> tuple[Any, ...]:
        """Of the experts `prefix`0 .. : what `experts` takes after its first three arguments."""

    def prepare(self, batch: Batch, cos: Array, sin: Array) -> Step:
        """cos and sin [T, C/2] as numpy, from `Rope.rows`."""

    def embed(self, weight: Weight, ids: Array) -> Array:
        """Rows of the embedding. ids [T] -> [T, D]"""

    def rms_norm(self, x: Array, weight: Array, eps: float) -> Array:
        """x / rms(x) * weight over the last dimension, computed in float32, cast back before the weight (as in
        transformers). Any leading shape: [T, D], or [T, H, C] for the per-head norms of q and k."""

    def linear(self, x: Array, weight: Weight, bias: Array | None = None) -> Array:
        """x [T, D] times weight [N, D] transposed, plus bias [N] -> [T, N]"""

    def rope(self, x: Array, cos: Array, sin: Array) -> Array:
        """Rotate pairs (i, i + C/2), the half-split layout. x [T, H, C], cos and sin [T, C/2] -> [T, H, C]"""

    def attention(self, q: Array, k: Array, v: Array, sequences: Any, cache: Cache | None, layer: int) -> Array:
        """Causal GQA, scale 1/sqrt(C). q [T, H, C], k and v [T, Hk, C] -> [T, H*C]. sequences: Step.sequences.
        With a cache, k and v are first written at their positions through the batch's block_tables."""

    def swiglu(self, gate: Array, up: Array) -> Array:
        """silu(gate) * up, elementwise"""

    def add(self, a: Array, b: Array) -> Array: ...

    def gather_rows(self, x: Array, rows: Array) -> Array:
        """x [T, D], rows [R] -> [R, D]"""

    def route(self, logits: Array, top_k: int, normalise: bool) -> tuple[Array, Array]:
        """Softmax over all experts in float32, the top_k largest (ties: lower index first), divided by their sum if
        normalise. logits [T, E] -> ids [T, k], weights [T, k]"""

    def experts(self, x: Array, ids: Array, weights: Array, *experts: Any) -> Array:
        """Sum over chosen experts of weight * down(swiglu(gate x, up x)), tokens grouped by expert; summed in
        ascending slot order. experts: of `expert_weights`. x [T, D] -> [T, D]"""

    def rescore(self, logits: Array, x: Array, weight: Weight, panels: int, margin: float) -> Array:
        """logits [T, N] of a coarse copy of the head; x [T, D] and the head itself [N, D] -> [T, N]. At most `panels`
        runs of 16 outputs of a row become the head's own: those with the largest logits (ties: lower index first; a
        NaN counts as the largest), none more than `margin` below the row's largest (if that is a number)."""

    def cache(self, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> Cache:
        """An empty paged cache for blocks of `block_size` positions; dtype "f32", "bf16" or "int8" (not in torch)."""


class HostOps:
    """What the op sets over numpy arrays share: nothing needs to be prepared, each expert's matrices stand alone."""

    def joined(self, weights: dict[str, Weight]) -> dict[str, Weight]:
        return weights

    def expert_weights(self, weights: Mapping[str, Weight], prefix: str, number: int) -> tuple[Any, ...]:
        """Lists of the gate, up and down matrices."""
        names = "gate", "up", "down"
        return tuple([weights[f"{prefix}{e}.{name}_proj.weight"] for e in range(number)] for name in names)

    def prepare(self, batch: Any, cos: Array, sin: Array) -> Step:
        return Step(batch, cos, sin, batch.logit_rows)
