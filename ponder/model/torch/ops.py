"""The op set in torch: autograd through everything, any device. Training uses it.

Follows `ponder/kernels/ops.py`. Weights are float32 or bfloat16 tensors, activations have the weights' dtype.
`prepare` turns the numpy arrays of a batch into tensors once. With a cache, attention is a plain gather, for sampling
from a model under training, without gradients.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.kernels.ops import Step
from ponder.kernels.reference.ops import largest_panels
from ponder.kernels.tensor import Tensor as Stored
from ponder.model.torch import experts, fused
from ponder.model.torch.attention import packed_attention
from ponder.model.torch.functions import RmsNorm, Rope
from ponder.model.torch.head import token_losses
from ponder.model.torch.low_rank import LowRank
from ponder.model.torch.packing import Packing, pack
from ponder.model.torch.paged import DTYPES, TorchCache, paged_attention
from ponder.model.torch.split import Apart, ByInput, Entry, OfHeads, Summed, Together, apart


class TorchOps:
    """See `ops.Ops`. Weights come without requires_grad: who trains them sets it."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    def weight(self, tensor: Stored | NDArray[Any]) -> Tensor:
        if isinstance(tensor, np.ndarray):
            return torch.tensor(tensor, device=self.device)
        if tensor.kind not in DTYPES:
            raise UserError(
                f"torch has no {tensor.kind} weights; load the model with dtype f32 or bf16.", param="dtype"
            )
        bits = torch.tensor(tensor.data)  # a copy: the file's mapping is read-only, weights are written
        return bits.view(DTYPES[tensor.kind]).to(self.device)

    def joined(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return experts.joined(weights)

    def expert_weights(self, weights: Mapping[str, Tensor], prefix: str, number: int) -> tuple[Tensor, Tensor]:
        return weights[prefix + experts.GATE_UP], weights[prefix + experts.DOWN]

    def prepare(self, batch: Batch, cos: Any, sin: Any) -> Step:
        rows = batch.logit_rows
        wanted = None if len(rows) == len(batch.positions) else self._index(rows)  # they ascend: all of them
        cos, sin = (torch.as_tensor(a, device=self.device)[:, None, :] for a in (cos, sin))  # [T, 1, C/2]
        return Step(pack(batch, self.device), cos, sin, wanted)

    def embed(self, weight: Tensor, ids: Any) -> Tensor:
        return F.embedding(self._index(ids), weight)  # [T, D]

    def rms_norm(self, x: Tensor, weight: Tensor | Entry | OfHeads, eps: float) -> Tensor:
        if isinstance(weight, Entry):
            return Together.apply(self.rms_norm(x, weight.weight, eps), weight.group)  # type: ignore[no-any-return]
        if isinstance(weight, OfHeads):
            return self.rms_norm(x, Together.apply(weight.weight, weight.group), eps)
        return RmsNorm.apply(x, weight.to(x.dtype), eps)  # type: ignore[no-any-return]

    def linear(self, x: Tensor, weight: Tensor | LowRank | ByInput, bias: Tensor | None = None) -> Tensor:
        if isinstance(weight, ByInput):
            return Summed.apply(self.linear(x, weight.weight, bias), weight.group)  # type: ignore[no-any-return]
        if isinstance(weight, LowRank):
            thin = F.linear(F.linear(x, weight.a.to(x.dtype)), weight.b.to(x.dtype))
            return self.linear(x, weight.weight, bias) + weight.scale * thin
        if weight.dtype == torch.float32:
            x = x.float()  # the router of a model in bfloat16: a rounded score may choose another expert
        return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return Rope.apply(x, cos, sin)  # type: ignore[no-any-return]

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, sequences: Packing, cache: TorchCache | None, layer: int
    ) -> Tensor:
        if sequences.batch.block_tables is None:
            return packed_attention(q, k, v, sequences)
        assert cache is not None, "a batch with block tables needs a cache"
        return paged_attention(q, k, v, sequences.batch, cache, layer)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        return fused.SwiGlu.apply(gate, up) if fused.fits(gate) else F.silu(gate) * up  # type: ignore[no-any-return]

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def gather_rows(self, x: Tensor, rows: Any) -> Tensor:
        return x if rows is None else x[self._index(rows)]

    def route(self, logits: Tensor, top_k: int, normalise: bool) -> tuple[Tensor, Tensor]:
        weights = logits.softmax(-1, dtype=torch.float32)  # [T, E]
        ordered = weights.sort(stable=True, dim=-1, descending=True)  # stable: ties go to the lower index
        chosen, ids = ordered.values[:, :top_k], ordered.indices[:, :top_k]  # [T, k]
        if normalise:
            chosen = chosen / chosen.sum(-1, keepdim=True)
        return ids, chosen.to(logits.dtype)

    def experts(
        self, x: Tensor, ids: Tensor, weights: Tensor, gate_up: Tensor | LowRank | Apart, down: Tensor | LowRank | Apart
    ) -> Tensor:
        if isinstance(gate_up, Apart):
            assert isinstance(down, Apart), "the experts of a layer are divided together"
            return apart(x, ids, weights, gate_up, down)
        assert not isinstance(down, Apart)
        return experts.mixed(x, ids, weights, gate_up, down)

    def token_losses(self, x: Tensor, head: Tensor, targets: Any) -> tuple[Tensor, Tensor]:
        """x [R, D] after the final norm, targets [R] ids -> float32 [R] each: log-probability of the target, entropy.
        The logits never exist as a whole."""
        return token_losses(x, head, self._index(targets))

    def rescore(self, logits: Tensor, x: Tensor, weight: Tensor, panels: int, margin: float) -> Tensor:
        chosen = largest_panels(logits.detach().float().cpu().numpy(), panels, margin)
        return torch.where(torch.from_numpy(chosen).to(self.device), self.linear(x, weight), logits)

    def cache(self, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> TorchCache:
        return TorchCache.empty(layers, blocks, block_size, heads, head_dim, dtype, self.device)

    def _index(self, ids: Any) -> Tensor:
        return torch.as_tensor(ids, dtype=torch.long, device=self.device)
